"""What a request may ask of mementos, checked before vLLM sees it."""

from typing import Any

from keepsake_vllm.api.errors import invalid
from keepsake_vllm.engine.options import OptionError, request_options

SESSION = "memento_session"
ECHO = "memento_token_ids"
MAX_HANDLE = 200


def check_xargs(body: dict[str, Any]) -> None:
    """`vllm_xargs`: our keys and their values. Raises Refused (400). What is not ours is left to vLLM."""
    xargs = body.get("vllm_xargs")
    if not isinstance(xargs, dict):
        return
    try:
        request_options(xargs)
    except OptionError as error:
        raise invalid(f"vllm_xargs.{error.name}", f"{error}.") from None


def take_session(body: dict[str, Any]) -> str | None:
    """The body's session, taken out of it: None, "new" or a handle. Raises Refused."""
    session = body.pop(SESSION, None)
    if session is None:
        return None
    if not isinstance(session, str) or not 0 < len(session) <= MAX_HANDLE:
        raise invalid(SESSION, f'{SESSION} must be "new" or a handle that an earlier response gave.')
    if body.get("n") not in (None, 1):
        raise invalid("n", f"{SESSION} follows one answer: n must be 1.")
    if body.get("use_beam_search") or body.get("echo") or _own_ids(body):
        raise invalid(SESSION, f"{SESSION} goes with neither use_beam_search nor echo nor kv_transfer_params.prompt_token_ids.")
    return session


def take_echoes(body: dict[str, Any], vocabulary_size: int) -> dict[int, list[int]]:
    """Token ids that messages carry, by index, taken out of them. Raises Refused."""
    echoes: dict[int, list[int]] = {}
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else []):
        if not isinstance(message, dict) or ECHO not in message:
            continue
        ids, where = message.pop(ECHO), f"messages[{index}].{ECHO}"
        if ids is None:
            continue
        if message.get("role") != "assistant":
            raise invalid(where, f"{where}: only an assistant message has token ids.")
        if not isinstance(ids, list) or not ids or not all(_whole(token) and 0 <= token < vocabulary_size for token in ids):
            raise invalid(where, f"{where} must be a list of this model's token ids, each from 0 to {vocabulary_size - 1}.")
        echoes[index] = ids
    if echoes and _own_ids(body):
        raise invalid(ECHO, f"{ECHO} does not go with kv_transfer_params.prompt_token_ids.")
    return echoes


def _own_ids(body: dict[str, Any]) -> bool:
    given = body.get("kv_transfer_params")
    return isinstance(given, dict) and given.get("prompt_token_ids") is not None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
