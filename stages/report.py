"""Write the page that shows the run, sounds and all: plots/report.html."""

from pathlib import Path

from overtone import report
from stages import run

PAGE = Path("plots/report.html")


def main() -> None:
    """Run the stage."""
    report.write(PAGE)
    print(f"report: {PAGE}, {PAGE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
