"""Cookies between Playwright's storage state and an httpx client's jar."""

import http.cookiejar
from typing import Any

from agents.web.storage import StorageState


def fill_jar(jar: http.cookiejar.CookieJar, state: StorageState) -> None:
    """Put the state's cookies into the jar."""
    for item in state.get("cookies", []):
        domain = _inside(item["domain"])
        expires = item.get("expires", -1)
        jar.set_cookie(
            http.cookiejar.Cookie(
                version=0,
                name=item["name"],
                value=item["value"],
                port=None,
                port_specified=False,
                domain=domain,
                domain_specified=domain.startswith("."),
                domain_initial_dot=domain.startswith("."),
                path=item.get("path", "/"),
                path_specified=True,
                secure=bool(item.get("secure")),
                expires=None if expires is None or expires < 0 else int(expires),
                discard=expires is None or expires < 0,
                comment=None,
                comment_url=None,
                rest={"HttpOnly": ""} if item.get("httpOnly") else {},
            )
        )


def read_jar(jar: http.cookiejar.CookieJar) -> list[dict[str, Any]]:
    """The jar's cookies as a storage state has them."""
    return [
        {
            "name": cookie.name,
            "value": cookie.value or "",
            "domain": _outside(cookie.domain),
            "path": cookie.path,
            "expires": -1 if cookie.expires is None else cookie.expires,
            "httpOnly": cookie.has_nonstandard_attr("HttpOnly"),
            "secure": cookie.secure,
            "sameSite": "Lax",
        }
        for cookie in jar
    ]


def _inside(domain: str) -> str:
    """cookielib knows a host without dots, such as localhost, as `localhost.local`."""
    return domain if "." in domain or ":" in domain else f"{domain}.local"


def _outside(domain: str) -> str:
    return domain.removesuffix(".local") if domain.count(".") == 1 else domain
