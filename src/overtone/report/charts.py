"""Draw charts and spectrograms as SVG for inside a page; the page's colours suit light, dark and print.

One unit of a drawing is about a pixel on a phone (WIDTH across), where its text stays readable; on a wider
screen the drawing is scaled up. The page styles the classes: axis, grid, line, first, second, dot, bar, mark.
"""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

WIDTH = 340
LABELS = 118  # of the width for the names at the left of `intervals`
VALUES = 40  # of the width for the figures at the right of `intervals`
ROW = 15
LEFT, BOTTOM, TOP = 34, 30, 20  # margins of `lines`

# Mean, both ends of its interval (None for a single track), and the mean as text.
Interval = tuple[float, float | None, float | None, str]


def lines(across: str, up: str, curves: Mapping[str, Sequence[tuple[float, float]]], mark: float) -> Markup:
    """Draw up to two curves over a common horizontal axis, with a vertical line at one value.

    Args:
        across, up: names of the horizontal and the vertical axis.
        curves: name -> points (x, y), finite; the first is drawn dashed.
        mark: the x of a vertical line.
    """
    points = [point for curve in curves.values() for point in curve]
    xs, ys = ([point[axis] for point in points] for axis in (0, 1))
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    height, wide, high = 210, WIDTH - LEFT - 8, 210 - TOP - BOTTOM

    def x_of(value: float) -> float:
        return LEFT + wide * _share(value, min(xs), max(xs))

    def y_of(value: float) -> float:
        return TOP + high * (1 - _share(value, y_ticks[0], y_ticks[-1]))

    drawn = []
    for value in y_ticks:
        drawn += [_line("grid", LEFT, y_of(value), WIDTH - 8, y_of(value))]
        drawn += [_text(LEFT - 4, y_of(value) + 3.5, f"{value:g}", "end")]
    for value in x_ticks:
        if min(xs) <= value <= max(xs) and value == round(value):
            drawn += [_text(x_of(value), height - BOTTOM + 13, f"{value:g}", "middle")]
    drawn += [_line("mark", x_of(mark), TOP, x_of(mark), height - BOTTOM)]
    for (name, curve), kind in zip(curves.items(), ("first", "second"), strict=False):
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in curve)
        drawn += [Markup('<polyline class="line {}" points="{}"/>').format(kind, path)]
        y = TOP + 12 + 14 * (kind == "second")
        drawn += [_line(f"line {kind}", WIDTH - 112, y - 4, WIDTH - 92, y - 4)]
        drawn += [_text(WIDTH - 88, y, name, "start")]
    drawn += [_text(LEFT + wide / 2, height - 3, across, "middle"), _text(2, 8, up, "start")]
    return _svg(height, f"{' and '.join(curves)} by {across}", drawn)


def intervals(title: str, groups: Mapping[str, Mapping[str, Interval]]) -> Markup:
    """Draw a dot with its interval for every system in every group, on a common scale, with its figure.

    Args:
        title: the metric.
        groups: group -> system -> interval.
    """
    intervals = (interval for rows in groups.values() for interval in rows.values())
    ends = [end for interval in intervals for end in interval[:3] if end is not None]
    marks = ticks(min(0.0, *ends), max(ends))
    right = WIDTH - VALUES

    def x_of(value: float) -> float:
        return LABELS + (right - LABELS) * _share(value, marks[0], marks[-1])

    y, drawn = 12.0, []
    for group, rows in groups.items():
        drawn += [_text(0, y, group, "start", "group")]
        for system, (mean, low, high, shown) in rows.items():
            y += ROW
            drawn += [_text(LABELS - 6, y, _short(system), "end"), _text(WIDTH, y, shown, "end")]
            if low is not None and high is not None:
                drawn += [_line("bar", x_of(low), y - 3.5, x_of(high), y - 3.5)]
            drawn += [
                Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.2"/>').format(x_of(mean), y - 3.5)
            ]
        y += ROW + 8
    foot = y - ROW + 3
    under = [_line("grid", x_of(value), 0, x_of(value), foot) for value in marks]
    under += [_text(x_of(value), foot + 12, f"{value:g}", "middle") for value in marks]
    return _svg(foot + 16, title, under + drawn)


def spectrogram(picture: str, name: str, seconds: float, top: float, cutoff: float) -> Markup:
    """Draw a spectrogram between its axes, with a dashed line at the cutoff.

    Args:
        picture: a data URI; it is stretched over time 0 to seconds and frequency 0 to top.
        name: of the version.
        seconds: the length.
        top, cutoff: in Hz.
    """
    height, wide, high = 200, WIDTH - 24, 200 - 22
    drawn = [
        Markup('<image href="{}" x="24" y="4" width="{}" height="{}" preserveAspectRatio="none"/>').format(
            picture, wide, high - 4
        )
    ]
    for hertz in ticks(0, top):
        if hertz <= top:
            y = high - (high - 4) * hertz / top
            drawn += [_text(21, y + 3.5 if y > 8 else 8, f"{hertz / 1000:g}", "end")]
    for value in ticks(0, seconds):
        if 0 < value < seconds:
            drawn += [_text(24 + wide * value / seconds, height - 9, f"{value:g}", "middle")]
    y = high - (high - 4) * cutoff / top
    drawn += [
        _line("cutoff", 24, y, WIDTH, y),
        _text(WIDTH, height - 9, "s", "end"),
        _text(2, height - 9, "kHz"),
    ]
    return _svg(height, f"spectrogram: {name}", drawn)


def ticks(low: float, high: float) -> list[float]:
    """List three to seven round numbers that enclose a range."""
    width = max(high - low, 1e-9 * max(abs(low), abs(high), 1e-9))
    size = 10.0 ** math.floor(math.log10(width))
    step = next(size * factor for factor in (0.2, 0.5, 1, 2) if width / (size * factor) <= 5.01)
    return [float(f"{step * n:.12g}") for n in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _short(name: str) -> str:
    """Shorten a name to 18 characters in its middle, since rows differ in their ends ("alone")."""
    return name if len(name) <= 18 else f"{name[:8]}\N{HORIZONTAL ELLIPSIS}{name[-9:]}"


def _line(kind: str, *ends: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(kind, *ends)


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "axis") -> Markup:
    element = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return element.format(kind, x, y, anchor, text)


def _svg(height: float, label: str, drawn: Sequence[Markup]) -> Markup:
    opened = Markup('<svg viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">').format(WIDTH, height, label)
    return opened + Markup("").join(drawn) + Markup("</svg>")
