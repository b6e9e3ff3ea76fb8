"""A photo's URL, taken apart once: what is connected to, what is asked for, and what may be shown."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from fashioncrop.errors import FetchError

_DEFAULT_PORTS = {"https": 443, "http": 80}
_MAX_URL_CHARACTERS = 8192
_MAX_SHOWN_CHARACTERS = 200
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
# What resolvers read as an IPv4 address: the last label is a number (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_NUMERIC_HOST = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_SHOWN_AUTHORITY = re.compile(r"([^@:\s]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
# IDNA 2003, which Python has, and IDNA 2008, which browsers follow, send these to different hosts.
_AMBIGUOUS_CHARACTERS = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")
# RFC 3986: everything that may stand unescaped in a path or query, and the escapes that are there already.
_SAFE = "/%:@!$&'()*+,;=?~"


@dataclass(frozen=True)
class PhotoUrl:
    """A URL that was checked, apart from where its host leads.

    Attributes:
        scheme: `https` or `http`.
        host: ASCII, lower case; an IPv6 address without brackets.
        port: 1 to 65535.
        target: path and query as they go into the request line.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's own, port: what the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL without its query, for messages."""
        return shown_url(f"{self.scheme}://{self.authority}{self.target}")

    def is_address(self) -> bool:
        """Whether the host is an IP address instead of a name."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def redirected(self, location: str, *, allow_http: bool) -> PhotoUrl:
        """Where a `Location` header leads, which may be relative.

        Raises:
            FetchError: it may not be followed.
        """
        whole = f"{self.scheme}://{self.authority}{self.target}"
        try:
            joined = urljoin(whole, location)
            following = parse_photo_url(joined, allow_http=allow_http)
        except FetchError as error:
            message = f"{self.shown} redirects to a URL that may not be fetched. {error}"
            raise FetchError(message, url=error.url) from error
        except ValueError as error:
            raise FetchError(f"{self.shown} redirects to something that is not a URL.", url=self.shown) from error
        if self.scheme == "https" and following.scheme == "http":
            raise FetchError(
                f"{self.shown} redirects from https to http ({following.shown}), where anybody could exchange the "
                "photo. Use the address of the https page that has the photo.",
                url=following.shown,
            )
        return following


def parse_photo_url(url: str, *, allow_http: bool) -> PhotoUrl:
    """Take a URL apart and refuse what is not plainly a web address.

    Raises:
        FetchError: the scheme, host, port or user information is not allowed, or the URL cannot be read.
    """
    url = url.strip()
    shown = shown_url(url)
    # Parsers disagree about these, and what they disagree about is where the host ends.
    if len(url) > _MAX_URL_CHARACTERS or "\\" in url or not url.isprintable():
        raise FetchError(
            f"{shown} is not a URL that can be read: it is longer than {_MAX_URL_CHARACTERS} characters, or has a "
            "backslash or an invisible character. Copy it again.",
            url=shown,
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise FetchError(f"{shown} is not a URL that can be read. Check host and port.", url=shown) from error
    if parts.scheme not in _DEFAULT_PORTS or (parts.scheme == "http" and not allow_http):
        allowed = "https:// or http://" if allow_http else "https://"
        raise FetchError(f"{shown} cannot be fetched: a photo's URL begins with {allowed}.", url=shown)
    if "@" in parts.netloc:
        raise FetchError(
            f"{shown} carries a user name or password, which is refused. Use a URL without one, a signed link for "
            "instance, or fetch the photo yourself and pass its bytes.",
            url=shown,
        )
    if not parts.hostname or port == 0:
        raise FetchError(f"{shown} names no host, or port 0. Check the URL.", url=shown)
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE)
    return PhotoUrl(
        scheme=parts.scheme,
        host=_ascii_host(parts.hostname, shown=shown, bracketed="[" in parts.netloc),
        port=port or _DEFAULT_PORTS[parts.scheme],
        target=target,
    )


def shown_url(url: str) -> str:
    """The URL as far as it may be shown: no user information, query or fragment, nothing invisible, not too long."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    authority, slash, path = rest.partition("/")
    authority = re.split("[?#]", authority.rpartition("@")[2], maxsplit=1)[0]
    if separator and not _SHOWN_AUTHORITY.fullmatch(authority):
        authority = "..."  # a password with a slash in it, perhaps
    path = re.split("[?#]", path, maxsplit=1)[0] if "?" not in rest.partition("/")[0] else ""
    text = f"{scheme}{separator}{authority}{slash}{path}"
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 3] + "..."


def _ascii_host(host: str, *, shown: str, bracketed: bool) -> str:
    """The host as resolver and certificate know it, in one spelling only."""
    if bracketed:
        try:
            if "%" not in host:
                return str(ipaddress.IPv6Address(host))
        except ValueError:
            pass
        raise FetchError(f"{shown} does not have an IPv6 address, without a zone, in its brackets.", url=shown)
    try:
        name = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        name = ""
    if not name or not _AMBIGUOUS_CHARACTERS.isdisjoint(host):
        message = f"{shown} has a host name that cannot be looked up. Write it in its ASCII form (xn--...)."
        raise FetchError(message, url=shown)
    if not _HOST.fullmatch(name):
        raise FetchError(f"{shown} has a host name with a character that names cannot have.", url=shown)
    if _NUMERIC_HOST.fullmatch(name):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError as error:
            message = (
                f"{shown} writes an IPv4 address in an unusual form. Write it as four decimal numbers, or use a name."
            )
            raise FetchError(message, url=shown) from error
    return name
