"""Tables of a page: rows as lines, and the largest one as data."""

from dataclasses import dataclass, field

ROWS = 5000
_SPAN = 50


@dataclass
class Cell:
    """A cell under construction: the lines in it, each with whether anything but controls stands there."""

    header: bool = False
    columns: int = 1
    rows: int = 1
    lines: list["Line"] = field(default_factory=list)
    controls: int = 0

    @property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)


@dataclass
class Line:
    """A line of text; `owners` are the links and labels whose text it holds, `free` says that there is other text too."""

    text: str
    free: bool
    owners: list = field(default_factory=list)
    region: bool = False
    row: bool = False


@dataclass
class Grid:
    """A table under construction. `layout` says that it only arranges the page: another table or boxes to fill stand in it."""

    rows: list[list[Cell]] = field(default_factory=list)
    layout: bool = False
    headed: bool = False


def span(text: str) -> int:
    """A colspan or rowspan as a browser reads it, bounded."""
    digits = text.strip()
    return min(max(int(digits), 1), _SPAN) if digits.isascii() and digits.isdigit() else 1


def row_line(cells: list[Cell], headed: bool) -> Line | None:
    """A row as one line, cells between ` | `. In a table with headers an empty cell is `-`, so that columns keep their places."""
    if not any(cell.lines for cell in cells):
        return None
    texts = [cell.text or ("-" if headed and not cell.header and not cell.controls else "") for cell in cells]
    texts = [text for text in texts if text]
    lines = [line for cell in cells for line in cell.lines]
    return Line(
        " | ".join(texts),
        free=any(line.free for line in lines),
        owners=[owner for line in lines for owner in line.owners],
        region=any(line.region for line in lines),
        row=len(texts) > 1,
    )


def largest(grids: list[Grid]) -> list[list[str]]:
    """Cells of the largest data table (two rows and columns at least), header first, spans repeated; columns empty throughout are left out."""
    best: list[list[str]] = []
    for grid in grids:
        if grid.layout or len(grid.rows) < 2:
            continue
        cells = _spread(grid.rows)
        if len(cells[0]) > 1 and len(cells) > 1 and len(cells) * len(cells[0]) > len(best) * len(best[0] if best else ""):
            best = cells
    return best


def _spread(rows: list[list[Cell]]) -> list[list[str]]:
    """Cells on a rectangular grid; a cell that spans stands in each of its places."""
    spread: list[list[str]] = []
    hanging: dict[int, tuple[int, str]] = {}  # column -> rows still to fill, text
    for row in rows[:ROWS]:
        line: list[str] = []
        waiting = list(row)
        while waiting or len(line) in hanging:
            column = len(line)
            if column in hanging:
                left, text = hanging.pop(column)
                if left > 1:
                    hanging[column] = (left - 1, text)
                line.append(text)
                continue
            cell = waiting.pop(0)
            text = cell.text
            for offset in range(cell.columns):
                if cell.rows > 1:
                    hanging[column + offset] = (cell.rows - 1, text)
                line.append(text)
        spread.append(line)
    width = max((len(line) for line in spread), default=0)
    spread = [line + [""] * (width - len(line)) for line in spread]
    used = [i for i in range(width) if any(line[i] for line in spread)]
    return [[line[i] for i in used] for line in spread if any(line)] or [[]]
