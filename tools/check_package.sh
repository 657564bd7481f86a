#!/usr/bin/env bash
# Builds the sdist and the wheel, installs the wheel into an empty environment without PyTorch, measures its size,
# and runs there what people run: restore, score, models, the app.
#
#     bash tools/check_package.sh [PYTHON]
#
# PYTHON has the package "build" (`make` installs it into .venv). Takes about a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
most=350 # MB that the environment takes, pip included
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# From a copy without what Git ignores, as a release is made; the sdist first, the wheel out of it.
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$work" 2> /dev/null || true
(cd "$work" && "$OLDPWD/$python" -m build --outdir dist . > build.log 2>&1) || { tail -20 "$work/build.log"; exit 1; }
"$python" -m venv "$work/empty"
wheel=$(echo "$work"/dist/*.whl)
"$work/empty/bin/pip" install --quiet -c constraints.txt "$wheel"
"$work/empty/bin/python" - "$PWD/data/bundle/fma_mini.zip" "$work/clip.mp3" <<'PY'
import sys, zipfile

bundle, target = sys.argv[1:]
with zipfile.ZipFile(bundle) as clips, open(target, "wb") as file:
    file.write(clips.read("fma_mini/900/900022.mp3"))
PY
cd "$work"
size=$(du -sm empty | cut -f1)
echo "installed size: $size MB, $most at most"
test "$size" -le "$most"
empty/bin/python -c "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)"
empty/bin/overtone restore clip.mp3 --cutoff 7000 --rate 44100
test -s clip.restored.flac
empty/bin/overtone score clip.mp3 clip.restored.flac --cutoff 7000
empty/bin/overtone models > models.txt
head -2 models.txt
# What needs PyTorch says which extra has it, in one line.
for option in "--device cuda" "--model empty"; do
  # shellcheck disable=SC2086
  if empty/bin/overtone restore clip.mp3 --force $option 2> error.txt; then exit 1; fi
  test "$(wc -l < error.txt)" -eq 1
  grep -F "pip install 'overtone[torch]'" error.txt
done
empty/bin/overtone app --port 0 --work app > app.txt 2>&1 &
app=$!
trap 'kill "$app" 2> /dev/null; rm -rf "$work"' EXIT
for _ in $(seq 100); do
  address=$(grep -o "http://[^ ,]*" app.txt | head -1) && break
  sleep 0.1
done
empty/bin/python -c "import sys, urllib.request as r; assert b'<html' in r.urlopen(sys.argv[1]).read()" "$address"
echo "the app answers at $address"
ls dist
