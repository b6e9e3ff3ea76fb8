"""Photos from real servers on loopback: what is fetched, what is refused, and what it may cost."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import httpcore2
import pytest
import trustme

from fashioncrop import _fetch
from fashioncrop._addresses import why_not_public
from fashioncrop._fetch import FetchLimits, Network, fetch_photo
from fashioncrop.errors import FetchError, OptionError

PHOTO = b"\xff\xd8\xff\xe0 a photo " * 4000
LIMITS = FetchLimits(max_bytes=100_000, timeout_s=5.0)
LOOPBACK = "127.0.0.1"

Route = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(
    body: bytes = PHOTO, *, status: str = "200 OK", headers: tuple[str, ...] = ("Content-Type: image/jpeg",)
) -> Route:
    """A route that sends one whole answer with its length."""
    return raw(body, f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}")


def raw(body: bytes, *lines: str) -> Route:
    """A route that sends these lines and bytes, right or wrong."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        await writer.drain()

    return send


def redirect(location: str, status: int = 302) -> Route:
    return answer(b"", status=f"{status} Moved", headers=(f"Location: {location}",))


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
    while True:
        writer.write(bytes(4096))
        await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silence(writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.sleep(60)


async def endless_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


@dataclass
class Site:
    """A server, and what was asked of it."""

    port: int
    routes: dict[str, Route] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/photo.jpg", host: str = "shop.example", scheme: str = "https") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextlib.asynccontextmanager
async def serve(tls: ssl.SSLContext | None, host: str = LOOPBACK) -> AsyncIterator[Site]:
    site = Site(port=0)
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        # Clients that were refused something hang up in the middle.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except asyncio.IncompleteReadError:
                site.left.set()
            else:
                site.heads.append(head)
                await site.routes[head.split()[1]](writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        tasks.discard(task)

    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: site.server_names.append(name)
    server = await asyncio.start_server(handle, host, 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    site.routes["/photo.jpg"] = answer()
    try:
        yield site
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@pytest.fixture
async def site(authority: trustme.CA) -> AsyncIterator[Site]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("shop.example", "cdn.example", "127.0.0.1").configure_cert(tls)
    async with serve(tls) as running:
        yield running


@pytest.fixture
async def plain_site() -> AsyncIterator[Site]:
    async with serve(None) as running:
        yield running


@dataclass
class Names:
    """A resolver with answers of its own; every look-up is kept."""

    addresses: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> list[str]:
        assert port
        self.asked.append(host)
        answers = self.addresses.get(host, [[LOOPBACK]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


def loopback_is_public(address: str) -> str | None:
    """The real rules, but for the one address that the test's servers have."""
    return None if address == LOOPBACK else why_not_public(address)


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def network(authority: trustme.CA, names: Names) -> Network:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return Network(resolve=names, check=loopback_is_public, ssl_context=trusting)


async def refused(url: str, network: Network, limits: FetchLimits = LIMITS) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await fetch_photo(url, limits=limits, network=network)
    assert str(caught.value).endswith((".", ")"))
    assert caught.value.url.partition("?")[0] == caught.value.url
    return caught.value


async def test_a_photo_is_fetched_under_its_name_from_the_checked_address(
    site: Site, network: Network, names: Names
) -> None:
    assert await fetch_photo(site.url("/photo.jpg"), limits=LIMITS, network=network) == PHOTO
    assert names.asked == ["shop.example"]
    assert site.server_names == ["shop.example"]
    (head,) = site.heads
    lines = head.lower().split("\r\n")
    assert f"host: shop.example:{site.port}" in lines
    assert "accept-encoding: identity" in lines
    assert not [line for line in lines if line.startswith(("cookie", "authorization", "referer"))]


async def test_an_address_in_the_url_is_not_looked_up(site: Site, network: Network, names: Names) -> None:
    assert await fetch_photo(site.url(host=LOOPBACK), limits=LIMITS, network=network) == PHOTO
    assert names.asked == []


async def test_a_certificate_for_another_name_is_refused(site: Site, network: Network) -> None:
    error = await refused(site.url(host="other.example"), network)
    assert "certificate" in str(error)
    assert "other.example" in str(error)
    assert site.heads == []


async def test_the_system_s_certificates_are_the_default(site: Site, network: Network) -> None:
    error = await refused(site.url(), replace(network, ssl_context=None))
    assert "certificate" in str(error)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "LOCALHOST."])
async def test_the_default_rules_refuse_loopback(site: Site, host: str) -> None:
    with pytest.raises(FetchError, match="leads to an address that is not public"):
        await fetch_photo(site.url(host=host), limits=LIMITS)
    assert site.heads == []
    assert site.server_names == []


async def test_private_addresses_where_they_are_allowed(site: Site, authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    limits = replace(LIMITS, allow_private_addresses=True)
    assert await fetch_photo(site.url(host=LOOPBACK), limits=limits, network=Network(ssl_context=trusting)) == PHOTO


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1%lo",
        "224.0.1.1",
    ],
)
async def test_one_private_address_among_public_ones_is_refused(
    site: Site, network: Network, names: Names, address: str
) -> None:
    for addresses in ([LOOPBACK, address], [address, LOOPBACK]):
        names.addresses["shop.example"] = [addresses]
        error = await refused(site.url("/photo.jpg?key=secret"), network)
        assert "not public" in str(error)
        assert address not in str(error)
        assert "secret" not in str(error)
    assert site.heads == []


async def test_a_name_is_looked_up_once_so_that_it_cannot_be_rebound(
    site: Site, network: Network, names: Names
) -> None:
    names.addresses["shop.example"] = [[LOOPBACK], ["10.0.0.1"]]
    assert await fetch_photo(site.url(), limits=LIMITS, network=network) == PHOTO
    assert names.asked == ["shop.example"]


async def test_a_redirect_is_looked_up_and_checked_again(site: Site, network: Network, names: Names) -> None:
    names.addresses["shop.example"] = [[LOOPBACK], ["10.0.0.1"]]
    site.routes["/start"] = redirect("/photo.jpg")
    error = await refused(site.url("/start"), network)
    assert "not public" in str(error)
    assert "/start redirects there" in str(error)
    assert names.asked == ["shop.example", "shop.example"]
    assert len(site.heads) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(site: Site, network: Network, names: Names, status: int) -> None:
    site.routes["/start"] = redirect("/folder/", status)
    site.routes["/folder/"] = redirect("two?size=1", status)
    site.routes["/folder/two?size=1"] = redirect(f"//cdn.example:{site.port}/photo.jpg", status)
    assert await fetch_photo(site.url("/start"), limits=LIMITS, network=network) == PHOTO
    assert names.asked == ["shop.example"] * 3 + ["cdn.example"]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://10.0.0.1/x.jpg", "not public"),
        ("https://[::1]/x.jpg", "not public"),
        ("https://2130706433/x.jpg", "unusual form"),
        ("http://shop.example/x.jpg", "begins with https"),
        ("file:///etc/passwd", "begins with https"),
        ("https://name:word@shop.example/x.jpg", "user name or password"),
        ("", "without saying where"),
    ],
)
async def test_redirects_to_what_is_refused(site: Site, network: Network, location: str, words: str) -> None:
    site.routes["/start"] = redirect(location)
    error = await refused(site.url("/start"), network)
    assert words in str(error)
    assert "/start" in str(error)
    assert "name:word" not in str(error)
    assert len(site.heads) == 1


