"""Keeps secrets out of events and logs, and text storable: whatever a model server, page or program says passes through here."""

import json
import logging
import math
import re
from typing import Any

HIDDEN = "[secret]"
_API_KEY = re.compile(r"ks_[0-9a-f]{8,32}_[0-9A-Za-z_-]{20,}")
_URL_PASSWORD = re.compile(r"(\w+://[^/\s:@]*:)[^@\s/]+@")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Redactor:
    """Replaces known secrets, API keys of our own shape and passwords in URLs by `[secret]`."""

    def __init__(self, secrets: list[str]) -> None:
        # Very short ones ("none") are no secrets and would eat ordinary words.
        self._secrets = sorted({s for s in secrets if len(s) >= 8}, key=len, reverse=True)

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = _URL_PASSWORD.sub(rf"\1{HIDDEN}@", _API_KEY.sub(HIDDEN, text))
        return _UNSTORABLE.sub("\ufffd", text)  # NUL and lone surrogates: databases and UTF-8 refuse them

    def value(self, value: Any) -> Any:
        """JSON with every string redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(k)): self.value(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(v) for v in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has no NaN
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.value(json.loads(json.dumps(value, default=str)))


class LineFormatter(logging.Formatter):
    """One event, one redacted line (a traceback follows it on lines of its own)."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


def log_to_stderr(redactor: Redactor, level: int = logging.INFO) -> None:
    """Send all logs of this process to stderr as redacted lines; libraries speak up from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(redactor))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("keepsake").setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "dbos"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
