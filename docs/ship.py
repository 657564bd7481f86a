"""Put a trained model into the package: half-precision weights and its card.

    python docs/ship.py RUN/data/model

Takes the figures that ``python bench/quality.py RUN`` measured, and the words of docs/model_card.json.
"""

import json
import sys
from pathlib import Path

from overtone import models

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write src/overtone/shipped."""
    net, about = models.load(sys.argv[1])
    card = json.loads((ROOT / "docs/model_card.json").read_text(encoding="utf-8"))
    figures = json.loads((ROOT / "bench/results/quality.json").read_text(encoding="utf-8"))
    models.save(net.half(), "spectral", models.SHIPPED, card | {"figures": figures, "recipe": about})


if __name__ == "__main__":
    main()
