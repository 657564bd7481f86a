"""Charts put every number where its scale has it."""

import itertools
import re

import pytest
from markupsafe import Markup

from overtone.report import charts


def numbers(pattern, drawing):
    return [tuple(map(float, found.groups())) for found in re.finditer(pattern, drawing)]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.0003, 0.0007), (-5, 23), (3, 3), (0, 0), (1, 100), (-1e-6, 0), (0.29, 2e5)]
)
def test_ticks_enclose_the_range_in_few_even_steps(low, high):
    marks = charts.ticks(low, high)
    assert marks[0] <= low <= high <= marks[-1]
    assert len(marks) <= 7
    steps = [after - before for before, after in itertools.pairwise(marks)]
    assert steps == pytest.approx([steps[0]] * len(steps) if steps else [])


def test_a_dot_stands_between_the_ends_of_its_interval_in_proportion():
    rows = {"one": (5.0, 4.0, 8.0, "5.0"), "two": (0.0, 0.0, 2.0, "0.0")}
    drawing = charts.intervals("title", {"Rock": rows})
    dots = [x for (x,) in numbers(r'class="dot" cx="([\d.]+)"', drawing)]
    bars = numbers(r'class="bar" x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)"', drawing)
    (low, high), (zero, _) = bars
    assert (dots[0] - low) / (high - low) == pytest.approx(1 / 4, abs=0.01)
    assert dots[1] == zero
    assert (dots[0] - zero) / (high - zero) == pytest.approx(5 / 8, abs=0.01)


def test_a_curve_falls_where_its_values_fall():
    curve = [(1, 4.0), (2, 2.0), (3, 1.0)]
    drawing = charts.lines("epoch", "loss", {"training": curve}, mark=2)
    (points,) = re.findall(r'points="([^"]+)"', drawing)
    xs, ys = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert (ys[1] - ys[0]) / (ys[2] - ys[1]) == pytest.approx(2, abs=0.02)  # down the page
    ((mark,),) = numbers(r'class="mark" x1="([\d.]+)"', drawing)
    assert mark == xs[1]


def test_a_run_of_one_epoch_and_equal_scores_can_be_drawn():
    assert "polyline" in charts.lines("epoch", "loss", {"training": [(1, 2.0)]}, mark=1)
    assert "circle" in charts.intervals("t", {"g": {"s": (0.0, 0.0, 0.0, "0")}})


def test_the_cutoff_lies_at_its_share_of_the_height():
    drawing = charts.spectrogram("data:,", "original", 10, 20000, 5000)
    top, height = numbers(r'y="([\d.]+)" width="\d+" height="([\d.]+)"', drawing)[0]
    ((y,),) = numbers(r'class="cutoff" x1="[\d.]+" y1="([\d.]+)"', drawing)
    assert (y - top) / height == pytest.approx(0.75, abs=0.005)


def test_long_names_that_end_differently_can_be_told_apart_and_fit():
    names = ["model@baseline", "model@baseline alone", "model@baseline alone, aligned"]
    drawing = charts.intervals("t", {"g": dict.fromkeys(names, (1.0, 1.0, 1.0, "1"))})
    shown = re.findall(r'text-anchor="end">([^<]*\D[^<]*)</text>', drawing)
    assert len(set(shown)) == 3
    assert max(map(len, shown)) == 18
    assert "aligned" in shown[2]


def test_names_are_escaped():
    drawing = charts.intervals("<t>", {"<g>": {'"s"<': (1.0, 1.0, 1.0, "<1>")}})
    assert isinstance(drawing, Markup)
    assert not re.search(r"<[tg1]>", drawing)
    assert "&lt;g&gt;" in drawing
