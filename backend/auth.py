"""Who may ask: Host and Origin of every request, an API key for everything under /v1.

Host is checked against DNS rebinding and Origin against pages of other sites; both hold although the API binds to loopback, because any page
in the person's browser can reach that.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import KeepsakeError, Unauthorised
from backend.problems import respond_to
from backend.store.keys import Keys


class Guard:
    """ASGI middleware. Puts the key's id into `scope["state"]["api_key"]`; whoever has none gets 401."""

    def __init__(self, app: ASGIApp, keys: Keys, allowed_hosts: list[str]) -> None:
        self.app = app
        self._keys = keys
        self._allowed = {host.strip("[]").lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            self._check_place(headers)
            if scope["path"] == "/v1" or scope["path"].startswith("/v1/"):
                scope.setdefault("state", {})["api_key"] = await self._key_id(headers)
        except KeepsakeError as error:
            await respond_to(error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check_place(self, headers: Headers) -> None:
        if _host_name(f"//{headers.get('host', '')}") not in self._allowed:
            raise Unauthorised("This Host is not served here.", hint="KEEPSAKE_ALLOWED_HOSTS names the hosts that are.")
        origin = headers.get("origin")
        if origin is not None and _host_name(origin) not in self._allowed:
            raise Unauthorised("Pages of this Origin may not ask here.", hint="KEEPSAKE_ALLOWED_HOSTS names the hosts that may.")

    async def _key_id(self, headers: Headers) -> str:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        owner = await self._keys.owner_of(key.strip()) if scheme.lower() == "bearer" else None
        if owner is None:
            raise Unauthorised("An API key is needed.", hint="Send `Authorization: Bearer ks_…`; the first key lies in the API's key file.")
        return owner


def _host_name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""
