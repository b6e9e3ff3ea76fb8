"""The page to try it, as people meet it: in Chromium, by pointer, by keyboard, on a phone."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from fashioncrop.gateway import page_api
from fashioncrop.gateway.keys import Scope
from fashioncrop.results import Analysis
from gateway_world import PHOTO, Gateway, eventually, refused
from page_world import DRAWN, NARROW, WIDE, Open, asked, choose, look, rest
from report_samples import HOSTILE, hostile_entry

# What somebody drops on the page, or pastes into it.
_GIVE = """async ([kind, data, type, name]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  if (type === "text/plain") transfer.setData(type, new TextDecoder().decode(bytes));
  else transfer.items.add(new File([bytes], name, { type }));
  const options = { bubbles: true, cancelable: true };
  document.body.dispatchEvent(kind === "drop" ? new DragEvent(kind, { ...options, dataTransfer: transfer })
    : new ClipboardEvent(kind, { ...options, clipboardData: transfer }));
}"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("page"), rate_limit="1000000/minute") as running:
        yield running


@pytest.fixture(autouse=True)
def rested(own: Gateway) -> None:
    rest(own)


def chips(page: Page) -> list[str]:
    found: list[str] = page.locator("#phrases bdi").all_text_contents()
    return found


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_photo_becomes_boxes_and_cards(opened: Open, own: Gateway, size: tuple[int, int]) -> None:
    page = opened(size=size)
    choose(page)
    expect(page.locator("#preview")).to_be_visible()
    assert page.locator("#chosen").text_content() == "my photo.jpg"
    look(page)
    assert page.locator("#result .card").count() == page.locator("#result .box").count() == 6
    assert page.locator("#status").inner_text().startswith("6 garments in ")
    assert page.evaluate("document.activeElement.id") == "result"
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    assert page.locator("#result .sentence").count() > 0
    assert page.locator("#result .depth").count() > 0
    page.locator("#result summary").click()
    assert page.get_by_text("Stages may overlap").is_visible()
    assert page.locator("#result .about").get_by_text("Looked for").is_visible()
    assert asked(own)["crops"] is True
    assert asked(own)["score_threshold"] == 0.35
    assert "vocabulary" not in asked(own)


def test_pointing_at_either_of_box_and_card_lights_both(opened: Open) -> None:
    page = opened(size=(1280, 3000))
    choose(page)
    look(page)
    for selector in ("#p1g3", "#bp1g5 .line"):
        page.hover(selector, force=True)
        name = selector.split()[0].removeprefix("#").removeprefix("b")
        lit = page.eval_on_selector_all(".lit", "all => all.map(one => one.dataset.garment)")
        assert lit == [name, name]
    page.click("#p1g2 a.title")
    assert page.evaluate("document.activeElement.id") == "bp1g2"


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photo_may_be_dropped_or_pasted(opened: Open, kind: str) -> None:
    page = opened()
    page.evaluate(_GIVE, [kind, base64.b64encode(DRAWN.photo).decode(), "image/jpeg", "given.jpg"])
    assert page.locator("#chosen").text_content() == "given.jpg"
    look(page)
    assert page.locator("#result .card").count() == 6


def test_what_is_dropped_and_no_photo_is_told_and_an_address_may_be_pasted(opened: Open) -> None:
    page = opened()
    page.evaluate(_GIVE, ["drop", base64.b64encode(b"text").decode(), "application/pdf", "a.pdf"])
    assert page.locator("#problem").inner_text() == "What was dropped is no photo."
    page.evaluate(_GIVE, ["paste", base64.b64encode(b"https://127.0.0.1/a.jpg").decode(), "text/plain", ""])
    assert page.get_by_label("Or its address").input_value() == "https://127.0.0.1/a.jpg"
    page.get_by_role("button", name="Find the garments").click()
    expect(page.locator("#problem")).to_contain_text("not public")
    assert "(request " in page.locator("#problem").inner_text()


