#!/usr/bin/env bash
# Trains the paper's U-Net at its full width on the shipped model's music, for longer: the row `unet` of
# bench/results/quality_unet.md.
#
#     bash recipes/music.sh recipes/music_train.csv TRAIN
#     bash recipes/train_paper_unet.sh TRAIN
#
# Two DVC experiments up to their train stage, about 100 minutes of a core each: the second goes on from the
# first, with other low-passes.
set -euo pipefail
train=$(realpath "${1:?usage: bash recipes/train_paper_unet.sh TRAIN}")
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
both=(
  -S download.folder="$train" -S select.tracks=null -S segment.silence=0.01 -S degrade.store=false
  -S segment.per_track=2 -S 'model.unet.channels=[64,128,256,512]' -S train.epochs=1
  -S train.schedule=cosine -S train.precision=float32 -S train.augment.filters=true
)
dvc exp run train "${both[@]}"
rm -rf .runs/unet && mkdir -p .runs && cp -r data/model .runs/unet
dvc exp run train "${both[@]}" -S train.from=.runs/unet -S train.lr=0.0005 -S train.seed=2
