"""Draw the pictures and write the page that shows the run, sounds and all: plots/*.png, plots/report.html."""

from pathlib import Path

from overtone.report import page, pictures, runtime_cost_table, tables
from stages import run

PAGE = Path("plots/report.html")


def main() -> None:
    """Run the stage."""
    left_out = pictures.draw(Path())
    if left_out:
        print(f"plots/distance.png has no colour for: {', '.join(left_out)}")
    page.write(PAGE)
    print(f"\n{tables.text(tables.read('metrics/test.json'))}")
    print(runtime_cost_table.text(runtime_cost_table.read("data/systems.json")))
    print(f"report: {PAGE}, {PAGE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