def test_the_sample_is_drawn_by_the_project(opened: Open, own: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_api, "_SAMPLE_WH", (192, 256))
    fake: Any = own.fake
    fake.entry = None
    page = opened()
    page.get_by_role("button", name="Take a drawn sample").click()
    expect(page.locator("#preview")).to_have_js_property("naturalWidth", 192)
    assert page.locator("#chosen").text_content() == "drawn sample"
    look(page)


def test_the_vocabulary_is_edited_by_keyboard_alone(opened: Open, own: Gateway) -> None:
    page = opened()
    choose(page)
    page.get_by_label("Add a phrase").focus()
    page.keyboard.type("red dress")
    page.keyboard.press("Enter")
    page.keyboard.type("leather bag,hat. scarf,")
    page.keyboard.type("red dress")
    page.keyboard.press("Enter")
    assert chips(page) == ["red dress", "leather bag", "hat", "scarf"], "none twice"
    page.keyboard.press("Backspace")
    assert page.get_by_label("Add a phrase").input_value() == "scarf"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove hat"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove scarf"
    assert chips(page) == ["red dress", "leather bag", "scarf"]
    page.get_by_label("Add a phrase").fill("boot")
    page.get_by_label("Least score").fill("0.6")
    look(page)
    assert asked(own)["vocabulary"] == ["red dress", "leather bag", "scarf", "boot"]
    assert asked(own)["score_threshold"] == 0.6


def test_the_servers_own_vocabulary_is_a_beginning(opened: Open) -> None:
    page = opened()
    page.get_by_role("button", name="Start from those").click()
    page.wait_for_selector("#phrases li")
    assert chips(page) == ["shirt", "shoe"]
    page.get_by_role("button", name="Remove shirt").click()
    assert chips(page) == ["shoe"]


def test_a_key_is_asked_for_where_one_is_needed_and_kept_in_the_tab(opened: Open, own: Gateway) -> None:
    page = opened(key=None)
    choose(page)
    page.get_by_role("button", name="Find the garments").click()
    expect(page.locator("#problem")).to_be_visible()
    assert page.locator("#problem").inner_text().startswith("Send a key in the header")
    assert page.evaluate("document.activeElement.id") == "key"
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text("not known here")
    page.get_by_label("Key").fill(own.key)
    look(page)
    assert page.locator("#problem").is_hidden()
    page.reload()
    assert page.get_by_label("Key").input_value() == own.key
    assert own.key not in page.url
    assert page.evaluate("localStorage.length") == 0


def test_a_key_that_may_not_is_told_why(opened: Open, own: Gateway) -> None:
    page = opened(key=own.keys.create("poor", [Scope.METRICS])[1])
    choose(page)
    page.get_by_role("button", name="Find the garments").click()
    expect(page.locator("#problem")).to_contain_text("scope analyze")


def test_what_the_server_says_of_it_is_shown_and_no_photo_is_no_request(opened: Open, own: Gateway) -> None:
    page = opened()
    page.get_by_role("button", name="Find the garments").click()
    assert page.locator("#problem").inner_text() == "Choose a photo first."
    assert own.fake.asked == []
    choose(page, b"no photo")
    page.get_by_role("button", name="Find the garments").click()
    expect(page.locator("#problem")).to_contain_text("not an image")


def test_a_look_that_takes_long_can_be_stopped(opened: Open, own: Gateway) -> None:
    own.fake.pause_s = 4
    page = opened()
    choose(page)
    page.get_by_role("button", name="Find the garments").click()
    assert page.locator("#status").inner_text() == "Looking\u2026"
    eventually(lambda: bool(own.fake.asked))
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_have_text("Stopped.")
    assert page.get_by_role("button", name="Find the garments").is_enabled()
    own.fake.pause_s = 0
    look(page)


def test_the_answer_can_be_saved(opened: Open, tmp_path: Path) -> None:
    page = opened()
    choose(page)
    look(page)
    with page.expect_download() as begun:
        page.get_by_role("button", name="Save as JSON").click()
    begun.value.save_as(tmp_path / "analysis.json")
    assert len(Analysis.model_validate_json((tmp_path / "analysis.json").read_text()).garments) == 6


