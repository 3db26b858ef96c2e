"""Makes a PageView from the records of a page walk: lines, elements with their names, the largest table. The same for every kind of walk."""

from dataclasses import dataclass, field

from agents.web.screen import table
from agents.web.screen.base import PageView
from agents.web.screen.control import Label, Widget
from agents.web.screen.raw import VOID, Control, Record
from agents.web.screen.table import Cell, Grid, Line
from agents.web.screen.words import SOFT, clean, join, shorten

ELEMENTS = 400
LINES = 400
_LINE = 2000  # characters of a line
_BLANK = SOFT + "\t\n\r\f "
_NEAR = 120  # characters of what stands beside a control
_BACK = 6  # lines before it that are looked through
_ROW = 400  # a row with more text is no row of data but a column of the page


@dataclass
class Reading:
    """A view and the way back into the page: for each element (id - 1) its number among the walk's controls and its options' indexes."""

    view: PageView
    handles: list[int] = field(default_factory=list)
    options: list[list[int]] = field(default_factory=list)


def build(records: list[Record], *, url: str, status: int, cut: bool = False) -> Reading:
    """Records of one page as a Reading. `cut` says that the walk itself stopped early."""
    builder = _Builder()
    for record in records:
        builder.take(record)
    return builder.finish(url, status, cut)


@dataclass
class _Row:
    """An open row; `broken` when a table inside it showed that it only arranges the page."""

    cells: list[Cell] = field(default_factory=list)
    broken: bool = False
    in_cell: bool = False


