# An image with the `overtone` command, for processors:
#
#     docker build --tag overtone .
#     docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/music" overtone restore song.mp3
#
# For an NVIDIA GPU: docker build --build-arg EXTRAS=picture,torch ., and docker run --gpus all.
FROM python:3.12-slim-bookworm
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
# picture is for --picture; torch, for GPUs and models of one's own, brings gigabytes.
ARG EXTRAS=picture
RUN pip install --constraint constraints.txt ".[${EXTRAS}]" && rm -rf /src/build
RUN useradd --create-home listener
USER listener
# Matplotlib and Numba keep caches; a user given by number has no home folder.
ENV MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /music
ENTRYPOINT ["overtone"]
CMD ["--help"]
