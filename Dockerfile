# An image with the `overtone` command, for processors:
#
#     docker build --tag overtone .
#     docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/music" overtone restore song.mp3
#
# For an NVIDIA GPU: docker build --build-arg TORCH_INDEX=https://pypi.org/simple ., and docker run --gpus all.
FROM python:3.12-slim-bookworm
# The index with PyTorch's CPU build: PyPI's own build for Linux brings gigabytes for GPUs.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=${TORCH_INDEX}
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
# matplotlib is for --picture.
RUN pip install --constraint constraints.txt . matplotlib && rm -rf /src/build
RUN useradd --create-home listener
USER listener
# Matplotlib and Numba keep caches; a user given by number has no home folder.
ENV MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /music
ENTRYPOINT ["overtone"]
CMD ["--help"]
