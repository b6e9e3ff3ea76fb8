"""The report as people meet it: in Chromium, wide and narrow, light and dark, by pointer, by keyboard, on paper."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fashioncrop.cataloguing.answers import SearchAnswer
from fashioncrop.reporting import ReportEntry, write_gallery, write_report
from fashioncrop.results import Colour, Crop
from gallery_samples import answered, hostile_answer
from report_samples import HOSTILE, analysis, drawn, garment, grey, hostile_entry

Open = Callable[..., Page]
WIDE, NARROW = (1280, 900), (360, 740)

# Every text that can be seen, against the nearest opaque background behind it (WCAG 2.2, 1.4.3).
_CONTRASTS = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => [red, green, blue].map((value) => value / 255)
    .map((value) => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [.2126, .7152, .0722][index], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
      if (colour[3] > 0) throw new Error("half transparent: " + at.outerHTML.slice(0, 80));
    }
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("svg, script, .unseen, .skip")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(parts(style.color)), light(behind(element))].sort((a, b) => b - a);
    found.push([(one + .05) / (other + .05), walker.currentNode.data.trim().slice(0, 40), element.className]);
  }
  return found;
}"""

# What the keyboard is on, and whether that can be seen.
_FOCUS = """() => {
  const element = document.activeElement;
  const shown = element.matches("input") ? element.nextElementSibling : element;
  const style = getComputedStyle(shown);
  const line = element.querySelector(".line");
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return [
    element.id || element.className || element.tagName,
    element.matches(":focus-visible") && (ring || line && getComputedStyle(line).stroke === "rgb(255, 209, 102)"),
    element.getBoundingClientRect().width > 0 && style.clipPath === "none",
  ];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of this module only: a running Playwright keeps an event loop that other tests' loops would meet."""
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.fail("These tests look at the report in Chromium, and none is installed. Run: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open a report in a page of its own; fails on a complaint of the page, a dialog or a request to anywhere."""
    trouble: list[str] = []
    contexts: list[BrowserContext] = []
    path = tmp_path / "report.html"

    def open_(
        *entries: ReportEntry,
        size: tuple[int, int] = WIDE,
        title: str = "Spring",
        answer: SearchAnswer | None = None,
        **options: object,
    ) -> Page:
        if answer is None:
            write_report(path, entries, title=title)
        else:
            write_gallery(path, answer, answered()[1], title=title)
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            offline=True,
            reduced_motion="reduce",
            **options,  # type: ignore[arg-type]
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: trouble.append(f"request: {request.url[:100]}"))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    allowed = f"request: {path.as_uri()}"
    assert [words for words in trouble if words.partition("#")[0] != allowed and "request: data:" not in words] == []


def lit(page: Page) -> list[str]:
    names = "elements => elements.map(element => element.dataset.garment)"
    found: list[str] = page.eval_on_selector_all(".lit", names)
    return found


