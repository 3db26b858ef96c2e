"""What a task allows: the sites a person named and the workspace. Grants come from the person's words alone, before anything is read."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from agents.web.screen.address import canonical
from app.schemas import Site

_DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = "approved_origins"  # key in TeamState.memory
_LOCAL_NAMES = (".localhost", ".local", ".internal")  # RFC 6761, RFC 6762, and the domain that ICANN keeps for private use
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_DATABASE_PORTS = frozenset({1433, 3306, 5432, 6379, 27017})


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port of an address; the unit of a web grant."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin | None":
        """The origin of an http(s) URL as a browser reads it, None for anything else (file:, javascript:, data:, broken)."""
        try:
            parts = urlsplit(canonical(url))
            port = parts.port
        except ValueError:
            return None
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username or parts.password:
            return None
        return cls(parts.scheme, parts.hostname.lower().rstrip("."), _DEFAULT_PORTS[parts.scheme] if port is None else port)


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


class Reach:
    """The origins that a run's browser may reach: the task's sites and what a person approved since. Called with an address, it is the first
    filter under the browser. A gate lives no longer than a segment of its run; what was approved stays in the run's memory."""

    def __init__(self, grants: Grants) -> None:
        self.grants = grants
        self.approved: set[tuple[str, int]] = set()

    def __call__(self, url: str) -> bool:
        """Whether a page may load `url` at all (sub-resources, redirects, frames)."""
        if url.startswith(("about:", "data:image/", "blob:")):
            return True
        origin = Origin.of(url)
        return origin is not None and not self.grants.closed(origin) and self.covers(origin)

    def covers(self, origin: Origin) -> bool:
        return self.grants.covers(origin) or (origin.host, origin.port) in self.approved

    def approve(self, origin: Origin) -> None:
        self.approved.add((origin.host, origin.port))

    def keep(self, memory: dict[str, Any]) -> None:
        """Write what was approved into a run's memory."""
        if self.approved:
            memory[_KEPT] = sorted([host, port] for host, port in self.approved)

    def recall(self, memory: dict[str, Any]) -> None:
        """Take up what was approved in earlier segments of the run."""
        self.approved |= {(host, port) for host, port in memory.get(_KEPT, [])}


def is_private(host: str) -> bool:
    """Whether a host is, by its form alone, anything but a public one: an address that is not public, a name without a dot, or a local name.

    Nothing is looked up. What a public name leads to is checked where the connection is made, see agents.web.egress.
    """
    host = host.strip("[]").lower().rstrip(".")
    try:
        return not is_public(host)
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_NAMES)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet; of one that wraps others, whether those do. Raises ValueError for a name."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = _wrapped(ip)
        if wrapped:
            return all(is_public(str(inner)) for inner in wrapped)
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _wrapped(ip: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that packets to `ip` may end at: mapped, NAT64, 6to4, Teredo (server and client)."""
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    return [inner for inner in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if inner is not None]
