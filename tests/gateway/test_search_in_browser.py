"""The page's search, as people meet it: in Chromium, by pointer, by keyboard, on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from fashioncrop._sources import Photo
from fashioncrop.gateway.keys import Scope
from fashioncrop.results import Crop
from gateway_world import MODEL, PHOTO, Gateway, eventually, fill, picture
from page_world import DRAWN, NARROW, WIDE, Open, asked, choose, look, rest
from planted import at_angle, entry, planted, reachable_folder
from report_samples import HOSTILE

WORDS = "red striped skirt"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With a catalogue of four photos: three are like what is seen in every photo, the fourth is like the words."""
    folder = tmp_path_factory.mktemp("stocked")
    crop = folder / "crop.jpg"
    crop.write_bytes(picture(90, 120, "JPEG"))
    kept = Crop(box_xyxy=(4, 4, 31, 31), url=crop.as_uri())
    words = [0.0] * 512
    words[1 + len(WORDS)] = 1.0
    stored = [
        entry(
            "/photos/near.jpg",
            planted(0, at_angle(10, 512), crop=kept),
            planted(1, at_angle(60, 512), "shoe"),
            model=MODEL,
        ),
        entry("https://shop.example/far.jpg", planted(0, at_angle(20, 512), "hat", ("blue",), crop=kept), model=MODEL),
        entry(
            f"/photos/{HOSTILE.replace('/', '')}.jpg", planted(0, at_angle(30, 512), HOSTILE, (HOSTILE,)), model=MODEL
        ),
        entry("/photos/skirt.jpg", planted(0, words, "skirt", crop=kept), model=MODEL),
    ]
    with reachable_folder() as place:
        fill(place, stored)
        with Gateway(folder, rate_limit="1000000/minute", catalogue=SecretStr(str(place))) as running:
            yield running


@pytest.fixture(autouse=True)
def rested(own: Gateway) -> None:
    rest(own)


def cards(page: Page) -> list[str]:
    """Phrases of what was found in the catalogue."""
    found: list[str] = page.locator("#found .card .phrase").all_text_contents()
    return found


def search_by(page: Page, words: str) -> None:
    page.get_by_label("What it looks like").fill(words)
    page.keyboard.press("Enter")
    page.wait_for_selector("#found:not([hidden]) h2")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_words_find_photos(opened: Open, size: tuple[int, int]) -> None:
    page = opened(size=size)
    search_by(page, WORDS)
    assert cards(page)[0] == "skirt"
    assert page.locator("#found h2").inner_text() == f"\u201c{WORDS}\u201d"
    expect(page.locator("#status")).to_contain_text("4 photos in ")
    assert page.evaluate("document.activeElement.id") == "found"
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    first = page.locator("#found .card").first
    assert first.locator("img").evaluate("image => image.complete && image.naturalWidth") == 90
    assert first.get_by_text("Similarity 1.000").is_visible()
    assert first.get_by_text("/photos/skirt.jpg").is_visible()
    assert page.locator("#found").get_by_text("random weights").is_visible(), "what must be known of the answer"
    link = page.locator("#found a", has_text="far.jpg")
    assert link.get_attribute("href") == "https://shop.example/far.jpg"


def test_filters_keep_what_they_name_and_wrong_ones_are_told(opened: Open) -> None:
    page = opened()
    page.get_by_label("Only this colour").fill("blue")
    search_by(page, WORDS)
    assert cards(page) == ["hat"]
    assert page.locator("#found .facts").inner_text().split("\n") == ["1 photo", "only blue"]
    page.get_by_label("Only this category").fill("shoe")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#found .nothing")).to_be_visible()
    page.get_by_label("Only this colour").fill("mauve")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#problem")).to_contain_text("has the colour 'mauve'. The commonest are: ")
    page.get_by_label("What it looks like").fill(" ")
    page.keyboard.press("Enter")
    assert page.locator("#problem").inner_text() == "Say what it looks like."
    assert page.evaluate("document.activeElement.id") == "words"


@pytest.mark.parametrize("kind", ["file", "address"])
def test_a_garment_of_the_photo_leads_to_similar_ones_and_back(
    opened: Open, own: Gateway, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async def fetched(_url: str) -> Photo:
        return Photo(DRAWN.photo, "far")

    page = opened()
    if kind == "file":
        choose(page)
    else:
        monkeypatch.setattr(own.fake, "read", fetched)
        page.get_by_label("Or its address").fill("https://shop.example/look.jpg")
    look(page)
    choose(page, PHOTO)  # another, which nobody has asked about yet
    assert page.get_by_role("button", name="Find similar: ").count() == 6
    page.locator("#p1g2").get_by_role("button", name="Find similar: 3, ").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#found .card")
    assert cards(page)[:2] == ["shirt", "hat"]
    box = asked(own)["boxes_xyxy"]
    assert box == [list(DRAWN.analysis.garments[2].box_xyxy)]
    page.locator("#found h2 a").click()
    assert page.evaluate("document.activeElement.id") == "p1g2"


def test_what_was_found_leads_on(opened: Open) -> None:
    page = opened()
    search_by(page, WORDS)
    page.locator("#found .card", has_text="near.jpg").get_by_role("button").click()
    expect(page.locator("#found h2")).to_have_text("Like shirt, in photo")
    assert "/photos/near.jpg" not in page.locator("#found").inner_text(), "others are looked for"
    assert cards(page)[0] == "hat"


def test_hostile_texts_out_of_the_catalogue_stay_texts(opened: Open) -> None:
    page = opened()
    search_by(page, HOSTILE)
    assert HOSTILE in cards(page)
    assert page.locator("#found h2").text_content() == f"\u201c{HOSTILE.strip()}\u201d"
    assert page.locator("script").count() == page.locator("style").count() == 1
    assert page.locator("#found").evaluate("all => all.querySelectorAll('iframe, object, form, base').length") == 0


def test_a_key_that_may_not_search_is_told_why_and_a_search_can_be_stopped(opened: Open, own: Gateway) -> None:
    page = opened(key=own.keys.create("poor", [Scope.ANALYZE])[1])
    page.get_by_label("What it looks like").fill(WORDS)
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text("scope search")
    assert page.evaluate("document.activeElement.id") == "key"
    page.get_by_label("Key").fill(own.key)
    own.fake.pause_s = 4
    page.get_by_role("button", name="Search").click()
    eventually(lambda: bool(own.fake.asked))
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_have_text("Stopped.")
    assert page.get_by_role("button", name="Search").is_enabled()


def test_the_keyboard_reaches_it_and_on_a_phone_it_can_be_pressed(opened: Open) -> None:
    page = opened(size=NARROW, has_touch=True)
    page.get_by_role("button", name="Find the garments").focus()
    walked = []
    for _ in range(4):
        page.keyboard.press("Tab")
        walked.append(page.evaluate("document.activeElement.id"))
    assert walked == ["words", "category", "colour", "search"]
    search_by(page, WORDS)
    pressed = page.locator(".searching :is(input, button), #found .card .button")
    heights = pressed.evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
    assert len(heights) == 4 + 4
    assert min(heights) >= 32
