"""What a request may ask of mementos, checked before vLLM sees it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from keepsake_vllm.api.errors import invalid
from keepsake_vllm.engine.options import OptionError, request_options

SESSION = "memento_session"
ECHO = "memento_token_ids"
MARK = "memento"
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


class Mark(BaseModel):
    """What of the memento grammar stands in a user message, in this order: the open block is closed with `close` as its memento, `kept` stays
    visible, with `open` a block begins, then comes the content. An assistant message marked "close" is the memento of the open block."""

    model_config = ConfigDict(extra="forbid", strict=True)

    close: str | None = None
    kept: str = ""
    open: bool = False


def take_marks(body: dict[str, Any]) -> dict[int, Mark | None]:
    """Marks of messages by index, taken out of them; None for an assistant's memento. They make blocks that span turns. Raises Refused."""
    marks: dict[int, Mark | None] = {}
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else []):
        if not isinstance(message, dict) or MARK not in message:
            continue
        mark, where, role = message.pop(MARK), f"messages[{index}].{MARK}", message.get("role")
        if mark is None or (isinstance(mark, dict) and role == "assistant"):  # an answer of ours as it came, with its typed parts
            continue
        if not isinstance(message.get("content"), str) or message.get("tool_calls"):
            raise invalid(where, f"{where}: a marked message has a string for its content, and no tool calls.")
        if role == "assistant" and mark == "close":
            marks[index] = None
        elif role == "user" and isinstance(mark, dict):
            try:
                marks[index] = Mark.model_validate(mark)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                raise invalid(where, f"{where}.{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
        else:
            raise invalid(
                where, f'{where}: on an assistant message "close", on a user message {{"close": text, "kept": text, "open": true}}.'
            )
    if marks and (SESSION in body or _own_ids(body)):
        raise invalid(MARK, f"Marked messages go with neither {SESSION} nor kv_transfer_params.prompt_token_ids.")
    return marks


def _own_ids(body: dict[str, Any]) -> bool:
    given = body.get("kv_transfer_params")
    return isinstance(given, dict) and given.get("prompt_token_ids") is not None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
