"""Addresses as a browser reads them (WHATWG URL, special schemes), so that the gate judges the address that would really be opened.

Python's own urljoin reads `/\\evil.example` or `ht\\ntps:` otherwise than a browser does; a link could then look like one of the task's sites.
"""

import re
import socket
from functools import lru_cache
from urllib.parse import quote, quote_plus, urljoin, urlsplit

import idna

_STRIP = "".join(map(chr, range(0x21)))
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
# Characters beside ASCII letters and digits that a browser leaves alone, by part (percent-encode sets of the URL standard).
_PATH = "!$%&'()*+,-./:;=@[\\]_~"
_QUERY = "!$%&()*+,-./:;=?@[\\]^_`{|}~"
_FRAGMENT = "!#$%&'()*+,-./:;=?@[\\]^_{|}~"
_FORBIDDEN_HOST = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")


@lru_cache(maxsize=4096)
def absolute(base: str, reference: str) -> str:
    """`reference` as found in a page at `base`, as an absolute address; empty when it is no address. Other schemes come back as they are."""
    reference = _clean(reference)
    scheme = _SCHEME.match(reference)
    if scheme and scheme[1].lower() not in _DEFAULT_PORTS:
        return reference
    if scheme:
        rest = reference[scheme.end() :]
        if not rest.startswith("//") and urlsplit(base).scheme == scheme[1].lower():
            return absolute(base, rest)  # `http:page` and `http:/page` are relative to an http page
        # Any number of slashes, either way round, leads to the host.
        return canonical(f"{scheme[1]}://{rest.lstrip('/' + chr(92))}")
    if urlsplit(base).scheme not in _DEFAULT_PORTS:
        return ""
    reference = _slashes(reference)
    if reference.startswith("//"):
        return canonical(f"{urlsplit(base).scheme}://{reference.lstrip('/')}")
    if reference.startswith("?"):  # urljoin would drop an empty query
        return canonical(base.partition("#")[0].partition("?")[0] + reference)
    if reference.startswith("#") or not reference:
        return canonical(base.partition("#")[0] + reference)
    return canonical(urljoin(base, reference))


def canonical(url: str) -> str:
    """One spelling for one http(s) address: lower-case host, no default port, no dot segments, percent-encoded. Empty when it is broken."""
    url = _clean(url)
    match = re.match(r"(https?):[/\\]*", url, re.IGNORECASE)
    if not match:
        return url if _SCHEME.match(url) else ""
    scheme = match[1].lower()
    authority, path, query, fragment = _parts(url[match.end() :])
    userinfo, at, hostport = authority.rpartition("@")
    host, port = _host_port(hostport)
    if not host:
        return ""
    if port is None:
        return ""
    location = f"{quote(userinfo, safe='%:!$&()*+,-._~')}@{host}" if at else host
    if port and port != str(_DEFAULT_PORTS[scheme]):
        location += f":{port}"
    return f"{scheme}://{location}{_path(path)}{quote(query, safe=_QUERY)}{quote(fragment, safe=_FRAGMENT)}"


def query_of(fields: list[tuple[str, str]]) -> str:
    """Form fields as application/x-www-form-urlencoded, the way browsers write it."""
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in fields)


def _encoded(text: str) -> str:
    return quote_plus(re.sub(r"\r\n?|\n", "\r\n", text), safe="*").replace("~", "%7E")


def _clean(url: str) -> str:
    url = url if url.isascii() else url.encode("utf-8", "replace").decode()
    return url.strip(_STRIP).replace("\t", "").replace("\n", "").replace("\r", "")


def _slashes(reference: str) -> str:
    """Backslashes count as slashes before the query."""
    end = min((i for i in (reference.find("?"), reference.find("#")) if i >= 0), default=len(reference))
    return reference[:end].replace("\\", "/") + reference[end:]


def _parts(rest: str) -> tuple[str, str, str, str]:
    """Authority, path, query with its `?` and fragment with its `#` (empty if none) of what follows `scheme://`."""
    rest, hash_mark, fragment = rest.partition("#")
    rest, question_mark, query = rest.partition("?")
    authority, slash, path = rest.replace("\\", "/").partition("/")
    return authority, slash + path, question_mark + query, hash_mark + fragment


def _host_port(hostport: str) -> tuple[str, str | None]:
    """Host in canonical form (empty if invalid) and port digits (None if invalid)."""
    if hostport.startswith("["):
        host, bracket, rest = hostport.partition("]")
        try:
            packed = socket.inet_pton(socket.AF_INET6, host[1:])
        except (OSError, ValueError):
            return "", None
        host, port = f"[{_ipv6(packed)}]" if bracket else "", rest.removeprefix(":")
    else:
        host, _, port = hostport.partition(":")
        host = _domain(host)
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        return host, None
    return host, port.lstrip("0") or ("0" if port else "")


def _domain(host: str) -> str:
    host = re.sub(r"(?:%[0-9a-fA-F]{2})+", lambda m: bytes.fromhex(m[0].replace("%", "")).decode("utf-8", "replace"), host)
    try:
        host = host.lower() if host.isascii() else _ascii(host)
    except UnicodeError:  # IDNAError is one
        return ""
    if not host or _FORBIDDEN_HOST.search(host):
        return ""
    if re.fullmatch(r"(?:0x[0-9a-f]*|[0-9]+)", host.rstrip(".").rpartition(".")[2]):
        try:  # 2130706433, 0x7f.1 and 127.1 are all 127.0.0.1
            return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
        except OSError:
            return ""
    return host


def _ascii(host: str) -> str:
    """A name in letters of any script as it is looked up (UTS 46, non-transitional, as browsers do): `faß` is not `fass`. Raises UnicodeError."""
    mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
    try:
        return idna.encode(mapped).decode()
    except idna.IDNAError:  # signs that IDNA 2008 has no place for, and browsers let through
        labels = mapped.split(".")
        return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in labels)


def _ipv6(packed: bytes) -> str:
    text = socket.inet_ntop(socket.AF_INET6, packed)
    if "." in text:  # browsers write the last two pieces in hexadecimal
        head, _, _ = text.rpartition(":")
        text = f"{head}:{int.from_bytes(packed[12:14]):x}:{int.from_bytes(packed[14:]):x}"
    return text


def _path(path: str) -> str:
    segments: list[str] = []
    pieces = path.split("/")[1:]
    for index, piece in enumerate(pieces):
        plain = piece.lower().replace("%2e", ".")
        last = index == len(pieces) - 1
        if plain == "..":
            segments = segments[:-1]
        if plain in (".", ".."):
            if last:
                segments.append("")
        else:
            segments.append(quote(piece, safe=_PATH))
    return "/" + "/".join(segments)