async def test_https_never_becomes_http(site: Site, plain_site: Site, network: Network) -> None:
    site.routes["/start"] = redirect(plain_site.url(scheme="http"))
    error = await refused(site.url("/start"), network, replace(LIMITS, allow_http=True))
    assert "from https to http" in str(error)
    assert plain_site.heads == []


async def test_as_many_redirects_as_allowed_and_no_more(site: Site, network: Network) -> None:
    for step in range(5):
        site.routes[f"/{step}"] = redirect(f"/{step + 1}")
    site.routes["/5"] = answer()
    assert await fetch_photo(site.url("/0"), limits=LIMITS, network=network) == PHOTO
    error = await refused(site.url("/0"), network, replace(LIMITS, max_redirects=4))
    assert "more than 4 times" in str(error)


async def test_a_circle_of_redirects_is_named(site: Site, network: Network) -> None:
    site.routes["/a"] = redirect("/b")
    site.routes["/b"] = redirect("/a")
    assert "in a circle" in str(await refused(site.url("/a"), network))
    assert len(site.heads) == 2


async def test_an_endless_body_is_cut_off(site: Site, network: Network) -> None:
    site.routes["/endless"] = endless
    assert "more than 100000 bytes" in str(await refused(site.url("/endless"), network))


async def test_a_body_of_exactly_the_limit_passes(site: Site, network: Network) -> None:
    limits = replace(LIMITS, max_bytes=len(PHOTO))
    assert await fetch_photo(site.url(), limits=limits, network=network) == PHOTO
    error = await refused(site.url(), network, replace(limits, max_bytes=len(PHOTO) - 1))
    assert f"more than {len(PHOTO) - 1} bytes" in str(error)


