"""A secret in a real browser: the site gets its value, and nothing that a model, a run's state or its record holds does."""

import pytest

from agents.files.workspace import Workspace
from agents.journal import MemoryJournal
from agents.safety.permit import issue
from agents.state import Block, TeamState
from agents.web.agent import WebMember
from app.errors import ActionRefused
from app.schemas import Site
from app.vault import Secret, Vault
from tests.agents.web.local_site import LocalSite
from tests.agents.web.test_agent import Script

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]

VALUE, HANDLE = "tulip-River-88", "{{secret:shop-key}}"
LOGIN = (
    "<title>In</title><form method=post action={to}><label>User <input name=u></label><label>Password <input type=password name=p></label>"
)
LOGIN += "<label>Word <input name=w></label><button>Log in</button></form>"


def member(settings, site: LocalSite, tmp_path, make_browser) -> WebMember:
    vault = Vault({"shop-key": Secret(value=VALUE, sites=("shop",))}, {"shop": site.url})
    journal, space = MemoryJournal(), Workspace(tmp_path / "space")
    surface = make_browser(site, vault=vault)
    return WebMember(settings, [Site(name="shop", url=site.url)], journal, site.allows, space.write, surface, vault)


async def steps(made: WebMember, script: Script, count: int) -> TeamState:
    state = TeamState(task="t", block=Block(number=1, agent="web", instruction="log in"))
    for _ in range(count):
        action = await made.propose(state, state.block, script)
        await made.perform(state, state.block, action, issue(action))
        state = TeamState.model_validate_json(state.model_dump_json())
    return state


async def test_the_site_gets_the_value_and_nobody_else_does(make_browser, make_site, settings, tmp_path):
    site = make_site(
        {"/": LOGIN.format(to="/in"), "/in": lambda a: f"<title>Welcome</title><p>You said {a.fields['p']}, {a.fields['w']}.</p>"}
    )
    script = Script(
        ("visit", "shop"), ("type", "box Password", HANDLE), ("type", "box Word", HANDLE), ("click", "button Log in"), ("answer", "done")
    )
    made = member(settings, site, tmp_path, make_browser)
    state = await steps(made, script, 3)
    assert VALUE not in state.model_dump_json() and HANDLE in state.model_dump_json(), "what is filled in again later is the handle"
    action = await made.propose(state, state.block, script)
    assert action.arguments["form"] == {"User": "", "Password": "********", "Word": HANDLE}
    await made.perform(state, state.block, action, issue(action))
    await made.propose(state, state.block, script)
    assert site.asked[-1].fields["p"] == VALUE and site.asked[-1].fields["w"] == VALUE
    shown = script.views[-1].page
    assert shown and f"You said {HANDLE}, {HANDLE}." in " ".join(shown.text), "a page that tells it tells its handle"
    assert VALUE not in state.model_dump_json()
    assert all(VALUE not in view.page.model_dump_json() for view in script.views if view.page)


async def test_a_form_that_leads_elsewhere_does_not_get_it(make_browser, make_site, settings, tmp_path):
    site = make_site({"/": LOGIN.format(to="http://127.0.0.1:9/in")})
    made = member(settings, site, tmp_path, make_browser)
    with pytest.raises(ActionRefused, match="may not go"):
        await steps(made, Script(("visit", "shop"), ("type", "box Password", HANDLE)), 2)
