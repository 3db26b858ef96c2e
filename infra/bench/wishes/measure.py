"""Whether the gate takes what a person writes for what it is: messages that ask for what a form would do, and messages about the same thing that
do not, against the form as the browser reads it. No model, no browser.

`wish_held`: share of the messages that ask which the gate holds back; `wish_silent`: share of the others after which the deed would run unasked.
The scenarios of each split were written by people or agents who knew neither the rules nor the other split; a line of its file is a scenario.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, Field

from agents.roles import WebChoice
from agents.safety.house import House
from agents.safety.judge import Ruling
from agents.safety.seen import Seen
from agents.web.actions import as_write, to_action
from agents.web.screen.static import read_html
from app.errors import InvalidInput
from app.schemas import Action, Effect, Site, Verdict
from infra.bench.base import BenchContext
from infra.bench.figure import Figure, proportion


class Scenario(BaseModel):
    """A page with a form whose fields stand as the agent left them. `row`: first words of the row whose button is meant; `filled`: labels of the
    fields that the agent filled in; `files`: what lies in the workspace and was read; `asks`, `nots`: messages."""

    name: str
    site: str
    html: str
    button: str
    row: str = ""
    filled: list[str] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict)
    asks: list[str]
    nots: list[str]

    @property
    def url(self) -> str:
        return f"http://{self.site}.example/page"

    def action(self) -> Action:
        """The press of the button, as the browser proposes it. Raises InvalidInput where there is none."""
        view = read_html(self.html, self.url)
        own = [e for e in view.elements if e.kind == "button" and e.name == self.button and e.near.startswith(self.row)]
        if not own:
            raise InvalidInput(f"{self.name} has no button `{self.button}` in `{self.row}`.", hint="Mend the scenario.")
        action = to_action(WebChoice("click", element=own[0].id), view, [Site(name=self.site, url=f"http://{self.site}.example")])
        action = action if action.effect != Effect.READ or "form" in action.arguments else as_write(action, view)
        action.arguments["filled"] = [name for name in action.arguments.get("form", {}) if name in self.filled]
        return action

    def rulings(self, messages: list[str]) -> Iterator[Ruling]:
        """What the gate says of the deed after each message alone."""
        view, action = read_html(self.html, self.url), self.action()
        page = Seen(what="page", where=self.url, text="\n".join(view.text), arguments={"title": view.title, "links": []})
        seen = [page, *(Seen(what="file", where=path, text=text) for path, text in self.files.items())]
        for message in messages:
            house = House({self.site: f"http://{self.site}.example"})
            house.follow([message], seen, tuple(self.files))
            yield house.judge(action)


def scenarios(split: str) -> list[Scenario]:
    """Those of a split. Raises InvalidInput for one that has none."""
    path = files("infra.bench.wishes") / f"{split}.jsonl"
    if not path.is_file():
        raise InvalidInput(f"There are no scenarios for `{split}`.", hint="Use --split dev or eval.")
    return [Scenario.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def bench(context: BenchContext) -> dict[str, Figure]:
    """See the module. `--n`: scenarios; `--set show=1` (dev only) writes down what was taken wrong."""
    known = scenarios(context.split)[: context.n]
    advance = context.track(f"{context.split} scenarios", len(known))
    wrong: list[dict[str, Any]] = []
    counts = {"asks": [0, 0], "nots": [0, 0]}
    for scenario in known:
        for part, messages, right in (("asks", scenario.asks, True), ("nots", scenario.nots, False)):
            for message, ruling in zip(messages, scenario.rulings(messages), strict=True):
                taken = (ruling.verdict == Verdict.ALLOW) == right
                counts[part][0] += not taken
                counts[part][1] += 1
                if not taken:
                    wrong.append(
                        {"scenario": scenario.name, "part": part, "message": message, "rule": ruling.rule, "reason": ruling.reason}
                    )
        advance()
    if context.split == "dev" and "show" in context.options:
        (context.folder / "wrong.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in wrong))
    return {"wish_held": proportion(*counts["asks"]), "wish_silent": proportion(*counts["nots"])}
