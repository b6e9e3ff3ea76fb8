"""What a search found, as a page: whole, alone, the same every time, and safe whatever the texts say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fashioncrop.cataloguing.answers import SearchAnswer
from fashioncrop.cataloguing.entries import garment_id, photo_id
from fashioncrop.errors import OutputError
from fashioncrop.reporting import write_gallery
from gallery_samples import answered, hostile_answer
from html_page import Page
from report_samples import HOSTILE, grey


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "found.html"


def written(path: Path, answer: SearchAnswer, pictures: dict[str, bytes], **options: object) -> Page:
    write_gallery(path, answer, pictures, **options)  # type: ignore[arg-type]
    return Page(path.read_text(encoding="utf-8"))


def test_everything_of_an_answer_is_there(path: Path) -> None:
    page = written(path, *answered(), title="Spring", made=datetime(2026, 3, 4, 5, 6, tzinfo=UTC))
    words = " ".join(page.text.split())
    for said in (
        "Spring 4 March 2026, 05:06 UTC",
        "2 queries 4 photos found",
        "skirt, in look.jpg 4 photos best 0.931",
        "The models were trained on drawn scenes only.",
        "1, skirt Similarity 0.931",
        "/photos/red one.jpg 1,200 \u00d7 1,600 px",
        f"More like it: fashioncrop search --garment {garment_id(photo_id('/photos/red one.jpg'), 0)}",
        "skirt 0.710",
        "Neither crop nor photo can be read any more.",
        "\u201cred striped skirt\u201d 0 photos",
        "No garment of the catalogue passes the filters.",
    ):
        assert said in words
    links = [link["href"] for link in page.of("a") if not link["href"].startswith("#")]
    assert links == ["file:///photos/red%20one.jpg", "https://shop.example/skirt.jpg"]
    assert "PLANTED" not in path.read_text(encoding="utf-8"), "a link that signs is nobody else's"
    assert len(page.with_class("card")) == 4
    assert len(page.with_class("stage")) == 1
    assert [bar["width"] for bar in page.with_class("fill")] == ["93.1%", "85.0%", "80.0%", "0.0%"]


def test_texts_that_try_to_break_out_stay_texts(path: Path) -> None:
    answer = hostile_answer()
    page = written(path, answer, {photo.garments[0].id: grey() for photo in answer.found[0].photos}, title=HOSTILE)
    assert page.text.count(HOSTILE) > 5
    assert len(page.of("script")) == len(page.of("style")) == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    for _, attributes in page.elements:
        assert re.match(r"data:image/|#[a-z0-9-]+$|file:///%22|$", attributes.get("href", "")), attributes
        assert re.match(r"data:image/|$", attributes.get("src", "")), attributes
        assert "style" not in attributes


def test_the_same_input_gives_the_same_bytes_whole_or_not_at_all(path: Path) -> None:
    written(path, *answered())
    first = path.read_bytes()
    written(path, *answered())
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(OutputError, match="cannot be written"):
        write_gallery(path / "inside.html", *answered())


def test_nothing_looked_for_is_said(path: Path) -> None:
    page = written(path, SearchAnswer(found=(), models=(), warnings=()), {})
    assert "Nothing was looked for." in page.text
    assert "0 queries" in " ".join(page.text.split())
