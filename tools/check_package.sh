#!/usr/bin/env bash
# Builds the sdist and the wheel, installs the wheel into an empty environment, and restores a bundled clip there.
#
#     bash tools/check_package.sh [PYTHON]
#
# PYTHON has the package "build" (`make` installs it into .venv). Takes about two minutes, most of them PyTorch.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# From a copy without what Git ignores, as a release is made; the sdist first, the wheel out of it.
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work" 2> /dev/null || true
(cd "$work" && "$OLDPWD/$python" -m build --outdir dist . > build.log 2>&1) || { tail -20 "$work/build.log"; exit 1; }
"$python" -m venv "$work/empty"
"$work/empty/bin/pip" install --quiet -c constraints.txt "$work"/dist/*.whl
"$work/empty/bin/python" - "$PWD/data/bundle/fma_mini.zip" "$work/clip.mp3" <<'PY'
import sys, zipfile

bundle, target = sys.argv[1:]
with zipfile.ZipFile(bundle) as clips, open(target, "wb") as file:
    file.write(clips.read("fma_mini/900/900022.mp3"))
PY
cd "$work"
empty/bin/overtone restore clip.mp3 --cutoff 7000 --rate 44100
test -s clip.restored.flac
du -sm empty | awk '{print "installed size: " $1 " MB"}'
ls dist
