#!/usr/bin/env bash
# Trains the model that the package ships, through the pipeline itself, from two folders of full-band music:
#
#     bash recipes/music.sh recipes/music_first.csv FIRST
#     bash recipes/music.sh recipes/music_train.csv TRAIN
#     bash recipes/train_shipped.sh FIRST TRAIN
#
# Four DVC experiments, each up to its train stage: three of 40 to 80 minutes of a core (by three quarters more on
# a slow one) and one of 20, and twice 10 minutes of two cores to prepare TRAIN, of which the fourth takes the side
# of stereo; 4, 12 and 12 GB of data/pairs, and as much in DVC's cache: params.yaml in the workspace gets these
# values. (The first two were made when the losses still looked up to the bandwidth, codecs' ragged ends included,
# and all codecs were those at 44.1 kHz. The fourth started from the third's weights in half precision.)
# bench/quality.py scores .runs/model, and `python recipes/ship.py .runs/model` puts it into the package.
set -euo pipefail
first=$(realpath "${1:?usage: bash recipes/train_shipped.sh FIRST TRAIN}")
train=$(realpath "${2:?usage: bash recipes/train_shipped.sh FIRST TRAIN}")
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
both=(
  -S select.tracks=null -S segment.silence=0.01 -S degrade.store=false
  -S model.name=spectral -S model.spectral.harmonics=0
  -S train.batch=16 -S train.micro_batch=16 -S train.schedule=cosine
  -S train.precision=float32 -S train.augment.filters=true
)
dvc exp run train "${both[@]}" -S download.folder="$first" -S segment.per_track=null \
  -S model.spectral.blocks=8 -S 'train.augment.kinds=[butterworth]' -S '~train.loss.stft' -S +train.loss.high_band=1.0 -S train.epochs=3
rm -rf .runs/first && mkdir -p .runs && cp -r data/model .runs/first
dvc exp run train "${both[@]}" -S download.folder="$train" -S segment.per_track=40 \
  -S 'train.augment.kinds=[butterworth,chebyshev1,elliptic,sinc]' -S train.augment.coded=0.2 \
  -S train.from=.runs/first -S train.loss.high_band=0.5 -S +train.loss.lsd=1.0 \
  -S train.lr=0.0005 -S train.epochs=1
rm -rf .runs/second && cp -r data/model .runs/second
dvc exp run train "${both[@]}" -S download.folder="$train" -S segment.per_track=76 \
  -S 'train.augment.kinds=[butterworth,chebyshev1,elliptic,sinc]' -S train.augment.coded=0.25 \
  -S train.augment.coded_whole=0.2 -S train.augment.speed=1 -S train.augment.tilt_db=0 -S train.augment.mix=0 \
  -S model.spectral.blocks=12 -S train.from=.runs/second -S train.loss.high_band=0.5 -S train.loss.lsd=1.0 \
  -S train.lr=0.0005 -S train.epochs=1
rm -rf .runs/third && cp -r data/model .runs/third
dvc exp run train "${both[@]}" -S download.folder="$train" -S degrade.channels=side -S segment.per_track=15 \
  -S 'train.augment.kinds=[butterworth,chebyshev1,elliptic,sinc]' -S train.augment.coded=0.3 \
  -S train.augment.coded_whole=0.4 -S train.augment.speed=1 -S train.augment.tilt_db=0 -S train.augment.mix=0 \
  -S model.spectral.blocks=12 -S train.from=.runs/third -S 'train.freeze=[wide.weight,narrow.weight]' \
  -S train.loss.high_band=0.5 -S train.loss.lsd=1.0 -S train.lr=0.0005 -S train.epochs=1
# The side shares the blocks' wide matrices. Harmonics belong to no weights: how they go on was found on the
# validation tracks afterwards.
python - <<'END'
from dataclasses import replace
from pathlib import Path

from overtone import models

net, about = models.load(".runs/third")
side, of_side = models.load("data/model")
net.give_side(side.state_dict())
net = net.under(replace(net.settings, harmonics=1.0))
models.save(net, "spectral", Path(".runs/model"), about | {"side": of_side})
END
