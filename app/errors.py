"""Every failure Keepsake can name, and whose fault it is.

    KeepsakeError                     boundary   retryable
    ├── UserError                     user       no     the request itself is wrong; the message says how to mend it
    │   ├── InvalidInput                                 empty or oversized text, a bad value
    │   │   └── TooLarge                                 a request body or upload over the limit
    │   ├── NotFound                                     no such task, run, file, approval
    │   ├── Conflict                                     decided already, wrong state, idempotency key reused
    │   └── Unauthorised                                 missing or wrong API key, foreign Host or Origin
    ├── ModelError                    model
    │   ├── ModelUnavailable                     yes    nothing answers, or the server died in mid-run
    │   ├── ModelTimeout                         yes    no answer within the limit
    │   └── ModelOutputInvalid                   no     still malformed after retries with feedback
    ├── ToolError                     tool
    │   ├── NavigationFailed                     yes    a page did not load in time or at all
    │   ├── ElementMissing                       no     the element is gone or was never on the page
    │   ├── WorkspaceError                       no     no such file, not text, too large
    │   └── BrowserUnavailable                   no     no Chromium on this machine
    ├── SandboxError                  sandbox
    │   ├── SandboxUnavailable                   no     neither bubblewrap nor an engine: the coder refuses
    │   └── SandboxFailed                        yes    the sandbox itself broke; never shown as program output
    ├── PolicyError                   policy     no
    │   ├── ActionRefused                                the gate said no
    │   └── PermitMissing                                somebody tried to act around the gate: a bug
    ├── StorageError                  storage    yes    database or disk
    ├── BudgetExceeded                user       no     steps, tokens or time are used up
    └── SetupError                    setup      no     something must be installed or configured first

Where each mechanism lives: *vocabulary* here; *classification* at the boundary that meets the foreign exception (model client, browser,
sandbox, store) and nowhere else; *surfacing* in backend.problems (RFC 9457) and in the run's events; *capture* in the worker, which turns
an unknown exception into an `error` event and a failed run. A bad run is data, not a crash.
"""

from typing import Any


class KeepsakeError(Exception):
    """Base of all typed errors. `message` says what is wrong, `hint` what to do about it."""

    boundary = "internal"
    code = "internal_error"
    retryable = False
    status = 500

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def as_payload(self) -> dict[str, Any]:
        """The form in which an error stands in an event: code, boundary, message, hint, retryable."""
        return {
            "code": self.code,
            "boundary": self.boundary,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
            **({"details": self.details} if self.details else {}),
        }


class UserError(KeepsakeError):
    boundary, code, status = "user", "user_error", 400


class InvalidInput(UserError):
    code, status = "invalid_input", 422


class TooLarge(InvalidInput):
    code, status = "too_large", 413


class NotFound(UserError):
    code, status = "not_found", 404


class Conflict(UserError):
    code, status = "conflict", 409


class Unauthorised(UserError):
    code, status = "unauthorised", 401


class BudgetExceeded(UserError):
    code, status = "budget_exceeded", 409


class ModelError(KeepsakeError):
    boundary, code, status = "model", "model_error", 502


class ModelUnavailable(ModelError):
    code, retryable, status = "model_unavailable", True, 503


class ModelTimeout(ModelError):
    code, retryable, status = "model_timeout", True, 504


class ModelOutputInvalid(ModelError):
    code = "model_output_invalid"


class ToolError(KeepsakeError):
    boundary, code, status = "tool", "tool_error", 502


class NavigationFailed(ToolError):
    code, retryable = "navigation_failed", True


class ElementMissing(ToolError):
    code = "element_missing"


class WorkspaceError(ToolError):
    code = "workspace_error"


class BrowserUnavailable(ToolError):
    code = "browser_unavailable"


class SandboxError(KeepsakeError):
    boundary, code = "sandbox", "sandbox_error"


class SandboxUnavailable(SandboxError):
    code = "sandbox_unavailable"


class SandboxFailed(SandboxError):
    code, retryable = "sandbox_failed", True


class PolicyError(KeepsakeError):
    boundary, code, status = "policy", "policy_error", 403


class ActionRefused(PolicyError):
    code = "action_refused"


class PermitMissing(PolicyError):
    code = "permit_missing"


class StorageError(KeepsakeError):
    boundary, code, retryable, status = "storage", "storage_error", True, 503


class SetupError(KeepsakeError):
    boundary, code, status = "setup", "setup_error", 503
