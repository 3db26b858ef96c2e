"""A run's conversation with its model as one sequence: what agents.context calls `stream`.

Every role call adds what is new to a conversation that is kept whole. A step of the team (the ledger's choice, an agent's actions, what it saw)
is a block of it, which the step's memento closes, as the plan closes the facts that it was made from. A web agent's step is cut further, at each
page that it leaves, with a memento of what it did there. Closed blocks are evicted from the server's cache. So a decision costs its new tokens
only, memory holds one page at a time, and what a memento does not say in words is still in its keys and values, which were computed while its
block was visible (MEMENTO, arXiv 2604.09852).
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

LONGEST = 2048  # tokens; conversations that the embedded model has learned are no longer


class Said(BaseModel):
    """A message. Of a user message, in this order: `closes` ends the open block with these words as its memento, `kept` stays visible, with
    `opens` a block begins, then comes `content`. An answer with `memento` is the model's own memento of the open block."""

    role: Literal["user", "assistant"]
    content: str = ""
    closes: str | None = None
    kept: str = ""
    opens: bool = False
    memento: bool = False

    @property
    def mark(self) -> dict[str, Any] | str | None:
        """As the field `memento` of a message on our server's wire; None for an ordinary message."""
        if self.memento:
            return "close"
        if self.closes is None and not self.opens:
            return None
        return {**({"close": self.closes} if self.closes is not None else {}), "kept": self.kept, "open": self.opens}


class Stream(BaseModel):
    """The conversation, and what of the run the model can see in it; JSON, kept in TeamState.

    Positions stay logical when blocks are evicted, so a long run outgrows the model's context: `roll_over` begins anew, and the next prompt of
    each kind is the whole one again, ledger and mementos as text.
    """

    messages: list[Said] = Field(default_factory=list)
    tokens: int = Field(0, description="Logical length after the last answer, as the server counts it.")
    inside: bool = Field(False, description="A block is open.")
    task: bool = Field(False, description="The task is visible.")
    plan: list[str] | None = Field(None, description="The plan's lines as told last; None: never.")
    files: list[str] | None = Field(None, description="Names of files as told last; None: never.")
    steers: int = Field(0, description="How many of the person's words were told.")
    planning: bool = Field(False, description="The open block is that of the facts, which the plan closes.")
    work: bool = Field(False, description="A member has been asked in the step under way.")
    instruction: str = Field("", description="The step's instruction, if a memento holds it.")
    page: list[str] = Field(default_factory=list, description="Lines of the page that the open block shows.")
    done: int = Field(0, description="How many of the step's actions mementos tell of.")
    rollovers: int = 0

    def add(self, asked: Said, answer: Said, told: dict[str, Any], tokens: int = 0) -> None:
        """Keep an exchange; `told`: fields that it changes. `tokens`: prompt and completion together, 0 where unknown."""
        self.messages += [asked, answer]
        for name, value in told.items():
            setattr(self, name, value)
        self.tokens = tokens
        if answer.memento:
            self._end_step()
        else:
            self.inside = asked.opens or (self.inside and asked.closes is None)

    def close(self, memento: str) -> None:
        """Close the open block with words that are not the model's."""
        if self.inside:
            self.messages.append(Said(role="assistant", content=memento, memento=True))
        self._end_step()

    def roll_over(self) -> None:
        fresh = Stream(rollovers=self.rollovers + 1)
        for name in type(self).model_fields:
            setattr(self, name, getattr(fresh, name))

    def fork(self) -> "Stream":
        """A copy that may be added to. Messages are never changed, so they are shared."""
        return self.model_copy(update={"messages": list(self.messages)})

    def _end_step(self) -> None:
        self.inside = self.planning = False
        for name, value in no_step().items():
            setattr(self, name, value)


def no_step() -> dict[str, Any]:
    """What a stream knows of a step that has not begun."""
    return {"work": False, "instruction": "", "page": [], "done": 0}
