"""Add pages to the documentation site that are not under docs/: bench results, and the log of experiments.

Links in docs/*.md are written so that they also work in a file browser (``../bench/results/quality.md``).
The hooks copy the results into the site and rewrite those links.
"""

import csv
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
RESULTS = "bench/results"
LOG = "experiments_log.md"


def on_files(files: Files, config: Any) -> Files:
    """Add the results of the benches and the log of experiments to the site's files."""
    for path in sorted((ROOT / RESULTS).iterdir()):
        if path.suffix in (".md", ".png"):
            files.append(File.generated(config, f"{RESULTS}/{path.name}", abs_src_path=str(path)))
    files.append(File.generated(config, "contributing.md", abs_src_path=str(ROOT / "CONTRIBUTING.md")))
    log = _log((ROOT / "docs/experiments.csv").read_text(encoding="utf-8"))
    files.append(File.generated(config, LOG, content=log))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links that leave docs/; of a link into the source code only the name is left."""
    if page.file.src_uri.startswith(f"{RESULTS}/"):
        name = Path(page.file.src_uri).name
        body = re.sub(r"\[([^]]+)\]\(\.\./\.\./[^)]+\)", r"`\1`", markdown)
        return body if body.startswith("# ") else f"# bench/results/{name}\n\n{body}"
    if page.file.src_uri == "contributing.md":
        return markdown.replace("](docs/", "](")
    if page.file.src_uri == LOG:
        return markdown
    markdown = markdown.replace(f"](../{RESULTS}/", f"]({RESULTS}/")
    return markdown.replace("](experiments.csv)", f"]({LOG})")


def _log(text: str) -> str:
    """The table of experiments as Markdown."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in csv.reader(text.splitlines())]
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    rule = "| " + " | ".join("---" for _ in rows[0]) + " |"
    wide = ["---", "hide: [navigation, toc]", "---"]  # eight columns need the whole page
    return "\n".join(
        [*wide, "# Log of experiments", "", "`docs/experiments.csv` as a table.", "", head, rule, *body, ""]
    )
