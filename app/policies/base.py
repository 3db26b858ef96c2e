"""Policies of the gate as data: what runs unasked, what asks, what is refused. Read by people, written as YAML, see docs/gate.md."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from app.effects import Effect

NAME = r"^[a-z][a-z0-9_-]{0,31}$"
_Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Patterns = Annotated[list[_Pattern], BeforeValidator(lambda given: [given] if isinstance(given, str) else given), Field(max_length=100)]
_Effects = Annotated[list[Effect], BeforeValidator(lambda given: [given] if isinstance(given, str) else given), Field(max_length=20)]


class Then(StrEnum):
    """What a rule says, from the mildest to the strictest."""

    ALLOW = "allow"  # runs, whether the person's words ask for it or not
    WORDS = "words"  # runs if the person's words ask for it, and asks otherwise
    ASK = "ask"
    REFUSE = "refuse"


class Rule(BaseModel):
    """Fits an action if all that it names does; a list that is left out fits anything."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    effects: _Effects = Field(default_factory=list, description="read, write, send, delete, pay, exec, credential")
    actions: _Patterns = Field(default_factory=list, description="Patterns of actions: `web.*`, `files.write`, `tool.send_*`.")
    sites: _Patterns = Field(default_factory=list, description="Names of the task's sites, or patterns of hosts: `*.example.org`.")
    files: _Patterns = Field(default_factory=list, description="Patterns of paths in the workspace: `reports/*.csv`.")
    over: Decimal | None = Field(None, ge=0, description="Payments above this sum, or of a sum that the page does not tell.")
    then: Then
    why: str = Field("", max_length=300, description="The reason that people read.")


class PolicyFile(BaseModel):
    """A policy in full. The first rule that fits an action decides, `otherwise` where none does; what is refused always stays so."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=NAME)
    title: str = Field("", max_length=80)
    about: str = Field("", max_length=300)
    rules: list[Rule] = Field(default_factory=list, max_length=100)
    otherwise: Literal["words", "ask", "refuse"]
    why: str = Field("", max_length=300, description="The reason of `otherwise`.")
    unanswered: Literal["ask", "refuse"] = Field("ask", description="`refuse`: nobody is there, so what would ask is refused.")


class PolicyItem(BaseModel):
    """A policy on offer; `error` says what is wrong with a file that cannot be read."""

    name: str
    title: str = ""
    about: str = ""
    own: bool = Field(False, description="Whether it is a file of this machine's person.")
    rules: list[Rule] = Field(default_factory=list)
    error: str = ""
