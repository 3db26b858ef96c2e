"""Line and bar charts as SVG text, without a library: no background and middling colours, so that they read on light and on dark pages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 56
INK = "#808080"
COLOURS = ("#2a9d8f", "#e07a5f", "#8a7fd6", "#c2933d", "#5b8fd1", "#b56a9c")

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Points from left to right; `errors` are half widths of their intervals, `faint` lines stand behind the main one and in no legend."""

    name: str
    points: Sequence[Point]
    errors: Sequence[float] = ()
    faint: Sequence[Sequence[Point]] = ()


@dataclass(frozen=True)
class Chart:
    """What all charts have. `levels`: dashed horizontal lines by their names. Both axes begin at the first of their ticks and end at the last."""

    title: str
    x: str
    y: str
    y_ticks: Sequence[float]
    levels: Mapping[str, float] = field(default_factory=dict)

    def down(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (min(max(value, low), high) - low) / (high - low)


def lines(chart: Chart, series: Sequence[Series], x_ticks: Sequence[float]) -> str:
    """A line for each series, its points marked, with their intervals."""
    low, high = x_ticks[0], x_ticks[-1]

    def place(point: Point) -> str:
        return f"{across(point[0]):.1f},{chart.down(point[1]):.1f}"

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - low) / (high - low)

    parts = [_text(across(tick), HEIGHT - BOTTOM + 18, f"{tick:g}") for tick in x_ticks]
    for one, colour in zip(series, _colours(), strict=False):
        for faint in one.faint:
            parts.append(f'<polyline points="{" ".join(map(place, faint))}" fill="none" stroke="{colour}" stroke-opacity=".3"/>')
        parts.append(f'<polyline points="{" ".join(map(place, one.points))}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for index, (x, y) in enumerate(one.points):
            parts.append(f'<circle cx="{across(x):.1f}" cy="{chart.down(y):.1f}" r="3.5" fill="{colour}"/>')
            if one.errors:
                parts.append(_error(chart, across(x), y, one.errors[index], colour))
    return _frame(chart, [*parts, *_legend([one.name for one in series])])


def bars(chart: Chart, values: Mapping[str, tuple[float, float]]) -> str:
    """A bar for each name: its value and the half width of its interval."""
    step = (WIDTH - LEFT - RIGHT) / len(values)
    parts = []
    for number, (name, (value, error)) in enumerate(values.items()):
        x, y = LEFT + step * (number + 0.5), chart.down(value)
        height = HEIGHT - BOTTOM - y
        parts.append(f'<rect x="{x - step * 0.3:.1f}" y="{y:.1f}" width="{step * 0.6:.1f}" height="{height:.1f}" fill="{COLOURS[0]}"/>')
        parts += [_error(chart, x, value, error, INK), _text(x, HEIGHT - BOTTOM + 18, name), _text(x, y - 8, f"{value:.3g}")]
    return _frame(chart, parts)


def _frame(chart: Chart, parts: Iterable[str]) -> str:
    """Title, axes, grid and levels around what is drawn."""
    around = [_text(LEFT, 20, chart.title, "start", 15), _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, chart.x)]
    around.append(f'<g transform="rotate(-90 16 {HEIGHT / 2})">{_text(16, HEIGHT / 2, chart.y)}</g>')
    for tick in chart.y_ticks:
        y = chart.down(tick)
        around.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-opacity=".25"/>')
        around.append(_text(LEFT - 8, y + 4, f"{tick:g}", "end"))
    for name, value in chart.levels.items():
        y = chart.down(value)
        around.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-dasharray="6 4"/>')
        around.append(_text(WIDTH - RIGHT, y - 5, name, "end"))
    inside = "\n".join([*around, *parts])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
    return f'{head} font-family="sans-serif" aria-label="{escape(chart.title)}">\n<title>{escape(chart.title)}</title>\n{inside}\n</svg>\n'


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for number, (name, colour) in enumerate(zip(names, _colours(), strict=False)):
        x, y = WIDTH - RIGHT - 150, TOP + 10 + 18 * number
        parts += [f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>', _text(x + 16, y, name, "start")]
    return parts


def _colours() -> Iterable[str]:
    while True:
        yield from COLOURS


def _error(chart: Chart, x: float, value: float, error: float, colour: str) -> str:
    return f'<path d="M{x:.1f} {chart.down(value - error):.1f}V{chart.down(value + error):.1f}" stroke="{colour}" stroke-width="1.5"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{INK}">{escape(text)}</text>'
