# `make` sets up and runs the pipeline on the bundled music; `make test` sets up and runs the tests.
PYTHON ?= python3
VENV := .venv
# DVC runs a stage's `python` from the path: this environment's must come first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Tests and stages start hundreds of processes: byte code is kept, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: all scm repro quick test check docs table paper paper-first bench clean
all: repro

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); overtone needs 3.11 or newer (make PYTHON=python3.12)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[pipeline,export,dev]'
	@# ViSQOL needs libsvm, which has no wheel: without a C++ compiler all else works.
	@$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[visqol]' || \
		echo "note: ViSQOL could not be installed (a C++ compiler is needed); go on without it"
	@# torchaudio's wheel links CUDA and does not import beside a CPU-only torch; without its compiled
	@# part it runs in pure Python, and what overtone uses of it is as fast.
	@$(VENV)/bin/python -c 'import torchaudio' 2>/dev/null || rm -f $(VENV)/lib/python3*/site-packages/torchaudio/lib/*.so
	@$(VENV)/bin/python -c 'import torchaudio'
	@touch $@

# DVC wants Git, which a downloaded source archive does not have: it is told to go without. Its file of locks is
# left empty by a kill or a power failure at the wrong moment, and it then refuses to start.
scm: $(VENV)/ready
	@test -s .dvc/tmp/rwlock || rm -f .dvc/tmp/rwlock
	@if ! git rev-parse --git-dir > /dev/null 2>&1; then dvc config --local core.no_scm true; \
	elif grep -qs no_scm .dvc/config.local; then dvc config --local --unset core.no_scm; fi

repro: scm
	@dvc repro
	@echo "report: plots/report.html   table: make table   plots: plots/   examples to listen to: data/examples/"

# A quick way round for whoever changes code: an experiment in a copy of the checkout, so that params.yaml and
# the results here stay as they are. New files must be known to Git (git add).
QUICK = -S train.epochs=2 -S segment.per_track=2 -S evaluate.seconds=3 -S evaluate.pictures=1 \
	-S evaluate.resamples=100
quick: $(VENV)/ready
	dvc exp run --temp --force --name quick $(QUICK)

# One process more than there are cores: tests of the pipeline wait for DVC for much of their time.
test: $(VENV)/ready
	@pytest --numprocesses $$(python -c 'import os; print((os.cpu_count() or 1) + 1)')

CODE := src stages tests bench recipes tools
check: $(VENV)/ready docs
	@ruff format --check $(CODE)
	@ruff check $(CODE)
	@mypy
	@lint-imports --no-cache
	@cffconvert --validate

docs: $(VENV)/ready
	@python tools/pipeline_page.py
	@mkdocs build --strict --quiet
	@echo "the site: build/site/index.html"

table: $(VENV)/ready
	@python -m overtone.report.tables metrics/test.json
	@test ! -f data/systems.json || { echo; python -m overtone.report.runtime_cost_table data/systems.json; }

# The paper's second run and its first: Free Music Archive, small subset (7.2 GiB to download).
PAPER = -S download.subset=small -S split.by=track -S segment.scale=separate \
	-S 'model.unet.channels=[64,128,256,512]' -S '~train.loss.stft' -S +train.loss.stft_magnitude=1.0 \
	-S segment.per_track=null -S train.batch=64 -S train.micro_batch=64 -S train.epochs=100
paper: $(VENV)/ready
	dvc exp run $(PAPER) -S select.tracks=2000 -S segment.length=65536 -S segment.hop=65536

paper-first: $(VENV)/ready
	dvc exp run $(PAPER) -S select.tracks=1000 -S segment.length=16384 -S segment.hop=16384

bench: $(VENV)/ready
	python bench/preparation.py
	python bench/training.py
	python bench/restoring.py

clean:
	rm -rf $(VENV) .runs
