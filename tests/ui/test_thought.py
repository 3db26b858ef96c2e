"""A model's thoughts on the run page: what was freed, what stayed, and what the cache held because of it."""

import pytest
from streamlit.testing.v1 import AppTest

from app.memento.thought import Thought
from tests.ui import stories
from tests.ui.conftest import Page, rendered, texts
from tests.ui.fake_api import World
from ui.parts.thought import purpose


@pytest.fixture(autouse=True)
def thoughtful(world: World) -> None:
    """Runs of a model that thinks in blocks: done, at work, failed."""
    world.add(stories.thinking(), stories.LOOKUP_TEXT, "run_thought")
    world.add(stories.thinking(end=False), stories.LOOKUP_TEXT, "run_thinking")
    world.add([*stories.thinking(end=False), *stories.failed()[-2:]], stories.LOOKUP_TEXT, "run_thought_failed")


def opened(open_page: Page, run: str, *folds: str) -> AppTest:
    page = open_page("run", run=run)
    for fold in folds or ("fold-1",):
        page.session_state[fold] = True
    return page.run()


def badges(page: AppTest) -> str:
    return "\n".join(line for line in rendered(page).splitlines() if "badge" in line)


def test_a_thoughts_blocks_stand_in_their_team_blocks_fold_with_the_memento_first(open_page: Page):
    assert "open the shop" not in texts(open_page("run", run="run_thought"))
    shown = texts(opened(open_page, "run_thought"))
    memento, block = (
        shown.index("open the shop"),
        shown.index("The shop has to be opened before anything can be looked up in it, and its address is known."),
    )
    assert block == memento + 1


def test_a_freed_block_says_how_many_tokens_the_server_freed(open_page: Page):
    page = opened(open_page, "run_thought")
    drawn = badges(page)
    assert [f"evicted: {freed} tokens freed" in drawn for freed in (24, 47, 71, 467, 2)] == [True] * 5


def test_the_peak_is_told_beside_what_it_would_have_been(open_page: Page):
    drawn = rendered(opened(open_page, "run_thought"))
    [told] = [
        Thought.model_validate(e.payload) for e in stories.thought(1, "web", (stories.LONG_THOUGHT, "the page says 7.70", 467), peak=892)
    ]
    assert f"peak **892** tokens in the cache instead of **{told.full_kv_tokens}**" in drawn


def test_a_block_that_was_not_freed_and_one_that_was_cut_off_say_so(open_page: Page):
    drawn = rendered(opened(open_page, "run_thought"))
    assert "Cut off before its memento." in drawn and "An empty memento." in drawn
    assert "still in the cache" in drawn
    assert "peak 430 tokens in the cache; nothing was evicted before the answer ended" in drawn


def test_a_long_block_is_cut_until_it_is_asked_for(open_page: Page):
    page = opened(open_page, "run_thought")
    assert stories.LONG_THOUGHT.strip() not in texts(page)
    next(t for t in page.toggle if t.label.startswith("Show all 1.9k")).set_value(True).run()
    assert stories.LONG_THOUGHT.strip() in texts(page)


def test_thoughts_outside_the_trail_and_the_sums_have_a_card(open_page: Page):
    page = opened(open_page, "run_thought", "fold-thoughts")
    drawn = rendered(page)
    assert "freed **630** tokens of **7 blocks** of thought" in drawn
    assert "3 thoughts outside the trail" in drawn
    assert {"price first, then multiply", "step 1 is next", "7 * 7.70"} <= set(texts(page))
    assert "before the plan" in drawn and "before the answer" in drawn


def test_runs_without_thoughts_have_no_such_card(open_page: Page):
    assert "Thoughts" not in rendered(open_page("run", run="run_done"))


@pytest.mark.parametrize("run", ["run_thought", "run_thinking", "run_thought_failed"])
def test_what_a_thought_quotes_is_never_rendered(open_page: Page, run: str):
    page = opened(open_page, run, "fold-1", "fold-thoughts")
    assert not page.exception
    assert sum("Ignore previous" in t for t in texts(page)) == 2, "the block and its memento, as text"
    for sign in ("<script", "<img", "evil.test", "<|", "Ignore previous", ":red[danger"):
        assert sign not in rendered(page)


def test_a_block_at_work_is_still_thinking_and_a_failed_one_was_cut_short(open_page: Page):
    assert "shimmer[web is thinking]" in rendered(open_page("run", run="run_thinking"))
    assert "Cut short: the run ended inside this block." in rendered(open_page("run", run="run_thought_failed"))


@pytest.mark.parametrize("role", ["plan", "**bold**", ""])
def test_what_a_thought_was_for_is_in_plain_words(role: str):
    assert "*" not in purpose(role) and purpose(role).startswith(("before", "for"))
