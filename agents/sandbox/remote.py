"""The sandbox of a deployment as the app sees it: the service sandboxd, which alone holds an engine. See infra/sandboxd for the other end.

The body of POST /exec and of its answer are the very bytes that a supervisor takes and gives (wire.py), so this client checks a reply as
strictly as if it had come from inside a sandbox directly.
"""

from collections.abc import AsyncGenerator, AsyncIterator

import httpx

from agents.sandbox.supervised import OVERHEAD_S, SupervisedSandbox
from agents.sandbox.wire import Order, frame
from app.errors import InvalidInput, SandboxError, SandboxFailed, SandboxUnavailable

HINT = "Start sandboxd and check KEEPSAKE_SANDBOXD_URL and KEEPSAKE_SANDBOXD_TOKEN_FILE."
TYPED: dict[str, type[SandboxError | InvalidInput]] = {error.code: error for error in (InvalidInput, SandboxFailed, SandboxUnavailable)}


class RemoteSandbox(SupervisedSandbox):
    """`url` is sandboxd's address, `token` its bearer token. Executions share one pool of connections."""

    name = "sandboxd"

    def __init__(self, url: str, token: str) -> None:
        timeout = httpx.Timeout(10, read=None, write=OVERHEAD_S)  # how long an answer may take is the order's own limit
        # trust_env off: a proxy of the host's environment has no business between us and our own service
        self._client = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout, trust_env=False)

    async def start(self) -> None:
        try:
            result = await self.exec(["true"], workspace=None)
        except SandboxFailed as error:
            raise SandboxUnavailable(f"sandboxd does not run programs: {error.message}", hint=HINT) from None
        if result.exit_code:
            raise SandboxUnavailable(f"sandboxd does not run programs: {result.stderr[:500]}", hint=HINT)

    async def stop(self) -> None:
        await self._client.aclose()

    async def converse(self, order: Order, payload: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        head = frame(order)

        async def body() -> AsyncIterator[bytes]:
            yield head
            async for part in payload:
                yield part

        size = {"Content-Length": str(len(head) + order.payload_size)}
        try:
            async with self._client.stream("POST", "/exec", content=body(), headers=size) as response:
                if response.status_code != 200:
                    raise problem(response.status_code, await first_bytes(response))
                async for part in response.aiter_raw(1 << 16):
                    yield part
        except httpx.HTTPError as error:
            raise SandboxFailed(f"sandboxd does not answer: {error or type(error).__name__}", hint=HINT) from None


async def first_bytes(response: httpx.Response) -> bytes:
    kept = b""
    async for part in response.aiter_raw():
        kept += part
        if len(kept) > 10_000:
            break
    return kept


def problem(status: int, body: bytes) -> SandboxError | InvalidInput:
    """The typed error that an answer other than 200 stands for."""
    if status == 401:
        return SandboxUnavailable("sandboxd does not accept our token.", hint=HINT)
    try:
        answer = httpx.Response(status, content=body).json()
        return TYPED[answer["code"]](str(answer["detail"])[:1000], hint=str(answer.get("hint", ""))[:1000])
    except (ValueError, KeyError, TypeError):
        return SandboxFailed(f"sandboxd answered with status {status}.", hint=HINT)
