"""The vault: who may be sent what, what the file must be like, and that no value is told."""

from pathlib import Path

import pytest

from app.errors import ActionRefused, InvalidInput, SetupError
from app.vault import Secret, Vault, handles, keep

SITES = {"shop": "http://127.0.0.1:9001/"}


def vault(*sites: str, **source: str) -> Vault:
    return Vault({"key": Secret.model_validate({"sites": sites, **(source or {"value": "tulip-River-88"})})}, SITES)


@pytest.mark.parametrize(
    ("audience", "url", "admitted"),
    [
        ("shop", "http://127.0.0.1:9001/login", True),
        ("shop", "http://127.0.0.1:9002/login", False),
        ("shop", "https://shop/", False),
        ("bank.example", "https://bank.example/in?x=1", True),
        ("bank.example", "https://bank.example.evil.example/", False),
        ("bank.example", "https://evil.example/bank.example", False),
        ("*.bank.example", "https://login.bank.example/", True),
        ("*.bank.example", "https://bank.example/", False),
        ("bank.example:8443", "https://bank.example:8443/", True),
        ("bank.example:8443", "https://bank.example/", False),
        ("BANK.example", "https://Bank.Example/", True),
        ("*", "file:///etc/passwd", False),
        ("*", "javascript:alert(1)", False),
    ],
)
def test_a_secret_goes_to_its_audience_only(audience: str, url: str, admitted: bool):
    assert vault(audience).admits("key", url) == admitted
    if admitted:
        assert vault(audience).fill("x {{secret:key}} y", url) == "x tulip-River-88 y"
    else:
        with pytest.raises(ActionRefused):
            vault(audience).fill("{{secret:key}}", url)


def test_an_unknown_secret_goes_nowhere():
    with pytest.raises(ActionRefused):
        vault("*").fill("{{secret:other}}", "https://bank.example/")


def test_what_a_page_shows_is_a_handle_again():
    told = vault("shop").hidden({"text": ["you are tulip-River-88", {"value": "tulip-River-88"}], "n": 3})
    assert told == {"text": ["you are {{secret:key}}", {"value": "{{secret:key}}"}], "n": 3}
    assert "tulip" not in repr(vault("shop")) and "tulip" not in repr(vault("shop").audiences)
    assert vault("shop", value="abc").hide("abc") == "abc", "a short one would eat ordinary words"


def test_a_secret_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch):
    held = vault("shop", env="SHOP_KEY")
    with pytest.raises(SetupError):
        held.fill("{{secret:key}}", SITES["shop"])
    assert held.values() == []
    monkeypatch.setenv("SHOP_KEY", "lark-cobalt-59")
    assert held.fill("{{secret:key}}", SITES["shop"]) == "lark-cobalt-59" and held.values() == ["lark-cobalt-59"]


def test_the_file_belongs_to_its_owner_alone_and_is_put_together_by_the_command(tmp_path: Path):
    path = tmp_path / "home" / "secrets.yaml"
    assert not Vault.read(path)
    keep(path, "shop-password", {"value": "tulip-River-88", "sites": ["shop"]})
    assert path.stat().st_mode & 0o777 == 0o600
    assert Vault.read(path, SITES).audiences == {"shop-password": ("shop",)}
    path.chmod(0o644)
    with pytest.raises(SetupError, match="Others can read"):
        Vault.read(path)
    path.chmod(0o600)
    keep(path, "shop-password", None)
    assert not Vault.read(path)
    for wrong in ("../x", "a b", ""):
        with pytest.raises(InvalidInput):
            keep(path, wrong, {"value": "x", "sites": ["shop"]})


@pytest.mark.parametrize("text", ["- a", "a: {value: hush-hush-77}", "a: {value: hush-hush-77, env: B, sites: [x]}", "a: [", "7"])
def test_a_file_that_is_not_right_is_told_without_its_values(tmp_path: Path, text: str):
    path = tmp_path / "secrets.yaml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SetupError) as told:
        Vault.read(path)
    assert "hush" not in f"{told.value.message} {told.value.hint} {told.value.__cause__}"


def test_handles_are_found_wherever_they_stand():
    assert handles({"a": ["x {{secret:one}}", {"b": "{{ secret:two }}"}], "c": 3}) == {"one", "two"}
