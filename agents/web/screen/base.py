"""What is on a page, in a form that a text model can read and the gate can judge."""

from typing import Literal, Protocol

from pydantic import BaseModel, Field

ElementKind = Literal["link", "button", "box", "select", "check", "radio"]


class Element(BaseModel):
    """One thing a person could use. `id` counts from 1 in document order and is valid for this view only.

    For what the gate must know: `href` of a link (absolute), and of anything inside a form its `form_method` (get | post) and absolute
    `form_action`, and the number of the `form`, from 1; `submits` says that using it sends the form. `near` is what stands beside it: its row of
    a table (`in_row`), or the last line before it.
    """

    id: int
    kind: ElementKind
    name: str
    value: str = ""
    options: list[str] = Field(default_factory=list)
    href: str = ""
    form_method: str = ""
    form_action: str = ""
    form: int = 0
    submits: bool = False
    disabled: bool = False
    near: str = ""
    in_row: bool = False

    @property
    def label(self) -> str:
        """`kind name [id]`, as in prompts and actions; a name repeated before its id keeps small models from mixing ids up."""
        return f"{self.kind} {self.name} [{self.id}]"


class PageView(BaseModel):
    """A page as read at one moment: visible text in lines and elements, both in document order."""

    url: str
    title: str
    status: int = Field(200, description="HTTP status of the document; 0 when it never loaded.")
    text: list[str] = Field(default_factory=list)
    elements: list[Element] = Field(default_factory=list)
    table: list[list[str]] = Field(default_factory=list, description="Rows of cells, header first.")
    problem: str = Field("", description="Why the page could not be read, in one sentence.")
    truncated: bool = False

    def element(self, number: int) -> Element | None:
        return next((e for e in self.elements if e.id == number), None)


class ScreenParser(Protocol):
    """Turns what a browser shows into a PageView."""

    async def read(self) -> PageView: ...
