#!/usr/bin/env bash
# Trains the paper's U-Net at its full width on the shipped model's music, for as long: the row `unet` of
# bench/results/quality_unet.md.
#
#     bash docs/music.sh docs/music_train.csv TRAIN
#     bash docs/train_paper_unet.sh TRAIN
#
# One DVC experiment up to its train stage, about 100 minutes of a core.
set -euo pipefail
train=$(realpath "${1:?usage: bash docs/train_paper_unet.sh TRAIN}")
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
dvc exp run train -S download.folder="$train" -S select.tracks=null -S segment.silence=0.01 \
  -S degrade.store=false -S segment.per_track=2 -S 'model.unet.channels=[64,128,256,512]' \
  -S train.epochs=1 -S train.schedule=cosine -S train.precision=float32 -S train.augment.filters=true