def crowd(count: int) -> ReportEntry:
    rng = np.random.default_rng(count)
    entry = drawn()
    found = []
    for index in range(count):
        x, y = rng.uniform(0, 700), rng.uniform(0, 950)
        box = (x, y, x + rng.uniform(8, 300), y + rng.uniform(8, 300))
        crop = Crop(box_xyxy=(int(x), int(y), int(x) + 40, int(y) + 60))
        colours = (Colour(hex="#f0f0f0", name="white", share=0.6),)
        found.append(garment(index, f"garment {index}", box_xyxy=box, crop=crop, colours=colours))
    return ReportEntry(entry.analysis.model_copy(update={"garments": tuple(found)}), entry.photo)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_text_can_be_read_and_nothing_is_cut_off(opened: Open, scheme: str, size: tuple[int, int]) -> None:
    page = opened(drawn(), drawn(cached=True), hostile_entry(), size=size, color_scheme=scheme, title="Spring" * 20)
    page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
    contrasts = page.evaluate(_CONTRASTS)
    assert len(contrasts) > 100
    assert [found for found in contrasts if found[0] < 4.5] == []
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 19, 18)"
    assert dark == (scheme == "dark")
    # A picture of it is many colours, of which the page's own is the largest part.
    assert len(page.screenshot()) > 20_000


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)])
def test_what_a_search_found_can_be_read_and_walked_through(opened: Open, scheme: str, size: tuple[int, int]) -> None:
    hostile = hostile_answer()
    answer, _ = answered()
    answer = answer.model_copy(update={"found": (*answer.found, *hostile.found)})
    page = opened(answer=answer, size=size, color_scheme=scheme, title="Spring" * 20)
    contrasts = page.evaluate(_CONTRASTS)
    assert len(contrasts) > 30
    assert [found for found in contrasts if found[0] < 4.5] == []
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    walked = []
    for _ in range(30):
        page.keyboard.press("Tab")
        name, visible, shown = page.evaluate(_FOCUS)
        if name == "BODY":
            break
        assert visible, name
        assert shown, name
        walked.append(page.evaluate("document.activeElement.getAttribute('href') || ''"))
    assert walked[2:5] == ["#q1", "#q2", "#q3"]
    assert walked[5:7] == ["file:///photos/red%20one.jpg", "https://shop.example/skirt.jpg"]
    page.click("nav a[href='#q2']")
    assert page.evaluate("document.querySelector('#q2').getBoundingClientRect().top < innerHeight")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_boxes_lie_over_what_they_are_of(opened: Open, size: tuple[int, int]) -> None:
    entry = drawn()
    page = opened(entry, size=size)
    stage = page.locator(".stage img").bounding_box()
    assert stage is not None
    assert stage["width"] / stage["height"] == pytest.approx(768 / 1024, rel=0.005)
    for index, found in enumerate(entry.analysis.garments):
        box = page.locator(f"#bp1g{index} .line").bounding_box()
        assert box is not None
        scale = stage["width"] / 768
        x0, y0, x1, y1 = (edge * scale for edge in found.box_xyxy)
        line = 2  # the line's width belongs to what the browser measures
        seen = (box["x"] - stage["x"], box["y"] - stage["y"], box["width"], box["height"])
        assert seen == pytest.approx((x0, y0, x1 - x0, y1 - y0), abs=2 * line)


def test_pointing_at_either_of_box_and_card_lights_both(opened: Open) -> None:
    page = opened(drawn(), size=(1280, 3000))
    assert lit(page) == []
    for selector in ("#p1g3", "#bp1g5 .line", "#bp1g0 .plate"):
        page.hover(selector, force=True)
        name = selector.split()[0].removeprefix("#").removeprefix("b")
        assert lit(page) == [name, name]
    page.mouse.move(1270, 5)
    assert lit(page) == []


def test_of_boxes_that_lie_over_each_other_the_smaller_can_be_pointed_at(opened: Open) -> None:
    small, large = (40.0, 60.0, 70.0, 90.0), (10.0, 10.0, 110.0, 150.0)
    page = opened(ReportEntry(analysis(garment(0, box_xyxy=small), garment(1, box_xyxy=large)), grey()))
    stage = page.locator(".stage").bounding_box()
    assert stage is not None
    for x, y, name in ((60, 80, "p1g0"), (95, 130, "p1g1")):
        page.mouse.move(stage["x"] + x, stage["y"] + y)
        assert set(lit(page)) == {name}


