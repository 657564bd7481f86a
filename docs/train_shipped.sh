#!/usr/bin/env bash
# Trains the model that the package ships, through the pipeline itself, from two folders of full-band music:
#
#     bash docs/music.sh docs/music_first.csv FIRST
#     bash docs/music.sh docs/music_second.csv SECOND
#     bash docs/train_shipped.sh FIRST SECOND
#
# Two DVC experiments, about 70 and 80 minutes on one core, 7 and 21 GB of data/pairs: params.yaml in the
# workspace gets these values, and `dvc exp show` has the results. `python docs/ship.py data/model` puts the
# second one's model into the package.
set -euo pipefail
first=$(realpath "${1:?usage: bash docs/train_shipped.sh FIRST SECOND}")
second=$(realpath "${2:?usage: bash docs/train_shipped.sh FIRST SECOND}")
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
both=(
  -S select.tracks=null -S segment.silence=0.01
  -S model.name=spectral
  -S train.batch=16 -S train.micro_batch=16 -S train.schedule=cosine
  -S train.precision=float32 -S train.augment.filters=true
)
dvc exp run "${both[@]}" -S download.folder="$first" -S segment.per_track=null \
  -S '~train.loss.stft' -S +train.loss.treble=1.0 -S train.epochs=3
rm -rf .runs/first && mkdir -p .runs && cp -r data/model .runs/first
dvc exp run "${both[@]}" -S download.folder="$second" -S segment.per_track=80 \
  -S train.from=.runs/first -S train.loss.treble=0.5 -S +train.loss.lsd=1.0 \
  -S train.lr=0.0005 -S train.epochs=1