def test_hostile_texts_stay_texts(opened: Open, own: Gateway) -> None:
    fake: Any = own.fake
    fake.entry = hostile_entry()
    page = opened()
    page.get_by_label("Add a phrase").fill(HOSTILE.replace(",", "").replace(".", ""))
    page.keyboard.press("Enter")
    choose(page, hostile_entry().photo)
    look(page)
    assert page.locator("script").count() == page.locator("style").count() == 1
    assert page.evaluate("document.querySelectorAll('#result img:not([src^=\"data:image/jpeg\"])').length") == 0
    assert page.locator("#result").evaluate("all => all.querySelectorAll('iframe, object, form, base').length") == 0


def test_what_is_not_offered_is_not_shown(opened: Open) -> None:
    page = opened()
    assert page.get_by_label("Describe each garment").is_hidden()
    assert page.get_by_label("Detector").is_hidden()
    assert page.get_by_label("Key").is_visible()


def test_without_a_catalogue_no_search_is_offered(opened: Open) -> None:
    page = opened()
    assert page.get_by_role("search").is_hidden()
    choose(page)
    look(page)
    assert page.get_by_role("button", name="Find similar").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_in_sight_on_a_phone_and_can_be_pressed(opened: Open, scheme: str) -> None:
    page = opened(size=NARROW, color_scheme=scheme, has_touch=True)
    small = page.eval_on_selector_all(
        ".asking :is(button:not(.plain), input:not([type=file], [type=range], [type=checkbox]), label.button)",
        "all => all.filter(one => one.offsetParent && one.getBoundingClientRect().height < 32).map(one => one.id)",
    )
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW[0]
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 19, 18)"
    assert dark == (scheme == "dark")


def test_the_keyboard_reaches_everything_in_order(opened: Open) -> None:
    page = opened(key=None)
    walked = []
    for _ in range(30):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
        )
        if name == "BODY":
            break
        walked.append(name)
    assert walked == [
        *("skip", "theme-auto", "file", "sample", "url", "phrase", "defaults", "threshold", "key", "go"),
        "A",
    ]


def test_a_gateway_without_keys_asks_for_none(opened: Open, tmp_path: Path) -> None:
    with Gateway(tmp_path, needs_keys=False) as free:
        page = opened(gateway=free, key=None)
        assert page.get_by_label("Key").is_hidden()
        choose(page, PHOTO)
        look(page)
        assert page.locator("#result .card").count() == 2
        assert page.locator("#result .cards").get_by_text("shirt").count() > 0


class TestRoutes:
    def test_the_page_runs_its_own_script_and_nothing_else(self, own: Gateway) -> None:
        response = own.get("/ui", headers={})
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (
            "@"
            not in response.text.partition("<style>")[0]
            + response.text.rpartition("</style>")[2].partition("<script>")[0]
        )
        assert "http://" not in response.text.partition("</svg>")[2].replace("http://www.w3.org/2000/svg", "")

    def test_its_questions_need_a_key_as_all_others(self, own: Gateway) -> None:
        refused(own.post("/ui/analyze", headers={}, files={"image": ("a.png", PHOTO)}), 401, "unauthorized")
        refused(own.get("/ui/vocabulary", headers={}), 401, "unauthorized")
        assert own.get("/ui/sample.jpg", headers={}).headers["content-type"] == "image/jpeg"

    def test_wrong_questions_are_told(self, own: Gateway) -> None:
        image = {"base64": base64.b64encode(PHOTO).decode()}
        refused(own.post("/ui/analyze", json={"images": [image]}), 422, "invalid")
        refused(own.post("/ui/analyze", json={"image": {"base64": "AAAA"}}), 422, "photo")
        refused(own.post("/ui/analyze", content=json.dumps({"image": image})), 415, "media-type")

    def test_a_gateway_that_cannot_draw_has_no_sample(self, own: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(page_api, "_can_draw", lambda: False)
        refused(own.get("/ui/sample.jpg"), 501, "not-offered")
        assert 'id="sample" hidden' in own.get("/ui").text
