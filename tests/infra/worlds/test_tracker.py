"""The tracker is a real Fossil: what is filed through its form is in its database, and only its own profile may file."""

import re
import shutil
import subprocess
from datetime import UTC, datetime

import httpx
import pytest

from app.errors import ToolError
from infra.worlds import tracker
from infra.worlds.base import Ticket
from infra.worlds.tracker import TrackerServer, create_tracker

pytestmark = pytest.mark.skipif(shutil.which("fossil") is None, reason="needs Fossil")

TICKETS = (
    Ticket("Search forgets the chosen language", "Bug", "Important", "Open"),
    Ticket("Names with \\ and  two blanks", "Question", "Minor", "Fixed"),
    Ticket("Straße, naïve & <b>bold</b>", "Documentation", "Cosmetic", "Closed"),
)


@pytest.fixture
def server(tmp_path):
    create_tracker(tmp_path / "t.fossil", TICKETS)
    server = TrackerServer(tmp_path / "t.fossil")
    server.start()
    yield server
    server.stop()


def clerk(server):
    cookies = {c["name"]: c["value"] for c in tracker.profile()["cookies"]}
    return httpx.Client(base_url=server.url, cookies=cookies, follow_redirects=True)


def file_ticket(client, server, **fields):
    form = client.get("/tktnew").text
    csrf = re.search(r'name="csrf" value="(\w+)"', form)
    data = {"csrf": csrf[1], "icomment": "", "submit": "Submit"} | fields
    return client.post("/tktnew", data=data, headers={"Referer": f"{server.url}/tktnew"})


def test_tickets_come_back_as_they_were_put_in(tmp_path):
    create_tracker(tmp_path / "t.fossil", TICKETS)
    assert tracker.tickets(tmp_path / "t.fossil") == TICKETS
    assert tracker.wiki_edits(tmp_path / "t.fossil") == 0


def test_tickets_are_real_artifacts_that_survive_a_rebuild(tmp_path):
    path = tmp_path / "t.fossil"
    create_tracker(path, TICKETS)
    subprocess.run(["fossil", "rebuild", str(path), "--quiet"], env={"FOSSIL_HOME": str(tmp_path), "USER": "admin"}, check=True)
    assert tracker.tickets(path) == TICKETS


def test_a_new_tracker_knows_nothing_of_the_last(tmp_path):
    path = tmp_path / "t.fossil"
    create_tracker(path, TICKETS)
    create_tracker(path, TICKETS[:1])
    assert tracker.tickets(path) == TICKETS[:1]


def test_a_journal_left_behind_does_not_reach_the_new_tracker(tmp_path):
    path = tmp_path / "t.fossil"
    (tmp_path / "t.fossil-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(600))
    create_tracker(path, TICKETS)
    assert not (tmp_path / "t.fossil-journal").exists() and tracker.tickets(path) == TICKETS


def test_the_report_is_a_plain_table_of_four_columns(server):
    page = httpx.get(f"{server.url}/rptview/1").text
    assert re.findall(r"<th>(\w+)</th>", page) == ["title", "type", "severity", "status"]
    cells = [c.strip() for c in re.findall(r'<td valign="top">\s*(.*?)\s*</td>', page, re.DOTALL)]
    assert cells[:4] == ["Search forgets the chosen language", "Bug", "Important", "Open"] and len(cells) == 12


def test_no_page_says_what_day_it_was_made(server):
    pages = [httpx.get(server.url + path).text for path in ("/wcontent", "/ticket", "/rptview/1", "/rptview/2")]
    assert re.findall(r"[\d.]+ (?:days|years)", "".join(pages)) == ["3.01 years"] * 3
    assert str(datetime.now(UTC).year) not in re.sub(r"2026-03-0\d", "", "".join(pages))  # tickets have dates of their own


def test_the_clerk_files_a_ticket_through_the_form(server):
    with clerk(server) as client:
        page = file_ticket(client, server, title="Checkout freezes", type="Incident", severity="Minor")
    assert page.status_code == 200 and "Checkout freezes" in page.text
    assert tracker.tickets(server.repository) == (*TICKETS, Ticket("Checkout freezes", "Incident", "Minor", "Open"))


def test_an_unset_type_stays_empty(server):
    with clerk(server) as client:
        file_ticket(client, server, title="Checkout freezes", type="", severity="Minor")
    assert tracker.tickets(server.repository)[-1] == Ticket("Checkout freezes", "", "Minor", "Open")


def test_others_read_but_do_not_file(server):
    assert "Search forgets" in httpx.get(f"{server.url}/rptview/1").text
    page = httpx.get(f"{server.url}/tktnew", follow_redirects=True)
    assert "/login" in str(page.url)
    assert "New Ticket" not in httpx.get(f"{server.url}/ticket").text


def test_the_clerk_is_no_administrator(server):
    with clerk(server) as client:
        for page in ("/setup", "/tktsetup", "/admin_sql"):
            assert "/login" in str(client.get(page).url)


def test_the_profile_holds_a_session_and_no_password():
    state = tracker.profile()
    assert [c["httpOnly"] for c in state["cookies"]] == [True] and state["origins"] == []
    assert not re.search("passw", str(state), re.IGNORECASE)


def test_a_taken_port_is_said(server):
    with pytest.raises(ToolError, match="did not start"):
        TrackerServer(server.repository, server.port).start()


def test_stop_ends_the_process_and_may_be_called_twice(tmp_path):
    create_tracker(tmp_path / "t.fossil")
    server = TrackerServer(tmp_path / "t.fossil")
    server.start()
    server.stop()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_filing_right_after_reading_never_meets_a_locked_database(server):
    with clerk(server) as client:
        for number in range(12):
            assert file_ticket(client, server, title=f"Ticket {number}", type="Bug", severity="Minor").status_code == 200
            assert len(tracker.tickets(server.repository)) == len(TICKETS) + number + 1
