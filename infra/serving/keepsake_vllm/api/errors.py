"""What the API refuses, in OpenAI's error shape."""

from typing import Any


class Refused(Exception):
    """A request that is not served. `message` says what is wrong and what is allowed, `code` names it for programs."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": "invalid_request_error", "param": self.param, "code": self.code}}


def invalid(param: str, message: str) -> Refused:
    """A 400 about one field."""
    return Refused(400, "invalid_value", message, param)
