"""Draw the pictures, write the page and the summary: plots/*.png, plots/report.html, metrics/summary.json."""

from pathlib import Path

from overtone.report import page, pictures, runtime_cost_table, summary, tables
from stages import run

PAGE = Path("plots/report.html")


def main() -> None:
    """Run the stage."""
    summary.write(Path())
    left_out = pictures.draw(Path())
    if left_out:
        print(f"plots/distance.png leaves out, for lack of colours: {', '.join(left_out)}")
    page.write(PAGE)
    print(f"\n{tables.text(tables.read('metrics/test.json'))}")
    print(runtime_cost_table.text(runtime_cost_table.read("data/systems.json")))
    print(f"report: {PAGE}, {PAGE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
