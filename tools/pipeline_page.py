"""``python tools/pipeline_page.py``: write docs/pipeline.md from dvc.yaml, params.yaml and the settings.

A test fails when the page differs from what this writes. A parameter without a description, or an environment
variable that the code reads and the table here lacks (or the reverse), is an error.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from overtone.data.catalog import SelectSettings, SplitSettings
from overtone.data.dataset.segments import SegmentSettings
from overtone.data.pairs.degradation import DegradeSettings
from overtone.data.sources.provide import DownloadSettings
from overtone.evaluation.comparison.chunks import EvaluateSettings
from overtone.models.nuwave2 import NuWave2Settings
from overtone.models.spectral_settings import SpectralSettings
from overtone.models.unet import UNetSettings
from overtone.training.augment import AugmentSettings
from overtone.training.discriminators import AdversarialSettings
from overtone.training.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/pipeline.md"
GROUPS = {
    "download": DownloadSettings,
    "select": SelectSettings,
    "split": SplitSettings,
    "degrade": DegradeSettings,
    "segment": SegmentSettings,
    "model.unet": UNetSettings,
    "model.spectral": SpectralSettings,
    "model.nuwave2": NuWave2Settings,
    "train": TrainSettings,
    "train.augment": AugmentSettings,
    "train.adversarial": AdversarialSettings,
    "evaluate": EvaluateSettings,
}
VARIABLES = {
    "OVERTONE_JOBS": "Processes for preparation and scoring; by default one a core.",
    "OVERTONE_CLUSTER": "A Dask cluster (`tcp://host:8786`) for unpacking, `degrade` and `evaluate`: "
    "[cluster](cluster.md).",
    "OVERTONE_RANKS": "Processes that train together, on GPUs or cores: [distributed](distributed.md).",
    "OVERTONE_COMPILE": "`1` runs `torch.compile` on the network in training.",
    "OVERTONE_DEVICE": "`cpu`, `cuda` or `mps`; by default a GPU if there is one.",
    "OVERTONE_SHARDS": "Where prepared samples lie: an object store (`s3://bucket/shards`) or a folder.",
    "OVERTONE_RUNS": "Folder of unfinished training runs; `.runs` by default.",
    "OVERTONE_DOWNLOADS": "Folder of downloaded archives; `.downloads` by default.",
    "OVERTONE_FMA_URL": "A mirror of the Free Music Archive's archives, or an object store.",
    "OVERTONE_PROGRAMS": "Folder of outside programs; `.programs` by default: [systems](systems.md).",
    "OVERTONE_DEMUCS": "The Demucs model that `stems` uses. It does change a row; the table's note names it.",
}

INTRO = """\
<!-- Written by `python tools/pipeline_page.py`. Do not edit by hand. -->

# Pipeline

Eight stages, each a thin script in `stages/` over the library in `src/overtone/`. A stage runs again only
when a file or a parameter that it depends on has changed.

```
download_fma ─► select_subset ─► split ────────┐
      │               │                        ▼
      └───────────────┴───► degrade ─────► segment ─► train ─► evaluate ─► report
```
"""


def described(settings: type) -> dict[str, str]:
    """Read the ``Attributes`` (or ``Args``) of a settings class's docstring: name -> description."""
    text = re.split("(?:Attributes|Args):\n", inspect.cleandoc(settings.__doc__ or ""))[-1]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        entry = re.match(r"    (\w[\w, ]*): (.*)", line)
        if entry:
            names = [name.strip().rstrip("_") for name in entry[1].split(",")]
            found |= dict.fromkeys(names, entry[2])
        elif line.startswith("     ") and names:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        elif line.strip():
            break
    return found


def values(params: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Find a group of params.yaml by its dotted name."""
    found: Any = params
    for name in group.split("."):
        found = found[name]
    return dict(found)


def parameters(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables of parameters."""
    for group, settings in GROUPS.items():
        texts = described(settings)
        yield f"\n### {group}\n"
        yield "| parameter | default | meaning |"
        yield "| --- | --- | --- |"
        fields = [field.name.rstrip("_") for field in dataclasses.fields(settings)]
        defaults = values(params, group)
        for name in fields:
            if f"{group}.{name}" in GROUPS:
                continue
            if name not in texts:
                raise SystemExit(f"error: {settings.__name__} does not describe {name} in its docstring")
            text = texts[name].replace("``", "`").replace("|", "\\|")
            shown = yaml.safe_dump(defaults[name], default_flow_style=True).split("\n")[0]
            yield f"| `{name}` | `{shown}` | {text[:1].upper()}{text[1:]} |"


def stages(pipeline: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the table of stages."""
    yield "\n## Stages\n"
    yield "| stage | task | parameters | writes |"
    yield "| --- | --- | --- | --- |"
    for name, stage in pipeline["stages"].items():
        written = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
        names = ", ".join(f"`{path if isinstance(path, str) else next(iter(path))}`" for path in written)
        read = ", ".join(f"`{group}`" for group in stage.get("params", []))
        yield f"| `{name}` | {stage['desc']} | {read} | {names} |"


def variables() -> Iterator[str]:
    """Yield the lines of the table of environment variables, which must be those that the code reads."""
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    read = {name for file in files for name in re.findall(r"OVERTONE_[A-Z_]+[A-Z]", file.read_text("utf-8"))}
    if read != VARIABLES.keys():
        different = ", ".join(sorted(read ^ VARIABLES.keys()))
        raise SystemExit(
            f"error: the code and tools/pipeline_page.py differ in environment variables: {different}"
        )
    yield "\n## Environment variables\n"
    yield "Where work runs must not change a result, so it is no parameter.\n"
    yield "| variable | meaning |"
    yield "| --- | --- |"
    yield from (f"| `{name}` | {text} |" for name, text in VARIABLES.items())


def page() -> str:
    """Write the page as text."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
    names = [*GROUPS, "model"]
    missing = {
        f"{group}.{key}"
        for group in params
        for key, value in params[group].items()
        if isinstance(value, dict) and f"{group}.{key}" not in names and (group, key) != ("train", "loss")
    }
    if missing or set(params) - {group.split(".")[0] for group in GROUPS}:
        raise SystemExit(f"error: tools/pipeline_page.py knows no settings class for {sorted(missing)}")
    about = "\n## Parameters\n\nEvery number is in `params.yaml`. `model.name` chooses the network: "
    lines = [
        INTRO,
        *stages(pipeline),
        about + "`unet`, `spectral` or `nuwave2`.",
        *parameters(params),
        *variables(),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written", file=sys.stderr)