async def test_a_large_content_length_is_refused_before_the_body(site: Site, network: Network) -> None:
    async def large(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 99999999999\r\n\r\n")
        await silence(writer)

    site.routes["/large"] = large
    start = time.monotonic()
    assert "more than 100000 bytes" in str(await refused(site.url("/large"), network))
    assert time.monotonic() - start < LIMITS.timeout_s / 2


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 500",),
        ("Content-Length: 1", "Content-Length: 2"),
        ("Content-Length: -1",),
        ("Content-Length: many",),
        ("Transfer-Encoding: chunked",),
        ("Transfer-Encoding: gzip, chunked",),
    ],
)
async def test_a_body_that_contradicts_its_head_is_refused(
    site: Site, network: Network, lines: tuple[str, ...]
) -> None:
    site.routes["/wrong"] = raw(b"too short", "HTTP/1.1 200 OK", "Content-Type: image/png", *lines)
    assert "broke off or does not speak HTTP" in str(await refused(site.url("/wrong"), network))


async def test_bytes_beyond_content_length_are_left_out(site: Site, network: Network) -> None:
    site.routes["/long"] = raw(b"photo and more", "HTTP/1.1 200 OK", "Content-Length: 5")
    assert await fetch_photo(site.url("/long"), limits=LIMITS, network=network) == b"photo"


@pytest.mark.parametrize("route", [drip, silence])
async def test_seconds_are_limited_in_all(site: Site, network: Network, route: Route) -> None:
    site.routes["/slow"] = route
    start = time.monotonic()
    error = await refused(site.url("/slow"), network, replace(LIMITS, timeout_s=0.4))
    assert "after 0.4 s" in str(error)
    assert time.monotonic() - start < 3


async def test_redirects_share_the_seconds(site: Site, network: Network) -> None:
    async def slow_redirect(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await redirect(f"/{len(site.heads)}")(writer)

    site.routes.update({f"/{step}": slow_redirect for step in range(9)})
    error = await refused(site.url("/0"), network, replace(LIMITS, timeout_s=0.7, max_redirects=9))
    assert "after 0.7 s" in str(error)


async def test_a_slow_look_up_counts_too(network: Network) -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return [host, str(port)]

    error = await refused("https://shop.example/", replace(network, resolve=never), replace(LIMITS, timeout_s=0.2))
    assert "after 0.2 s" in str(error)


async def test_an_endless_head_is_cut_off(site: Site, network: Network) -> None:
    site.routes["/head"] = endless_head
    assert "does not speak HTTP" in str(await refused(site.url("/head"), network))


@pytest.mark.parametrize(
    "status", ["404 Not Found", "500 Oops", "204 No Content", "206 Partial Content", "304 Not Modified"]
)
async def test_any_status_but_200_is_an_error(site: Site, network: Network, status: str) -> None:
    site.routes["/status"] = raw(b"", f"HTTP/1.1 {status}", "Content-Type: image/jpeg", "Content-Length: 0")
    assert f"HTTP status {status[:3]}" in str(await refused(site.url("/status"), network))


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("text/html; charset=utf-8", "is a web page, not a photo"),
        ("TEXT/HTML", "is a web page, not a photo"),
        ("application/json", "is application/json, not a photo"),
        ("application/pdf", "is application/pdf, not a photo"),
        ("imagery/jpeg", "is imagery/jpeg, not a photo"),
    ],
)
async def test_what_is_no_photo_is_refused(site: Site, network: Network, content_type: str, words: str) -> None:
    site.routes["/page"] = answer(b"<html>", headers=(f"Content-Type: {content_type}",))
    assert words in str(await refused(site.url("/page"), network))


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Content-Type: IMAGE/webp",),
        ("Content-Type: application/octet-stream",),
        ("Content-Type: binary/octet-stream",),
        ("Content-Type: image/jpeg; q=1", "Content-Encoding: identity"),
    ],
)
async def test_content_types_that_pass(site: Site, network: Network, headers: tuple[str, ...]) -> None:
    site.routes["/photo"] = answer(headers=headers)
    assert await fetch_photo(site.url("/photo"), limits=LIMITS, network=network) == PHOTO


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_compressed_answers_are_refused(site: Site, network: Network, encoding: str) -> None:
    site.routes["/gzip"] = answer(headers=("Content-Type: image/png", f"Content-Encoding: {encoding}"))
    assert "sent compressed" in str(await refused(site.url("/gzip"), network))


