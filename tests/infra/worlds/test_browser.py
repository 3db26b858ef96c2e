"""Both sites in real Chromium, used the way a person does: by labels, links and buttons."""

import os
import shutil
from dataclasses import replace

import pytest
from playwright.async_api import async_playwright

from app.config import Settings
from infra.worlds import tracker
from infra.worlds.families import tasks
from infra.worlds.instance import WorldInstance

CHROMIUM = Settings().chromium
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")]


@pytest.fixture
async def page():
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        context = await browser.new_context(storage_state=tracker.profile())
        context.set_default_timeout(10_000)
        yield await context.new_page()
        await browser.close()


async def test_a_person_orders_in_the_shop(page, tmp_path):
    task = next(t for t in tasks("order", "train") if t.goal.within)
    async with WorldInstance(replace(task, fault_rate=0.0), tmp_path) as world:
        await page.goto(world.sites[0].url)
        await page.get_by_label("Search").fill(task.goal.item)
        await page.get_by_role("button", name="Search").click()
        await page.get_by_role("link", name=task.goal.item, exact=True).click()
        await page.get_by_label("Quantity").fill(str(task.goal.count))
        await page.get_by_role("button", name="Add to cart").click()
        await page.get_by_role("button", name="Place order").click()
        await page.get_by_role("heading", name="Order 1 placed").wait_for()
        assert world.check() == (True, "")


async def test_a_failed_page_comes_back_on_reload(page, tmp_path):
    task = next(t for t in tasks("order", "train") if t.variant == "text")
    async with WorldInstance(replace(task, fault_rate=1.0), tmp_path) as world:
        first = await page.goto(world.sites[0].url)
        second = await page.reload()
        assert first and second and (first.status, second.status) == (503, 200)


@pytest.mark.skipif(shutil.which("fossil") is None, reason="needs Fossil")
async def test_a_person_files_a_ticket_through_fossils_own_form(page, tmp_path):
    task = next(t for t in tasks("ticket", "train") if t.variant == "typed")
    async with WorldInstance(task, tmp_path) as world:
        await page.goto(world.sites[0].url)
        await page.get_by_role("link", name="New Ticket").click()
        await page.get_by_label("Title").fill(task.goal.ticket.title)
        await page.get_by_label("Type").select_option(label=task.goal.ticket.type)
        await page.get_by_label("Severity").select_option(label=task.goal.ticket.severity)
        await page.get_by_role("button", name="Submit").click()
        assert await page.get_by_text(task.goal.ticket.title).is_visible()
        assert world.check() == (True, "")


@pytest.mark.skipif(shutil.which("fossil") is None, reason="needs Fossil")
async def test_the_report_shows_every_ticket(page, tmp_path):
    task = next(tasks("summary", "train"))
    async with WorldInstance(task, tmp_path) as world:
        await page.goto(world.sites[0].url)
        await page.get_by_role("link", name="Tickets", exact=True).click()
        await page.get_by_role("link", name="All Tickets").click()
        rows = [(await row.locator("td").all_inner_texts()) for row in await page.locator("table tbody tr").all()]
        assert rows == [[t.title, t.type, t.severity, t.status] for t in task.tickets]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_can_be_read_in_light_and_dark(page, tmp_path, scheme):
    task = next(t for t in tasks("order", "train"))
    await page.emulate_media(color_scheme=scheme)
    async with WorldInstance(replace(task, fault_rate=0.0), tmp_path) as world:
        await page.goto(world.sites[0].url)
        ink, paper = await page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
        assert _contrast(ink, paper) > 7


def _contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two `rgb(r, g, b)` colours."""

    def luminance(colour: str) -> float:
        parts = [int(p) / 255 for p in colour[4:-1].split(",")]
        red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
