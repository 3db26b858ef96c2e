"""The UI as a person meets it: Debian's Chromium, a real `streamlit run`, the real backend, and the real orchestrator with scripted roles."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from app.config import get_settings
from app.events import EventType
from app.schemas import ApprovalStatus, Run, RunStatus, Site, TaskCreate
from tests.app import training_files
from tests.backend import house as backend
from tests.backend.house import House
from tests.ui import trained
from tests.ui.conftest import MAIN
from tests.ui.small_team import GO, PAGE_TEXT, open_small_team

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not get_settings().chromium.exists(), reason="no Chromium on this machine"),
]
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
# In place of `keepsake train promote`: the aliases afterwards.
PROMOTES = """
import json, os, pathlib, sys
path = pathlib.Path(os.environ["KEEPSAKE_HOME"]) / "registry" / "embedded" / "aliases.json"
path.write_text(json.dumps({"production": sys.argv[-1], "previous": "first.1"}))
print(sys.argv[-1], "is production")
"""
SITE = Site(name="site", url="http://site.test/")
PATIENCE_MS = 40_000  # a busy machine; nothing here waits that long on a quiet one


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The real backend with the small team."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "open_scripted_team", open_small_team)
        patch.setattr("backend.promotions.COMMAND", (sys.executable, "-c", PROMOTES))
        with backend.running_house(backend.settings_of(tmp_path_factory.mktemp("home"))) as running:
            for name in ("first.1", "second.1"):
                training_files.version(running.settings.home, name, trained.gate("worlds.success", 0.95, 0.835))
            training_files.point(running.settings.home, production="first.1")
            metrics = training_files.steps(*range(1, 30)) + '{"step": 29, "dev": {"exact": 0.5, "n": 20}}\n'
            training_files.run(running.settings.home, "first", metrics=metrics)
            yield running


@pytest.fixture(scope="module")
def ui(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a `streamlit run` that talks to the house, started as `keepsake up` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("ui")
    log = folder / "ui.log"
    settings = {"KEEPSAKE_HOME": str(house.settings.home), "KEEPSAKE_API_URL": house.url}
    command = [sys.executable, "-m", "streamlit", "run", str(MAIN), "--server.port", str(port), "--server.address", "127.0.0.1"]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | settings, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not answers(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url
        # Streamlit's own complaints about a tab that closed are not ours; a traceback through our pages is.
        said = log.read_text()
        assert not [place for place in ("/ui/views/", "/ui/parts/", "/ui/main.py") if place in said], said
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_stcore/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=str(get_settings().chromium), args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One profile for all tabs, so that Streamlit's scripts are fetched once."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, ui: str) -> Iterator[Page]:
    """A fresh tab; fails the test when the page asked any other host for anything, or logged an error."""
    tab = context.new_page()
    hosts: set[str] = set()
    errors: list[str] = []
    tab.on("request", lambda r: hosts.add(urlsplit(r.url).netloc) if r.url.startswith(("http", "ws")) else None)
    # Streamlit looks for its own base path below a page's address first; that 404 is not ours.
    tab.on("console", lambda m: errors.append(f"{m.text} {m.location}") if m.type == "error" and "_stcore" not in str(m.location) else None)
    tab.on("pageerror", lambda e: errors.append(str(e)))
    yield tab
    tab.close()
    assert hosts <= {urlsplit(ui).netloc}
    assert errors == []


@pytest.fixture(autouse=True)
def unhindered() -> None:
    GO.set()


@pytest.fixture(scope="module")
def waiting(house: House) -> Run:
    """A run that waits for an approval, for tests that only look."""
    run = start(house)
    GO.set()
    return house.until(run, RunStatus.AWAITING_APPROVAL, seconds=30)


def start(house: House, text: str = "What do 7 kettles cost?", **more: bool) -> Run:
    run = house.client.create_task(TaskCreate(text=text, sites=[SITE], **more)).run
    assert run is not None
    return run


def show(page: Page, ui: str, run: Run) -> None:
    page.goto(f"{ui}/run?run={run.id}")


def card(page: Page, start: str):
    """Our containers by the beginning of their key."""
    return page.locator(f"[class*='st-key-{start}']")


def seen(locator) -> None:
    expect(locator.first).to_be_visible(timeout=PATIENCE_MS)


def test_a_link_to_a_run_works_as_the_first_thing_a_fresh_server_is_asked(page: Page, ui: str, house: House):
    run = start(house)
    show(page, ui, run)
    seen(card(page, "task-title").get_by_text("What do 7 kettles cost?"))
    seen(page.get_by_role("link", name="New task"))


def test_a_task_from_the_form_over_the_growing_trail_and_the_approval_to_the_answer(page: Page, ui: str, house: House):
    GO.clear()
    page.goto(ui)
    page.get_by_role("textbox", name="Task").fill("What do 7 kettles cost?")
    page.get_by_role("button", name="Add a site").click()
    page.get_by_role("textbox", name="Name").fill("site")
    page.get_by_role("textbox", name="Address").fill("http://site.test/")
    page.get_by_role("button", name="Start the team").click()
    page.wait_for_url("**/run?run=run_*", timeout=PATIENCE_MS)

    # The plan is there before the first action is done, the block shows as working, then closes with its memento.
    seen(card(page, "plan-step-1-"))
    seen(card(page, "block-open-1"))
    GO.set()
    seen(card(page, "block-shut-1"))
    seen(page.get_by_text("web did its part. Next: step 2."))

    # A fold stays open and the page stays where it is while the trail grows under it.
    card(page, "fold-1").locator("summary").click()
    seen(card(page, "entry-observation-").get_by_text("Riverside Shop"))
    assert PAGE_TEXT in card(page, "entry-observation-").locator("code").first.inner_text()
    assert page.title() != "owned", "a script out of a page's text ran"

    seen(card(page, "ask-appr_"))
    asked = card(page, "ask-appr_").first
    expect(asked.get_by_text("total.txt").first).to_be_visible()
    expect(asked.get_by_text("53.90")).to_be_visible()
    seen(card(page, "entry-observation-"))
    page.keyboard.press("Control+Enter")

    seen(card(page, "answer").get_by_text("7 kettles cost 53.90."))
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_role("button", name=re.compile("total.txt")).click()
    assert Path(download.value.path()).read_text() == "53.90\n"


def test_a_refusal_takes_a_reason_and_ends_the_run_as_refused(page: Page, ui: str, house: House):
    run = start(house)
    house.until(run, RunStatus.AWAITING_APPROVAL, seconds=30)
    show(page, ui, run)
    page.get_by_role("button", name="Refuse…").click()
    page.get_by_role("textbox", name=re.compile("^Why")).fill("not into a file")
    page.keyboard.press("Control+Enter")  # must not approve behind the person's back
    page.get_by_role("button", name="Refuse", exact=True).click()
    seen(card(page, "callout-calm-outcome").get_by_text("This was refused before"))
    seen(card(page, "gate-line-").get_by_text("“not into a file”"))
    (approval,) = house.client.approvals(run_id=run.id).items
    assert (approval.status, approval.explanation) == (ApprovalStatus.REJECTED, "not into a file")


def test_a_plan_is_edited_before_anything_is_done(page: Page, ui: str, house: House):
    run = start(house, review_plan=True)
    house.until(run, RunStatus.AWAITING_APPROVAL, seconds=30)
    show(page, ui, run)
    page.get_by_role("textbox", name="Step 1").fill("find the price of the red one")
    page.get_by_role("button", name="Add a step").click()
    page.get_by_role("textbox", name="Step 3").fill("look once more")
    page.get_by_role("button", name="Move step 3 up").click()
    expect(page.get_by_role("textbox", name="Step 2")).to_have_value("look once more", timeout=PATIENCE_MS)
    page.get_by_role("button", name="Start with my plan").click()
    seen(card(page, "block-"))
    edited = [e for e in house.events(run) if e.type == EventType.TASK_LEDGER][-1].payload
    assert edited["by"] == "person"
    assert [s["instruction"] for s in edited["plan"]] == ["find the price of the red one", "look once more", "write total.txt"]


def test_a_run_is_found_in_the_list_opened_and_its_task_deleted(page: Page, ui: str, house: House):
    run = start(house, "A task to throw away")
    house.until(run, RunStatus.AWAITING_APPROVAL, seconds=30)
    page.goto(f"{ui}/runs")
    page.get_by_role("searchbox").or_(page.get_by_label("Search the tasks")).first.fill("throw away")
    seen(card(page, f"run-row-{run.id}"))
    expect(card(page, "run-row-")).to_have_count(1, timeout=PATIENCE_MS)
    card(page, f"icon-delete-{run.id}").get_by_role("button").click()
    page.get_by_role("button", name="Delete everything").click()
    seen(page.get_by_text("No run matches."))
    assert run.task_id not in {t.id for t in house.client.tasks().items}


def test_a_version_is_promoted_with_two_clicks_beside_the_curves_of_its_run(page: Page, ui: str, house: House):
    page.goto(f"{ui}/training")
    seen(card(page, "card-job-first").get_by_test_id("stVegaLiteChart"))
    seen(card(page, "card-version-first").get_by_text("production"))
    card(page, "promote-second").get_by_role("button").click()
    page.get_by_role("button", name="Promote", exact=True).click()
    seen(page.get_by_text("Promotion done"))
    seen(card(page, "rollback-second").get_by_role("button"))
    assert house.client.training_versions().serving == "second.1"


def test_a_foreign_host_name_gets_no_session(ui: str):
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "a2VlcHNha2Uta2VlcHNhaw==",
    }
    assert httpx.get(f"{ui}/_stcore/stream", headers=handshake | {"Host": "evil.test"}).status_code == 403
    with httpx.stream("GET", f"{ui}/_stcore/stream", headers=handshake) as accepted:
        assert accepted.status_code == 101


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in(scheme: str, page: Page, ui: str, waiting: Run):
    page.emulate_media(color_scheme=scheme)
    show(page, ui, waiting)
    seen(card(page, "ask-appr_"))
    seen(card(page, "block-shut-1"))
    paper = page.evaluate("() => getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert (sum(rgb(paper)) > 380) == (scheme == "light")
    for place in (
        "task-title",
        "memento-1",
        "told-1",
        "why-appr_",
        "plan-step-2",
        "ask-appr_ h3",
        "ask-appr_ .stMarkdownBadge",
        "approve-appr_ button",
    ):
        key, _, inner = place.partition(" ")
        ratio = page.evaluate(CONTRAST, f"[class*='st-key-{key}'] {inner or 'span'}")
        assert ratio >= 4.5, f"{place}: {ratio:.2f}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_training_page_is_readable_in(scheme: str, page: Page, ui: str):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{ui}/training")
    seen(card(page, "card-job-first"))
    for key in ("version-name-first", "gate-line-first .stMarkdownBadge", "gate-line-first", "told-version-first", "job-name-first"):
        place, _, inner = key.partition(" ")
        ratio = page.evaluate(CONTRAST, f"[class*='st-key-{place}'] {inner or 'span'}")
        assert ratio >= 4.5, f"{key}: {ratio:.2f}"


def test_a_narrow_window_needs_no_sideways_scrolling(page: Page, ui: str, waiting: Run):
    page.set_viewport_size({"width": 400, "height": 800})
    for path, key in (
        ("", "composer"),
        (f"run?run={waiting.id}", "ask-appr_"),
        ("runs", "run-row-"),
        ("approvals", "ask-appr_"),
        ("training", "card-job-"),
    ):
        page.goto(f"{ui}/{path}")
        seen(card(page, key))
        wide = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth")
        assert wide <= 400, path


def rgb(colour: str) -> list[float]:
    return [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]


# WCAG 2 contrast of the first match's text against what is painted behind it.
CONTRAST = """selector => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const plain = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data; return {c: [d[0], d[1], d[2]], a: d[3] / 255}; };
  const over = (top, under) => top.c.map((v, i) => v * top.a + under[i] * (1 - top.a));
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const element = document.querySelector(selector);
  const behind = []; for (let e = element; e; e = e.parentElement) behind.push(plain(getComputedStyle(e).backgroundColor));
  const ground = behind.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  const text = over(plain(getComputedStyle(element).color), ground);
  const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""
