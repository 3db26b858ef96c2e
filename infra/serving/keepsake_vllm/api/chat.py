"""One chat completion on its way through the middleware: what is changed in the request, what is added to the response."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from app.memento.grammar import TokenIds

from keepsake_vllm.api.call import Call
from keepsake_vllm.api.errors import invalid
from keepsake_vllm.api.reply import Asked, Choice, Reply
from keepsake_vllm.api.request import ECHO, MARK, SESSION, Mark, take_echoes, take_marks, take_session
from keepsake_vllm.api.server import Server
from keepsake_vllm.api.sessions import Session, digest, message_digest
from keepsake_vllm.api.splice import Splice

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

# What a prompt is made of besides its messages.
FRAME = ("model", "tools", "chat_template", "chat_template_kwargs", "documents", "reasoning_effort", "add_special_tokens")
FINISHED = {"stop", "length", "tool_calls"}


class Chat:
    """`begin` before vLLM sees the body, `through` around its `send`."""

    def __init__(self, server: Server, call: Call, reply: Reply) -> None:
        self._server, self._call, self._reply = server, call, reply
        self._sent: list[str] | None = None  # digests of the messages, if the client wants a session
        self._frame = ""
        self._handle: str | None = None

    @classmethod
    async def begin(cls, server: Server, call: Call, body: dict[str, Any]) -> "Chat | None":
        """Changes `body` in place; None if this model has no memento tokens. Raises Refused."""
        if server.vocabulary is None or server.decoder is None:
            if SESSION in body or any(
                isinstance(message, dict) and {ECHO, MARK} & message.keys() for message in body.get("messages") or []
            ):
                raise invalid(SESSION, "This server's model has no memento tokens: it keeps no sessions and no blocks.")
            return None
        asked = Asked(token_ids=body.get("return_token_ids") is True, reasoning=body.get("include_reasoning", True) is not False)
        call.accounts = {}
        chat = cls(server, call, Reply(asked, server.vocabulary, server.decoder, call.accounts))
        await chat._continue(body)
        body["return_token_ids"] = True
        if not asked.reasoning:
            body["include_reasoning"] = True  # or vLLM would give no ids
        return chat

    async def _continue(self, body: dict[str, Any]) -> None:
        """Put known ids in place of what was said before."""
        server, call = self._server, self._call
        marks = take_marks(body)
        session = take_session(body)
        echoes = take_echoes(body, server.vocabulary_size)
        messages = body.get("messages")
        if not isinstance(messages, list):
            return
        splice = Splice()
        if session is not None:
            self._sent = [message_digest(message) if isinstance(message, dict) else "" for message in messages]
            self._frame = digest([body.get(key) for key in FRAME])
            if session != "new":
                stored = await asyncio.to_thread(server.sessions.load, session, server.owner(call.key))
                answer = stored.position(messages, self._frame)
                echoes = {index: ids for index, ids in echoes.items() if index > answer}
                messages[answer] = _stand_in(messages[answer], splice.place(stored.ids, everything=True))
        ends = len(messages) - 1 if body.get("continue_final_message") else None
        for index in sorted({*echoes, *marks}):
            if index in echoes:
                messages[index] = _stand_in(messages[index], splice.place(echoes[index]))
            else:
                messages[index] = _marked(messages[index], marks[index], splice, server.ids, unfinished=index == ends)
        if splice.known:
            call.splice = splice

    def through(self, send: Send) -> Send:
        """`send` that adds to a chat completion or to each chunk of one; anything else goes through as it is."""
        start: Message = {}
        kind = ""
        held = b""

        async def changed(message: Message) -> None:
            nonlocal start, kind, held
            if message["type"] == "http.response.start":
                start, kind = message, _kind(message)
                if kind != "application/json":
                    await send(message)
                return
            if message["type"] != "http.response.body" or kind not in ("application/json", "text/event-stream"):
                await send(message)
                return
            held += message.get("body", b"")
            more = message.get("more_body", False)
            if kind == "text/event-stream":
                ready, held = _events(held, more)
                out = b"".join([await self._event(event) for event in ready])
                if out or not more:
                    await send({**message, "body": out})
            elif not more:
                raw = await self._whole(held)
                headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
                await send({**start, "headers": [*headers, (b"content-length", str(len(raw)).encode())]})
                await send({"type": "http.response.body", "body": raw})

        return changed

    async def _whole(self, raw: bytes) -> bytes:
        response = json.loads(raw)
        if not isinstance(response, dict) or not response.get("choices"):
            return raw
        self._reply.whole(response)
        handle = await self._save()
        if handle:
            response[SESSION] = handle
        return json.dumps(response, ensure_ascii=False, separators=(",", ":")).encode()

    async def _event(self, event: bytes) -> bytes:
        """One server-sent event with its blank line."""
        data = event.removeprefix(b"data:").strip()
        if not event.startswith(b"data:") or not data.startswith(b"{"):
            return event
        chunk = json.loads(data)
        if "choices" not in chunk:
            return event
        self._reply.chunk(chunk)
        finished = any(choice.get("finish_reason") for choice in chunk["choices"])
        if finished and self._handle is None:
            self._handle = await self._save()
        if self._handle and (finished or not chunk["choices"]):
            chunk[SESSION] = self._handle
        return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"

    async def _save(self) -> str | None:
        """Keep the conversation; the handle of its next turn. None if the client did not ask, or the answer broke off."""
        choice: Choice | None = self._reply.choices.get(0)
        if self._sent is None or choice is None or choice.finish not in FINISHED or not self._reply.prompt:
            return None
        session = Session(self._reply.prompt + choice.ids, self._sent, message_digest(choice.message), self._frame)
        return await asyncio.to_thread(self._server.sessions.save, session, self._server.owner(self._call.key))


def _stand_in(message: dict[str, Any], placeholder: str) -> dict[str, Any]:
    """An answer of which the template shall render only where it begins and what comes after it."""
    return {"role": message.get("role"), "content": placeholder}


def _marked(message: dict[str, Any], mark: Mark | None, splice: Splice, ids: TokenIds | None, unfinished: bool) -> dict[str, Any]:
    """A message with the tokens that its mark stands for. An unfinished memento is the model's to go on with: nothing closes it yet."""
    assert ids is not None
    end, content = [ids.block_end, ids.summary_start], message["content"]
    if mark is None:
        content = splice.place(end) + content + ("" if unfinished else splice.place([ids.summary_end]))
    else:
        before = splice.place(end) + mark.close + splice.place([ids.summary_end]) if mark.close is not None else ""
        content = before + mark.kept + (splice.place([ids.block_start]) if mark.open else "") + content
    return {**message, "content": content}


def _kind(start: Message) -> str:
    """The media type of a response that went well; "" otherwise."""
    if start["status"] != 200:
        return ""
    for name, value in start["headers"]:
        if name.lower() == b"content-type":
            return value.decode("latin-1").split(";")[0].strip().lower()
    return ""


def _events(held: bytes, more: bool) -> tuple[list[bytes], bytes]:
    """Complete server-sent events in what has come, and the rest."""
    events = held.split(b"\n\n")
    rest = events.pop()
    if rest and not more:
        return [*(event + b"\n\n" for event in events), rest], b""
    return [event + b"\n\n" for event in events], rest
