"""Put a trained model into the package: half-precision weights, its card, and the graphs of its layers.

    python recipes/ship.py RUN/data/model

Takes the figures that bench/quality.py measured of it, on the test set of real recordings and on the music of
games, and the words of recipes/model_card.json.
"""

import json
import sys
from pathlib import Path

from overtone.cli.onnx_layers import export_layers
from overtone.models import registry
from overtone.models.spectral_onnx import GRAPHS

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write src/overtone/shipped."""
    net, about = registry.load(sys.argv[1])
    card = json.loads((ROOT / "recipes/model_card.json").read_text(encoding="utf-8"))
    figures = {
        name: json.loads((ROOT / f"bench/results/{result}.json").read_text(encoding="utf-8"))
        for name, result in (
            ("figures on recordings", "quality_real"),
            ("figures on games' music", "quality"),
        )
    }
    registry.save(net.half(), "spectral", registry.SHIPPED, card | figures | {"recipe": about})
    for eight_bits, name in GRAPHS.items():
        export_layers(net.settings, registry.SHIPPED / name, eight_bits)


if __name__ == "__main__":
    main()
