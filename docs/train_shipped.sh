#!/usr/bin/env bash
# Trains the model that the package ships, from a folder of full-band music, through the pipeline itself.
#
#     bash docs/train_shipped.sh FOLDER
#
# It runs as a DVC experiment: params.yaml in the workspace gets these values, and `dvc exp show` has the
# result. Copy data/model to src/overtone/shipped to ship it.
set -euo pipefail
folder=$(cd "${1:?usage: bash docs/train_shipped.sh FOLDER}" && pwd)
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
dvc exp run \
  -S download.folder="$folder" -S select.tracks=null \
  -S segment.silence=0.01 -S segment.per_track=null \
  -S model.name=spectral \
  -S '~train.loss.stft' -S +train.loss.treble=1.0 \
  -S train.batch=16 -S train.micro_batch=16 -S train.epochs=3 -S train.schedule=cosine \
  -S train.precision=float32 -S train.augment.filters=true
