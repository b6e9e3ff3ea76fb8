"""The report as a file: whole, alone, the same every time, and safe whatever the texts say."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import stat
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashioncrop.errors import OutputError, PhotoError
from fashioncrop.reporting import ReportEntry, ReportFailure, _words, write_report
from fashioncrop.results import Colour, Cost, Crop, Depth, PhotoInfo, Usage
from html_page import Page
from report_samples import HOSTILE, analysis, drawn, garment, grey, hostile_entry, jpeg


def written(path: Path, *entries: ReportEntry | ReportFailure, **options: object) -> Page:
    write_report(path, entries, **options)  # type: ignore[arg-type]
    return Page(path.read_text(encoding="utf-8"))


def picture(uri: str) -> Image.Image:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "report.html"


def test_everything_of_an_answer_is_there(path: Path) -> None:
    page = written(path, drawn(), title="Spring")
    words = " ".join(page.text.split())
    for said in (
        "Spring",
        "scene-3000016 768 \u00d7 1,024 px JPEG 6 garments",
        "The models were trained on drawn scenes only.",
        "1, shoe legs and feet Score 92%",
        "4, t-shirt top, t-shirt, sweatshirt · upper body",
        "A striped green t-shirt with an easy, relaxed shape for every day.",
        "short, set in",
        "Not visible: sleeve, neckline, length",
        "No description. The model's answer for this garment was cut off twice.",
        "green 71% light grey 24% dark slate 5%",
        "Distance: nearest of 6",
        "Small in the photo, so details may be lost",
        "Partly covered by 4 t-shirt",
        "grounding-dino-drawn",
        "402 ms",
        "1.7 s, $0.00123, 6,244 tokens",
        "gpt-4o-mini 1 5,432 1,024 812 $0.00123",
        "bag, belt, scarf",
    ):
        assert said in words
    assert "not visible" not in words.replace("Not visible:", "")
    assert len(page.with_class("box")) == len(page.with_class("card")) == 6
    assert all(attributes["alt"] for attributes in page.of("img"))
    assert page.of("html") == [{"lang": "en"}]


def test_boxes_lie_where_they_were_found(path: Path) -> None:
    found = analysis(
        garment(0, box_xyxy=(30.0, 40.0, 60.0, 120.0)),
        garment(1, box_xyxy=(12.0, 16.0, 108.0, 144.0)),
        garment(2, box_xyxy=(-5.0, -5.0, 500.0, 10.0)),
    )
    lines = written(path, ReportEntry(found, grey())).with_class("line")
    places = [tuple(line[side] for side in ("x", "y", "width", "height")) for line in lines]
    assert places == [  # the largest first: what is on top can be pointed at
        ("10.000%", "10.000%", "80.000%", "80.000%"),
        ("25.000%", "25.000%", "25.000%", "50.000%"),
        ("0.000%", "0.000%", "100.000%", "6.250%"),
    ]


def test_every_link_within_the_page_leads_somewhere(path: Path) -> None:
    page = written(path, drawn(), ReportEntry(analysis(garment()), grey()), ReportEntry(analysis(), b"no photo"))
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    targets = {attributes["href"] for attributes in page.of("a")}
    assert targets <= {f"#{name}" for name in names}
    labelled = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert labelled <= set(names)


def test_no_text_becomes_markup(path: Path) -> None:
    quiet = analysis(garment(colours=(Colour(hex="#000000", name="black", share=0.5),)))
    page = written(path, hostile_entry(), title=HOSTILE)
    assert page.text.count(HOSTILE) > 20
    assert len(page.of("script")) == len(page.of("style")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    shapes = {tag for tag, _ in page.elements}
    assert shapes - {"code", "table", "tr", "th", "td", "thead", "tbody", "dl", "dt", "dd"} <= {
        tag for tag, _ in written(path, drawn(), ReportEntry(quiet, grey())).elements
    }


def test_nothing_from_outside_is_named_and_nothing_may_be_asked_for(path: Path) -> None:
    page = written(path, hostile_entry(), drawn(), title=HOSTILE)
    for _, attributes in page.elements:
        for name in ("src", "href", "fill", "srcset", "action", "data", "xlink:href"):
            assert re.match(r"data:image/|#[a-z0-9-]+$|none$|$", attributes.get(name, "")), attributes
        assert "style" not in attributes
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    text = path.read_text(encoding="utf-8")
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        inside = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inside) == 1
        assert rules.pop(rule) == f"'sha256-{base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()}'"
    assert rules == {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}


def test_the_same_input_gives_the_same_bytes(path: Path) -> None:
    written(path, drawn(), hostile_entry(), ReportEntry(analysis(), b"no photo"))
    first = path.read_bytes()
    written(path, drawn(), hostile_entry(), ReportEntry(analysis(), b"no photo"))
    assert path.read_bytes() == first
    assert written(path, made=datetime(2026, 3, 4, 5, 6, tzinfo=UTC)).of("time") == [
        {"datetime": "2026-03-04T05:06:00+00:00"}
    ]
    assert "4 March 2026, 05:06 UTC" in path.read_text(encoding="utf-8")


def test_the_photo_is_scaled_and_loses_the_camera_s_notes(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010F] = "Camera of Jo"
    photo = jpeg(Image.new("RGB", (4000, 3000), (90, 60, 30)), exif=exif.tobytes())
    answer = analysis(photo=PhotoInfo(name="wide", width=3000, height=4000, format="JPEG"))
    shown = written(path, ReportEntry(answer, photo)).of("img")
    assert [(image["width"], image["height"]) for image in shown] == [("960", "1280")]
    assert picture(shown[0]["src"]).size == (960, 1280)
    assert not picture(shown[0]["src"]).getexif()


def test_crops_are_as_they_were_or_scaled_or_cut_out(path: Path) -> None:
    rng = np.random.default_rng(3)
    noise = Image.fromarray(rng.integers(0, 256, (160, 120, 3), np.uint8))
    small, large = jpeg(noise.crop((0, 0, 50, 70))), jpeg(noise.resize((600, 900)))
    crops = [
        Crop(box_xyxy=(0, 0, 50, 70), jpeg=small),
        Crop(box_xyxy=(0, 0, 60, 90), jpeg=large),
        Crop(box_xyxy=(10, 20, 40, 90), jpeg=None),
        Crop(box_xyxy=(-10, -10, 500, 500), jpeg=b"damaged"),
        Crop(box_xyxy=(10, 20, 40, 90), jpeg=small[:200]),
        Crop(box_xyxy=(50, 50, 50, 50), jpeg=None),
    ]
    answer = analysis(*(garment(index, crop=crop) for index, crop in enumerate(crops)))
    shown = written(path, ReportEntry(answer, jpeg(noise))).of("img")[1:]
    assert base64.b64decode(shown[0]["src"].partition(",")[2]) == small
    assert [picture(image["src"]).size for image in shown] == [(50, 70), (320, 480), (30, 70), (120, 160), (30, 70)]
    assert len(written(path, ReportEntry(answer, b"no photo")).of("img")) == 2, "those that need no photo"


def test_a_photo_that_cannot_be_decoded_is_told_in_its_place(path: Path) -> None:
    page = written(path, ReportEntry(analysis(garment(0, "coat")), b"no photo"))
    assert "This photo cannot be shown" in page.text
    assert (len(page.with_class("card")), len(page.with_class("box"))) == (1, 0)


def test_a_photo_that_was_not_analysed_is_told_in_its_place(path: Path) -> None:
    gone = ReportFailure("gone/<b>.jpg", "gone/<b>.jpg does not exist.")
    page = written(path, ReportEntry(analysis(garment()), grey()), gone)
    words = " ".join(page.text.split())
    assert "2 photos 1 garment 1 not analysed" in words
    assert "gone/<b>.jpg not analysed" in words, "in the contents"
    assert "Not analysed. gone/<b>.jpg does not exist." in words
    assert len(page.with_class("photo")) == 2


def test_another_photo_than_the_one_analysed_is_refused(path: Path) -> None:
    with pytest.raises(PhotoError, match=r"120 x 160 pixels.*30 x 20"):
        write_report(path, [ReportEntry(analysis(), grey(30, 20))])
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_head_counts_what_follows_it(path: Path, count: int) -> None:
    page = written(path, *(ReportEntry(analysis(garment(), warnings=("!",)), grey()) for _ in range(count)))
    words = " ".join(page.text.split())
    assert f"{count} photo{'' if count == 1 else 's'} {count} garment{'' if count == 1 else 's'}" in words
    assert len(page.of("nav")) == (count > 1)
    assert ("There is no photo in this report." in words) == (count == 0)
    assert words.count("1 garment 1 warning") == (count if count > 1 else 0)


def test_nothing_found_and_nothing_known_is_said(path: Path) -> None:
    page = written(path, ReportEntry(analysis(name=" "), grey()))
    assert "Photo 1" in page.text
    assert "No garment was found in this photo." in page.text
    assert page.with_class("warnings") == page.with_class("overlay") == []


def test_what_came_from_the_cache_costs_nothing_again(path: Path) -> None:
    words = written(path, drawn(cached=True), drawn()).text
    assert "From the cache, no model was asked" in words
    assert "Cost when it was made" in words
    assert re.search(r"\$0\.00123\s+6,244 tokens\s", words)
    usage = Usage(model="x", calls=1, input_tokens=9, cached_input_tokens=0, output_tokens=9, dollars=None)
    unknown = Cost(usages=(usage,), dollars=None)
    assert "over $0.00123" in written(path, drawn(cost=unknown), drawn()).text


def test_unicode_of_every_kind_is_written(path: Path) -> None:
    phrases = ("فستان", "\u202egnirts", "\U0001f457", "\udcff", "\0", "", "  ", "x" * 5000)
    page = written(path, ReportEntry(analysis(*(garment(i, text) for i, text in enumerate(phrases))), grey()))
    assert "فستان" in page.text
    assert len(page.with_class("card")) == len(phrases)


def test_entries_are_taken_one_at_a_time(path: Path) -> None:
    photo = jpeg(Image.fromarray(np.random.default_rng(1).integers(0, 256, (1200, 900, 3), np.uint8)))
    answer = analysis(photo=PhotoInfo(name="noise", width=900, height=1200, format="JPEG"))

    def peak(count: int) -> int:
        tracemalloc.start()
        write_report(path, (ReportEntry(answer, photo) for _ in range(count)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    one = peak(1)
    assert peak(8) < one + 2**20
    assert path.stat().st_size > 8 * len(photo)


def test_an_error_of_the_caller_s_goes_through_and_leaves_the_old_report(path: Path) -> None:
    written(path, ReportEntry(analysis(), grey()))
    before = path.read_bytes()

    def entries() -> Iterator[ReportEntry]:
        yield ReportEntry(analysis(garment()), grey())
        raise ConnectionError("from the caller")

    with pytest.raises(ConnectionError, match="from the caller"):
        write_report(path, entries())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_report_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.html").mkdir()
    for path in (tmp_path / "file" / "report.html", tmp_path / "folder.html", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match=r"cannot be written: .*\. Choose another file"):
            write_report(path, [])
    assert sorted(found.name for found in tmp_path.iterdir()) == ["file", "folder.html"]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - closed where it is used
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_options: full)
    with pytest.raises(OutputError, match="No space left"):
        write_report(tmp_path / "report.html", [ReportEntry(analysis(), grey())])
    assert list(tmp_path.iterdir()) == []


def test_a_report_has_the_modes_of_any_file(path: Path) -> None:
    written(path)
    (path.parent / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((path.parent / "other").stat().st_mode)


def test_numbers_are_as_people_write_them() -> None:
    amounts = (0, 0.0000001, 0.00041234, 0.0123, 0.5, 12.5, 1234.5, float("inf"))
    assert [_words.dollars(amount) for amount in amounts] == [
        *("$0.00", "under $0.000001", "$0.000412", "$0.0123", "$0.50", "$12.50", "$1,234.50", "an unknown price")
    ]
    assert [_words.percent(share) for share in (0, 0.001, 0.005, 0.5, 1)] == [
        "0%",
        "under 1%",
        "under 1%",
        "50%",
        "100%",
    ]
    orders = [_words.depth_words(Depth(median=0, spread=0, order=order), 30) for order in (1, 2, 3, 11, 22, 30)]
    assert orders == [
        f"Distance: {words} 30"
        for words in (
            "nearest of",
            "2nd nearest of",
            "3rd nearest of",
            "11th nearest of",
            "22nd nearest of",
            "farthest of",
        )
    ]
    assert [_words.milliseconds(value) for value in (0.2, 999, 1500, -1, float("nan"))] == [
        *("0 ms", "999 ms", "1.5 s", "unknown", "unknown")
    ]
    assert _words.bars({"a": float("nan"), "b_c": 5, "d": float("inf")})[0] == ("b c", "5 ms", "100.0%")
    assert (_words.count(1, "photo"), _words.count(12000, "photo")) == ("1 photo", "12,000 photos")
