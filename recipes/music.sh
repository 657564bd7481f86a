#!/usr/bin/env bash
# Brings the music that a table names into a folder, out of Debian's packages of free games.
#
#     bash recipes/music.sh recipes/music_first.csv FOLDER     125 files, 5.6 hours: the shipped model's first training
#     bash recipes/music.sh recipes/music_train.csv FOLDER     740 files, 37 hours, 7 GB of downloads: its second
#     bash recipes/music.sh recipes/music_test.csv FOLDER      33 files that bench/quality.py judges it on, and
#     bash recipes/music.sh recipes/music_held_out.csv FOLDER  65 more, into the same folder: those of the second table
#                                                        that the pipeline's split kept for testing, but for
#                                                        games that the first table has music of
#
# Each package's folder gets its copyright file, which names the licences: train on the music, and read those
# before you pass any of it on. Safe to run again: what is there already is kept. Needs curl and dpkg-deb.
set -euo pipefail
table=$(realpath "${1:?usage: bash recipes/music.sh TABLE FOLDER}")
mkdir -p "${2:?usage: bash recipes/music.sh TABLE FOLDER}"
folder=$(realpath "$2")
for deb in $(tail -n +2 "$table" | cut -d, -f1 | sort -u); do
  package=$(basename "${deb%%_*}")
  [[ -e $folder/$package/.complete ]] && continue
  work=$(mktemp -d)
  cd "$work"
  curl -sSfL --retry 3 -o package.deb "http://deb.debian.org/debian/$deb"
  dpkg-deb -x package.deb .
  python3 - "$table" "$deb" "$folder/$package" <<'PY'
import csv, pathlib, shutil, sys, zipfile

table, deb, folder = sys.argv[1:]
folder = pathlib.Path(folder)
folder.mkdir(exist_ok=True)
for row in csv.DictReader(open(table, encoding="utf-8")):
    if row["deb"] != deb:
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
shutil.copyfile(f"usr/share/doc/{folder.name}/copyright", folder / "copyright.txt")
(folder / ".complete").touch()
PY
  cd - > /dev/null
  rm -rf "$work"
  echo "$package: $(find "$folder/$package" -type f ! -name copyright.txt ! -name .complete | wc -l) tracks"
done
du -sh "$folder"
