#!/usr/bin/env bash
# Brings the music that the shipped model was trained on last: the files that more_music.csv names, out of
# their packages in Debian 12 (about 5.7 GB to download, 2 GB kept). Each package's folder has its copyright
# file, which names the licences: train on the music, and do not pass it on without reading those.
#
#     bash docs/more_music.sh FOLDER
#
# Safe to run again: what is there already is kept. It needs Debian's apt-get, dpkg and unzip.
set -euo pipefail
table=$(cd "$(dirname "$0")" && pwd)/more_music.csv
mkdir -p "${1:?usage: bash docs/more_music.sh FOLDER}"
folder=$(cd "$1" && pwd)
for package in $(tail -n +2 "$table" | cut -d, -f1 | sort -u); do
  [[ -e $folder/$package/.complete ]] && continue
  work=$(mktemp -d)
  cd "$work"
  apt-get download -qq "$package"
  dpkg -x ./*.deb .
  python3 - "$table" "$package" "$folder/$package" <<'PY'
import csv, pathlib, shutil, sys, zipfile

table, package, folder = sys.argv[1:]
folder = pathlib.Path(folder)
folder.mkdir(exist_ok=True)
for row in csv.DictReader(open(table, encoding="utf-8")):
    if row["package"] != package:
        continue
    path = pathlib.PurePath(row["path"])
    target = folder / "__".join(path.parts[-2:]).replace(" ", "_")
    # Some games keep their music in a zip file: the path goes on inside it.
    archive = next((p for p in path.parents if p.suffix in (".zip", ".pk3")), None)
    if archive is None:
        shutil.copyfile(path, target)
    else:
        with zipfile.ZipFile(archive) as zipped:
            target.write_bytes(zipped.read(str(path.relative_to(archive))))
shutil.copyfile(f"usr/share/doc/{package}/copyright", folder / "copyright.txt")
(folder / ".complete").touch()
PY
  cd - > /dev/null
  rm -rf "$work"
  echo "$package: $(find "$folder/$package" -type f ! -name copyright.txt ! -name .complete | wc -l) tracks"
done
du -sh "$folder"
