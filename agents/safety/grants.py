"""What a task allows: the sites a person named and the workspace. Grants come from the person's words alone, before anything is read."""

import ipaddress
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.schemas import Site

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DATABASE_PORTS = frozenset({1433, 3306, 5432, 6379, 27017})


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port of an address; the unit of a web grant."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin | None":
        """The origin of an http(s) URL, None for anything else (file:, javascript:, data:, broken)."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username or parts.password:
            return None
        return cls(parts.scheme, parts.hostname.lower().rstrip("."), port or _DEFAULT_PORTS[parts.scheme])


@dataclass(frozen=True)
class Grants:
    """Origins of the task's sites, by name, and the ports that stay closed whatever a task says."""

    sites: dict[str, str] = field(default_factory=dict)
    closed_ports: frozenset[int] = _DATABASE_PORTS

    @classmethod
    def of_task(cls, sites: list[Site], own_ports: set[int]) -> "Grants":
        return cls({s.name: s.url for s in sites}, frozenset(own_ports) | _DATABASE_PORTS)

    def covers(self, origin: Origin) -> bool:
        """Whether a named site has this host and port (http and https of one host differ by port)."""
        return any(
            (granted := Origin.of(url)) is not None and (granted.host, granted.port) == (origin.host, origin.port)
            for url in self.sites.values()
        )

    def closed(self, origin: Origin) -> bool:
        """Whether this is one of our own or a database's port on this machine or a private network: never, even if named."""
        return origin.port in self.closed_ports and is_private(origin.host)


def is_private(host: str) -> bool:
    """Whether a host is, or resolves to, anything but a public address. A name that does not resolve counts as private."""
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        pass
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return True
    return any(not ipaddress.ip_address(str(a).split("%")[0]).is_global for a in addresses)
