"""Profiles and sessions: kept for their owner alone, found again, forgotten on demand."""

import stat

import httpx
import pytest

from agents.web import storage
from agents.web.cookies import fill_jar, read_jar
from app.errors import InvalidInput, NotFound

COOKIE = {
    "name": "s",
    "value": "1",
    "domain": "127.0.0.1",
    "path": "/",
    "expires": -1,
    "httpOnly": True,
    "secure": False,
    "sameSite": "Lax",
}
STATE = {"cookies": [COOKIE], "origins": [{"origin": "http://127.0.0.1", "localStorage": [{"name": "k", "value": "v"}]}]}


def test_profiles_are_merged_and_private(settings):
    path = storage.save_profile(settings, "one", STATE)
    storage.save_profile(settings, "two", {"cookies": [COOKIE | {"name": "t"}], "origins": []})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    merged = storage.load_profiles(settings, ["one", "two", "one"])
    assert [c["name"] for c in merged["cookies"]] == ["s", "t"]
    assert merged["origins"] == STATE["origins"]


def test_a_missing_or_broken_profile_is_an_error(settings):
    with pytest.raises(NotFound, match="no browser profile `gone`"):
        storage.load_profiles(settings, ["gone"])
    storage.save_profile(settings, "broken", STATE).write_text("{")
    with pytest.raises(NotFound):
        storage.load_profiles(settings, ["broken"])


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "UPPER", ".hidden"])
def test_names_cannot_lead_out(settings, name):
    with pytest.raises(InvalidInput):
        storage.load_profiles(settings, [name])
    with pytest.raises(InvalidInput):
        storage.load_session(settings, f"browser/{name}.json")


def test_a_session_is_kept_and_forgotten(settings):
    name = storage.new_session()
    storage.save_session(settings, name, STATE)
    assert storage.load_session(settings, name) == STATE
    assert stat.S_IMODE((settings.data_dir / name).stat().st_mode) == 0o600
    storage.forget_session(settings, {"storage": name})
    storage.forget_session(settings, {"storage": name})
    storage.forget_session(settings, {})
    assert storage.load_session(settings, name) is None


@pytest.mark.parametrize("domain", ["127.0.0.1", "localhost", ".example.org", "shop.example.org"])
def test_cookies_come_back_from_the_jar_as_they_went_in(domain):
    jar = httpx.Cookies().jar
    cookie = COOKIE | {"domain": domain, "expires": 4_000_000_000}
    fill_jar(jar, {"cookies": [cookie]})
    assert read_jar(jar) == [cookie]