class _Builder:
    """Takes records one by one; everything that depends on a whole page (labels, limits) is settled in `finish`."""

    def __init__(self) -> None:
        self.title: str | None = None
        self.lines: list[Line] = []
        self.line: list[tuple[str, object]] = []  # text and the link or label it belongs to
        self.widgets: list[Widget] = []
        self.open: list[Widget] = []
        self.labels: list[Label] = []
        self.open_labels: list[Label] = []
        self.places: list[tuple[str, str]] = []
        self.scopes = [0]
        self.scope_count = 0
        self.grids: list[Grid] = []
        self.open_grids: list[Grid] = []
        self.rows: list[_Row] = []
        self.regions = 0
        self.swallowing = 0

    def take(self, record: Record) -> None:
        _TAKERS[record[0]](self, record)

    def finish(self, url: str, status: int, cut: bool) -> Reading:
        self._break()
        self._label()
        view = PageView(url=url, title=shorten(clean(self.title or ""), _LINE), status=status, truncated=cut)
        reading = Reading(view)
        for widget in self.widgets:
            element = widget.element()
            if element is None:
                continue
            widget.kept = True
            if len(view.elements) == ELEMENTS:
                view.truncated = True
                continue
            element.id = len(view.elements) + 1
            element.near, element.in_row = self._near(widget), widget.row is not None
            view.elements.append(element)
            reading.handles.append(widget.number)
            reading.options.append(widget.indexes)
        kept = [line.text for line in self.lines if _shown(line)]
        view.text = [shorten(text, _LINE) for text in kept[:LINES]]
        view.truncated = view.truncated or len(kept) > LINES or any(len(text) > _LINE for text in kept[:LINES])
        view.table = table.largest(self.grids)
        return reading

    def _near(self, widget: Widget) -> str:
        """What stands beside a control: its row, or the last line before it that says something of its own."""
        if widget.row is not None:
            return shorten(" | ".join(cell.text for cell in widget.row if cell.text), _NEAR)
        before = self.lines[max(0, widget.line - _BACK) : widget.line + 1]
        return next((shorten(line.text, _NEAR) for line in reversed(before) if _shown(line)), "")

    # Documents

    def _document(self, record: Record) -> None:
        _, url, base, title = record
        if self.title is None:
            self.title = title
        self.places.append((url if url.startswith("http") or not self.places else self.places[-1][0], base))
        self._scope(record)

    def _end_document(self, record: Record) -> None:
        self._break()
        self.places.pop()
        self._end_scope(record)

    def _scope(self, _: Record) -> None:
        self.scope_count += 1
        self.scopes.append(self.scope_count)

    def _end_scope(self, _: Record) -> None:
        self.scopes.pop()

    # Text

    def _text(self, record: Record) -> None:
        _, text, pre = record
        text = text.replace(SOFT, "")
        if pre and "\n" in text:
            first, *rest = text.split("\n")
            self._add(first)
            for line in rest:
                self._block(record)
                self._add(line)
        else:
            self._add(text)

    def _add(self, text: str) -> None:
        for widget in self.open:
            widget.parts.append(text)
        for label in self.open_labels:
            label.parts.append(text)
        if self.swallowing:
            return
        owner: object = self.open_labels[-1] if self.open_labels else None
        for widget in reversed(self.open):
            if not widget.loose:
                owner = widget
                break
        self.line.append((text, owner))

    def _soft(self, _: Record) -> None:
        self._add(SOFT)

    def _media(self, _: Record) -> None:
        for widget in self.open:
            widget.pictured = True

    def _block(self, _: Record) -> None:
        for widget in self.open:
            widget.parts.append(" ")
        for label in self.open_labels:
            label.parts.append(" ")
        if not self.swallowing:
            self._break()

    def _break(self) -> None:
        """End the line under construction."""
        parts, self.line = self.line, []
        text = join([part for part, _ in parts])
        if not text:
            return
        words = [owner for part, owner in parts if part.strip(_BLANK)]
        owners = list(dict.fromkeys(owner for owner in words if owner is not None))
        line = Line(text, free=None in words, owners=owners, region=self.regions > 0)
        row = self.rows[-1] if self.rows else None
        if row and row.in_cell and not row.broken:
            row.cells[-1].lines.append(line)
        else:
            self.lines.append(line)

    def _region(self, _: Record) -> None:
        self.regions += 1

    def _end_region(self, _: Record) -> None:
        self._break()
        self.regions -= 1

    # Tables

    def _table(self, record: Record) -> None:
        self._block(record)
        if self.open_grids:
            self.open_grids[-1].layout = True
        if self.rows and not self.rows[-1].broken:
            self._flatten(self.rows[-1])
        grid = Grid()
        self.grids.append(grid)
        self.open_grids.append(grid)

    def _end_table(self, record: Record) -> None:
        self._block(record)
        self.open_grids.pop()

    def _row(self, record: Record) -> None:
        self._block(record)
        self.rows.append(_Row())

    def _end_row(self, record: Record) -> None:
        self._block(record)
        row = self.rows.pop()
        grid = self.open_grids[-1] if self.open_grids else Grid()
        if row.broken:
            return
        grid.rows.append(row.cells)
        if sum(len(cell.text) for cell in row.cells) > _ROW:
            self._flatten(row)
            return
        line = table.row_line(row.cells, grid.headed)
        if line:
            self.lines.append(line)

    def _flatten(self, row: _Row) -> None:
        row.broken = True
        for cell in row.cells:
            self.lines += cell.lines

    def _cell(self, record: Record) -> None:
        self._block(record)
        if self.rows:
            _, header, columns, rows = record
            self.rows[-1].cells.append(Cell(bool(header), table.span(columns), table.span(rows)))
            if header and self.open_grids:
                self.open_grids[-1].headed = True
            self.rows[-1].in_cell = True

    def _end_cell(self, record: Record) -> None:
        self._block(record)
        if self.rows:
            self.rows[-1].in_cell = False

    # Controls

    def _open_label(self, record: Record) -> None:
        label = Label(record[1].strip(), self.scopes[-1])
        self.labels.append(label)
        self.open_labels.append(label)

    def _end_label(self, _: Record) -> None:
        self.open_labels.pop()

    def _control(self, record: Record) -> None:
        self._add(SOFT)
        raw = Control(*record[1:])
        widget = Widget(raw, len(self.widgets), self.places[-1], self.scopes[-1])
        self.widgets.append(widget)
        row = self.rows[-1] if self.rows else None
        widget.row = row.cells if row and row.in_cell and not row.broken else None
        widget.line = len(self.lines) - (not join([part for part, _ in self.line]))
        for outer in self.open:
            outer.holds = True
        self._count(raw)
        label = self.open_labels[-1] if self.open_labels else None
        if label and not label.target and not label.taken and not widget.loose and raw.tag != "a":
            label.taken = True
            widget.labels.append(label)
        if raw.tag in VOID:
            return
        self.open.append(widget)
        self.swallowing += widget.swallows

    def _end_control(self, _: Record) -> None:
        widget = self.open.pop()
        self.swallowing -= widget.swallows
        self._add(SOFT)

    def _count(self, raw: Control) -> None:
        if self.rows and self.rows[-1].cells and self.rows[-1].in_cell:
            self.rows[-1].cells[-1].controls += 1
        if self.open_grids and raw.tag in VOID and raw.type not in ("submit", "button", "image", "checkbox", "radio"):
            self.open_grids[-1].layout = True

    def _label(self) -> None:
        """Give each control the labels that name its id."""
        by_target: dict[tuple[int, str], list[Label]] = {}
        for label in self.labels:
            if label.target:
                by_target.setdefault((label.scope, label.target), []).append(label)
        for widget in self.widgets:
            if widget.raw.id and (widget.raw.tag in VOID or widget.raw.tag == "button"):
                widget.labels = by_target.pop((widget.scope, widget.raw.id), []) + widget.labels


def _shown(line: Line) -> bool:
    """Whether a line says more than the elements do: text of its own, a row of data, or one link outside navigation (a card's heading)."""
    owners = list(dict.fromkeys(owner for owner in line.owners if owner.kept))
    if line.free or len(owners) < len(set(line.owners)) or line.row:
        return True
    return len(owners) == 1 and isinstance(owners[0], Widget) and not line.region


_TAKERS = {
    "doc": _Builder._document,
    "/doc": _Builder._end_document,
    "scope": _Builder._scope,
    "/scope": _Builder._end_scope,
    "text": _Builder._text,
    "media": _Builder._media,
    "block": _Builder._block,
    "soft": _Builder._soft,
    "region": _Builder._region,
    "/region": _Builder._end_region,
    "table": _Builder._table,
    "/table": _Builder._end_table,
    "row": _Builder._row,
    "/row": _Builder._end_row,
    "cell": _Builder._cell,
    "/cell": _Builder._end_cell,
    "label": _Builder._open_label,
    "/label": _Builder._end_label,
    "control": _Builder._control,
    "/control": _Builder._end_control,
}
