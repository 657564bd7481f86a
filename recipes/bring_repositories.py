"""Bring the files that a table names out of public Git repositories.

    python recipes/bring_repositories.py TABLE FOLDER

TABLE is a CSV with the columns source (a repository's address), commit, path, licence and artist, and
perhaps parts, folders of it that are brought whole; a path may have wildcards. FOLDER gets
OWNER__NAME/PATH, or NAME/PATH where the table has a column folder with a name. Of every repository the one
commit is fetched, and of that the named files alone. Safe to run again: what is there already is kept.
Needs git. The licences stand in the table: read them before you pass any of it on.
"""

import argparse
import csv
import shutil
import subprocess
import tempfile
from pathlib import Path


def git(folder: Path, *arguments: str, paths: list[str] | None = None) -> None:
    """Run git in a folder; paths go in by a file, for there may be hundreds."""
    command = ["git", "-C", str(folder), *arguments]
    if paths is None:
        subprocess.run(command, check=True)
        return
    command += ["--pathspec-from-file=-", "--pathspec-file-nul"]
    subprocess.run(command, check=True, input="\0".join(paths).encode())


def bring(source: str, commit: str, paths: list[str], target: Path) -> None:
    """Fetch one commit of a repository and copy these paths of it."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        git(folder, "init", "--quiet")
        git(folder, "fetch", "--quiet", "--depth", "1", "--filter=blob:none", source, commit)
        git(folder, "config", "remote.origin.url", source)
        git(folder, "config", "remote.origin.promisor", "true")
        git(folder, "config", "extensions.partialClone", "origin")
        # Only a path with wildcards is a pattern; others may have brackets and the like in them.
        patterns = [path if "*" in path else f":(literal){path}" for path in paths]
        git(folder, "checkout", "--quiet", "FETCH_HEAD", paths=patterns)
        shutil.rmtree(folder / ".git")
        shutil.copytree(folder, target, dirs_exist_ok=True)


def main() -> None:
    """Bring what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    wanted: dict[tuple[str, str, str], list[str]] = {}
    for row in csv.DictReader(asked.table.open(encoding="utf-8")):
        folder = row.get("folder") or "__".join(row["source"].rstrip("/").split("/")[-2:])
        for path in row["parts"].split("|") if row.get("parts") else [row["path"]]:
            if "*" in path or not (asked.folder / folder / path).exists():
                wanted.setdefault((row["source"], row["commit"], folder), []).append(path)
    for (source, commit, folder), paths in wanted.items():
        bring(source, commit, paths, asked.folder / folder)
        print(f"{source}: {len(paths)} paths", flush=True)


if __name__ == "__main__":
    main()