def test_a_click_leads_from_the_box_to_the_card_and_back(opened: Open) -> None:
    page = opened(drawn(), size=NARROW)
    page.click("#bp1g5 .plate", force=True)
    page.mouse.move(1, 1)
    assert page.evaluate("document.activeElement.closest('.card').id") == "p1g5"
    assert page.locator("#p1g5").evaluate("card => card.getBoundingClientRect().top < innerHeight")
    assert set(lit(page)) == {"p1g5"}
    page.click("#p1g2 a.title")
    page.mouse.move(1, 1)
    assert page.evaluate("document.activeElement.id") == "bp1g2"
    assert page.locator(".stage").evaluate("stage => stage.getBoundingClientRect().bottom > 0")
    assert set(lit(page)) == {"p1g2"}
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    assert lit(page) == []


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(opened: Open) -> None:
    entry = drawn()
    page = opened(entry, ReportEntry(analysis(), grey()), size=(1280, 3000))
    walked = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name, visible, shown = page.evaluate(_FOCUS)
        if name == "BODY":
            break
        assert visible, name
        assert shown, name
        walked.append(name)
        if name.startswith("bp1g"):
            assert set(lit(page)) == {name.removeprefix("b")}
    areas = [(g.box_xyxy[2] - g.box_xyxy[0]) * (g.box_xyxy[3] - g.box_xyxy[1]) for g in entry.analysis.garments]
    boxes = [f"bp1g{index}" for index in sorted(range(len(areas)), key=lambda index: -areas[index])]
    titles = [word for index in range(6) for word in (["title", "A"] if index == 2 else ["title"])]
    assert walked == ["skip", "theme-auto", "A", "A", "skip inner", *boxes, *titles, "SUMMARY", "SUMMARY"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1


def test_the_skip_links_skip(opened: Open) -> None:
    page = opened(drawn())
    for presses, arrived in ((1, "main"), (1, "p1-garments")):
        for _ in range(presses):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == arrived
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "title"


def test_the_look_can_be_chosen_and_stays(opened: Open) -> None:
    page = opened(drawn(), color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(247, 246, 243)"
    page.get_by_label("Dark").check()
    assert page.evaluate(colour) == "rgb(20, 19, 18)"
    page.reload()
    assert page.evaluate(colour) == "rgb(20, 19, 18)"
    page.get_by_label("Light").check()
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) == "rgb(247, 246, 243)"
    page.get_by_label("Auto").check()
    assert page.evaluate(colour) == "rgb(20, 19, 18)"


def test_without_javascript_the_page_is_whole(opened: Open) -> None:
    page = opened(drawn(), java_script_enabled=False, color_scheme="light")
    light = page.screenshot(clip={"x": 0, "y": 0, "width": 20, "height": 20})
    page.get_by_label("Dark").check()
    assert page.screenshot(clip={"x": 0, "y": 0, "width": 20, "height": 20}) != light
    assert page.locator(".card:visible").count() == 6
    page.click("#bp1g5 .plate", force=True)
    assert page.url.endswith("#p1g5")
    assert page.locator(".card:target").count() == 1
    page.click("#p1g2 a.title")
    assert page.locator("#bp1g2:target .name").is_visible()
    page.click("summary")
    assert page.get_by_text("Looked for").is_visible()


def test_on_paper_everything_shows_and_nothing_waits_for_a_click(opened: Open) -> None:
    page = opened(drawn(), color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.get_by_text("Looked for").is_visible()
    assert not page.locator(".theme").is_visible()
    assert page.pdf(format="A4", prefer_css_page_size=True).count(b"/Type /Page\n") == 2
    assert page.locator("details[open]").count() == 0


def test_three_hundred_garments_are_no_trouble(opened: Open) -> None:
    page = opened(crowd(300), size=NARROW)
    assert page.locator(".card").count() == page.locator(".box").count() == 300
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW[0]
    assert not page.locator("#bp1g7 .plate").is_visible(), "numbers would hide the photo"
    page.hover("#p1g7")
    assert page.locator("#bp1g7 .plate text").first.is_visible()


def test_hostile_texts_stay_texts(opened: Open) -> None:
    page = opened(hostile_entry(), title=HOSTILE)
    assert page.title() == HOSTILE
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("script").count() == page.locator("style").count() == 1
    assert page.evaluate("document.querySelectorAll('img:not([src^=\"data:image/jpeg\"])').length") == 0


def test_what_runs_from_right_to_left_keeps_to_itself(opened: Open) -> None:
    page = opened(ReportEntry(analysis(garment(0, "\u0641\u0633\u062a\u0627\u0646"), name="\u202ereversed"), grey()))
    direction = "element => getComputedStyle(element).direction"
    assert page.locator(".phrase").evaluate(direction) == "rtl"
    assert page.locator(".card").evaluate(direction) == "ltr"
    assert page.locator(".score").inner_text().endswith("90%")