async def test_an_empty_body_is_refused(site: Site, network: Network) -> None:
    site.routes["/empty"] = answer(b"")
    assert "is empty" in str(await refused(site.url("/empty"), network))


async def test_http_is_refused_unless_allowed(plain_site: Site, network: Network) -> None:
    assert "begins with https" in str(await refused(plain_site.url(scheme="http"), network))
    assert plain_site.heads == []
    limits = replace(LIMITS, allow_http=True)
    assert await fetch_photo(plain_site.url(scheme="http"), limits=limits, network=network) == PHOTO


async def test_user_information_is_refused_and_not_repeated(site: Site, network: Network) -> None:
    error = await refused(f"https://name:word@shop.example:{site.port}/photo.jpg?key=secret", network)
    assert "user name or password" in str(error)
    assert "name:word" not in str(error)
    assert "secret" not in str(error)
    assert error.url == f"https://shop.example:{site.port}/photo.jpg"


async def test_proxies_of_the_environment_are_not_asked(
    site: Site, plain_site: Site, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{LOOPBACK}:{plain_site.port}")
    assert await fetch_photo(site.url(), limits=LIMITS, network=network) == PHOTO
    assert plain_site.heads == []


async def test_a_host_nobody_knows(network: Network) -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError(f"{host}:{port} is unknown")

    async def empty(_host: str, _port: int) -> list[str]:
        return []

    url = "https://shop.example/a.jpg"
    assert "its host is unknown" in str(await refused(url, replace(network, resolve=unknown)))
    assert "has no address" in str(await refused(url, replace(network, resolve=empty)))


async def test_a_port_where_nobody_listens(site: Site, network: Network) -> None:
    async with serve(None) as closed:
        port = closed.port
    assert "cannot be reached" in str(await refused(f"https://shop.example:{port}/", network))
    assert site.heads == []


async def test_the_next_address_is_tried_where_the_first_does_not_answer(
    site: Site, network: Network, names: Names
) -> None:
    names.addresses["shop.example"] = [["127.0.0.2", LOOPBACK]]
    everything_passes = replace(network, check=lambda _address: None)
    assert await fetch_photo(site.url(), limits=LIMITS, network=everything_passes) == PHOTO


async def test_tls_to_a_server_without_it(plain_site: Site, network: Network) -> None:
    await refused(plain_site.url(), network, replace(LIMITS, timeout_s=0.5))
    assert plain_site.heads == []
    # The connection is closed, although it was cancelled in the middle of its handshake.
    await asyncio.wait_for(plain_site.left.wait(), timeout=5)


def test_every_exception_of_httpcore2_becomes_a_fetch_error() -> None:
    raised = [getattr(httpcore2, name) for name in httpcore2.__all__]
    raised = [kind for kind in raised if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(raised) >= 15
    assert [kind for kind in raised if not issubclass(kind, _fetch._FAULTS)] == []


def test_the_defaults_are_the_safe_ones() -> None:
    assert FetchLimits() == FetchLimits(33_554_432, 20.0, 5, allow_http=False, allow_private_addresses=False)
    assert Network().check is why_not_public


@pytest.mark.parametrize(
    "limits", [{"max_bytes": 0}, {"timeout_s": 0.0}, {"timeout_s": float("nan")}, {"max_redirects": -1}]
)
def test_limits_outside_their_range(limits: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(limits))):
        FetchLimits(**limits)  # type: ignore[arg-type]
