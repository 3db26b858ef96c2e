"""Two hundred spellings of addresses: what the gate judges is what Chromium would open, or nothing."""

import json
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from agents.safety.gate import path_refusal
from agents.safety.grants import Origin
from app.config import Settings

SPELLINGS = [json.loads(line) for line in (Path(__file__).parent / "addresses.jsonl").read_text().splitlines()]
READ = """urls => urls.map(u => {
  try { const x = new URL(u); return [x.protocol, x.hostname, x.port, !!(x.username || x.password)] } catch { return null }
})"""


@pytest.mark.browser
@pytest.mark.asyncio
async def test_the_gate_reads_addresses_as_the_browser_does():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(Settings().chromium), args=["--no-sandbox"])
        read = await (await browser.new_page()).evaluate(READ, SPELLINGS)
        await browser.close()
    assert len(SPELLINGS) > 200
    stricter = []
    for spelling, found in zip(SPELLINGS, read, strict=True):
        wanted = None
        if found is not None and found[0] in ("http:", "https:") and not found[3]:
            port = int(found[2]) if found[2] else {"http:": 80, "https:": 443}[found[0]]
            wanted = Origin(found[0][:-1], found[1].strip("[]").rstrip("."), port)
        ours = Origin.of(spelling)
        if ours is None and wanted is not None:
            stricter.append(spelling)
        else:
            assert ours == wanted, spelling
    assert all(" " in spelling.strip() or "%20" in spelling for spelling in stricter), (
        "only blanks in a host, which no site has, are taken for broken"
    )


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "/",
            "/etc/passwd",
            "//a",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "a/../../b",
            "./../a",
            "a\\b",
            "..\\a",
            "C:\\a",
            "\\\\host\\share",
            "a\0b",
            "\0",
        ),
        *("a/b/../../../c", "/../a", "~/../..", "a/./../..", "...\\..", "a//../..", "../", "/a", "///"),
    ],
)
def test_a_path_that_leads_out_is_refused(path: str):
    assert path_refusal(path)


@pytest.mark.parametrize(
    "path", ["a", "a.txt", "a/b.csv", "./a", "a//b", "...", "a..b", "..a", "a/...", "~a", "-a", "a b", "日本.txt", "%2e%2e/a", "a:b", "."]
)
def test_a_path_inside_is_not(path: str):
    assert path_refusal(path) is None
