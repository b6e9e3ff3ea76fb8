"""What a photo's URL may look like, and what of it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashioncrop._photo_url import PhotoUrl, parse_photo_url, shown_url
from fashioncrop.errors import FetchError


def parse(url: str) -> PhotoUrl:
    return parse_photo_url(url, allow_http=False)


def test_a_url_is_taken_apart() -> None:
    url = parse("  HTTPS://Shop.Example:8443/a photo/\u00e4.jpg?size=2&name=%C3%A4#top ")
    assert url == PhotoUrl("https", "shop.example", 8443, "/a%20photo/%C3%A4.jpg?size=2&name=%C3%A4")
    assert url.authority == "shop.example:8443"
    assert url.shown == "https://shop.example:8443/a%20photo/%C3%A4.jpg"


@pytest.mark.parametrize(
    ("url", "host", "authority"),
    [
        ("https://example.com", "example.com", "example.com"),
        ("https://example.com./x", "example.com", "example.com"),
        ("https://m\u00fcnchen.example/", "xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("https://93.184.215.14/", "93.184.215.14", "93.184.215.14"),
        ("https://[2606:4700:0::1111]:444/", "2606:4700::1111", "[2606:4700::1111]:444"),
        # Full-width digits: what remains is checked like any other address.
        ("https://\uff11\uff12\uff17.0.0.1/", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_hosts_have_one_spelling(url: str, host: str, authority: str) -> None:
    assert parse(url).host == host
    assert parse(url).authority == authority


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "begins with https://"),
        ("ftp://example.com/", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("//example.com/x.jpg", "begins with https://"),
        ("example.com/x.jpg", "begins with https://"),
        ("", "begins with https://"),
        ("https:///x.jpg", "names no host"),
        ("https:x.jpg", "names no host"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:99999/", "can be read"),
        ("https://example.com:https/", "can be read"),
        ("https://[::1/", "can be read"),
        ("https://exam\tple.com/", "can be read"),
        ("https://example.com/\u202egpj.exe", "can be read"),
        ("https://example.com\\@127.0.0.1/", "can be read"),
        ("https://example.com/" + "x" * 9000, "longer than"),
        ("https://user:word@example.com/", "user name or password"),
        ("https://user@example.com/", "user name or password"),
        ("https://@example.com/", "user name or password"),
        ("https://[fe80::1%25eth0]/", "without a zone"),
        ("https://[::ffff:127.0.0.1%1]/", "without a zone"),
        ("https://2130706433/", "unusual form"),
        ("https://0x7f000001/", "unusual form"),
        ("https://0x7f.0x0.0x0.0x1/", "unusual form"),
        ("https://017700000001/", "unusual form"),
        ("https://0177.0.0.1/", "unusual form"),
        ("https://127.1/", "unusual form"),
        ("https://127.0.1/", "unusual form"),
        ("https://127.0.0.1.5/", "unusual form"),
        ("https://example.0x7f/", "unusual form"),
        ("https://127.0.0.1%2f.example.com/", "names cannot have"),
        ("https://exa mple.com/", "names cannot have"),
        ("https://a..b/", "looked up"),
        ("https://" + "a" * 64 + ".com/", "looked up"),
        ("https://fa\u00df.example/", "looked up"),
    ],
)
def test_what_is_not_plainly_a_web_address_is_refused(url: str, words: str) -> None:
    with pytest.raises(FetchError, match=words) as caught:
        parse(url)
    assert "word" not in caught.value.url
    assert str(caught.value).endswith((".", ")"))


def test_http_only_where_it_is_allowed() -> None:
    assert parse_photo_url("http://example.com/x", allow_http=True).port == 80


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com/a.jpg?token=secret#secret", "https://example.com/a.jpg"),
        ("https://name:secret@example.com/a.jpg", "https://example.com/a.jpg"),
        ("https://name:sec@ret@example.com/a.jpg", "https://example.com/a.jpg"),
        ("https://name:sec?ret@example.com/a.jpg", "https://example.com"),
        ("https://name:secret/x@example.com/a.jpg", "https://.../x@example.com/a.jpg"),
        ("https://example.com?token=secret/x", "https://example.com"),
        ("https://example.com/\x1b[31m", "https://example.com/?[31m"),
        ("no url?secret", "no url"),
    ],
)
def test_user_information_and_query_are_never_shown(url: str, shown: str) -> None:
    result = shown_url(url)
    assert result.removesuffix("/") == shown
    assert "secret" not in result


def test_a_long_url_is_shortened() -> None:
    assert len(shown_url("https://example.com/" + "x" * 5000)) == 200


@given(st.text())
def test_any_text_is_a_url_or_a_fetch_error(text: str) -> None:
    assert shown_url(text).isprintable()
    for url in (text, f"https://{text}", f"https://example.com/{text}"):
        try:
            parsed = parse(url)
        except FetchError:
            continue
        assert (parsed.host + parsed.target).isascii()
        assert parsed.target.startswith("/")
        assert " " not in parsed.target


@pytest.mark.parametrize(
    ("location", "whole"),
    [
        ("/b.jpg", PhotoUrl("https", "example.com", 443, "/b.jpg")),
        ("b.jpg?x=1", PhotoUrl("https", "example.com", 443, "/folder/b.jpg?x=1")),
        ("//cdn.example/b.jpg", PhotoUrl("https", "cdn.example", 443, "/b.jpg")),
        ("https://cdn.example:444", PhotoUrl("https", "cdn.example", 444, "/")),
        ("?x=2", PhotoUrl("https", "example.com", 443, "/folder/a.jpg?x=2")),
    ],
)
def test_a_location_may_be_relative(location: str, whole: PhotoUrl) -> None:
    assert parse("https://example.com/folder/a.jpg").redirected(location, allow_http=False) == whole


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://example.com/b.jpg", "from https to http"),
        ("file:///etc/passwd", "may not be fetched"),
        ("https://user:word@example.com/", "may not be fetched"),
        ("https://[::1", "not a URL"),
    ],
)
def test_a_location_is_checked_like_a_url(location: str, words: str) -> None:
    with pytest.raises(FetchError, match=words):
        parse("https://example.com/a.jpg").redirected(location, allow_http=True)
