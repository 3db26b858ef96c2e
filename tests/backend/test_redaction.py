"""No secret of ours leaves through events or logs."""

import logging
from pathlib import Path

import pytest

from backend.redaction import HIDDEN, LineFormatter, Redactor
from backend.store import redactor_of
from tests.backend.house import settings_of

KEY = "ks_0123456789abcdef_" + "aB3-" * 10 + "xyz"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the key sk-secret-value failed", f"the key {HIDDEN} failed"),
        (f"Authorization: Bearer {KEY}", f"Authorization: Bearer {HIDDEN}"),
        ("postgresql://me:geheim@db/x", f"postgresql://me:{HIDDEN}@db/x"),
        ("https://shop.example/a?b=c:d@e", "https://shop.example/a?b=c:d@e"),
        ("none of it", "none of it"),
    ],
)
def test_secrets_are_hidden_and_the_rest_stays(said: str, shown: str) -> None:
    redactor = Redactor(["sk-secret-value", "none"])
    assert redactor.text(said) == shown
    assert redactor.value({"a": [{"b": said}], said: 1}) == {"a": [{"b": shown}], shown: 1}


def test_a_log_line_with_its_trace_is_redacted() -> None:
    formatter = LineFormatter(Redactor(["sk-secret-value"]))
    try:
        raise ValueError("sk-secret-value")
    except ValueError as error:
        trace = (type(error), error, error.__traceback__)
    record = logging.LogRecord("keepsake", logging.ERROR, "x.py", 1, "broke with %s", ("sk-secret-value",), trace)
    line = formatter.format(record)
    assert "sk-secret-value" not in line and line.count(HIDDEN) >= 2 and "ValueError" in line


def test_the_secrets_of_the_settings_are_known(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "postgresql://me:database-word@h/d", model_key="model-key-1", model_url="http://u:model-word@h/v1")
    shown = redactor_of(settings).text("database-word model-key-1 model-word")
    assert shown == " ".join([HIDDEN] * 3)
