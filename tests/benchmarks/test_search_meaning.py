"""What `benchmarks/search_meaning.py` takes for a right answer, with a command that is played."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashioncrop.batching.journal import Row
from fashioncrop.cataloguing.answers import Found, FoundGarment, FoundPhoto, Query, SearchAnswer
from fashioncrop.errors import DeploymentError
from made_analyses import analysis, garment
from search_meaning_run import Command, Indexed, Settings, _ask, _indexed, _says, _shown, _targets_of
from truths import Truth

LEFT, RIGHT = (10.0, 10.0, 40.0, 60.0), (50.0, 10.0, 80.0, 60.0)
TRUTHS = [
    (Truth(0, LEFT, noun="skirt", colour="red", pattern="striped"), Truth(1, RIGHT, noun="hat", colour="blue")),
    (Truth(0, LEFT, noun="skirt", colour="red", pattern="plain"),),
]


def first(scene: int, box: tuple[float, float, float, float], number: int = 0) -> tuple[str, FoundGarment]:
    return f"/photos/{scene:05}.png", FoundGarment(id="x", similarity=1, garment=garment(id=number, box_xyxy=box))


def test_a_box_shows_what_lies_in_most_of_it() -> None:
    assert _shown(LEFT, TRUTHS[0]) is TRUTHS[0][0]
    assert _shown((12, 12, 42, 62), TRUTHS[0]) is TRUTHS[0][0]
    assert _shown((30, 10, 60, 60), TRUTHS[0]) is None
    assert _shown(LEFT, ()) is None


def test_an_answer_is_right_where_all_that_was_asked_is_true() -> None:
    striped, plain = TRUTHS[0][0], TRUTHS[1][0]
    assert _says(first(0, LEFT), striped, TRUTHS)
    assert not _says(first(1, LEFT), striped, TRUTHS)
    assert _says(first(0, LEFT), plain, TRUTHS), "nobody asked for a plain one"
    assert not _says(first(0, RIGHT), plain, TRUTHS)
    assert not _says(first(0, (0, 0, 5, 5)), plain, TRUTHS)


def test_only_what_a_scene_shows_is_looked_for() -> None:
    found = analysis((garment(id=0, box_xyxy=LEFT), garment(id=1, box_xyxy=(0, 0, 5, 5))))
    exported = "\n".join(Row(source=f"/photos/{n:05}.png", analysis=found).model_dump_json() for n in (0, 1))
    assert _indexed(exported, TRUTHS) == [Indexed(0, LEFT, TRUTHS[0][0]), Indexed(1, LEFT, TRUTHS[1][0])]


class Played(Command):
    """Answers every query with the left garment of the first scene."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, *words: str) -> str:
        self.asked.append(words)
        source, one = first(0, LEFT)
        photo = FoundPhoto(source=source, link=None, name="", width=90, height=70, similarity=1, garments=(one,))
        found = Found(query=Query(kind="words", text=""), photos=(photo,))
        return SearchAnswer(found=(found,), models=(), warnings=()).model_dump_json()


def test_queries_are_captions_and_boxes_in_smaller_copies(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for scene in range(2):
        Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(tmp_path / "photos" / f"{scene:05}.png")
    known = [Indexed(0, LEFT, TRUTHS[0][0]), Indexed(0, RIGHT, TRUTHS[0][1]), Indexed(1, LEFT, TRUTHS[1][0])]
    command = Played()
    asked = _ask(Settings("tiny", 2, 10, 0), command, known, TRUTHS, tmp_path, lambda _text: None)
    assert {kind: (one.right, one.queries) for kind, one in asked.items()} == {"words": (2, 3), "crops": (1, 3)}
    words = [asked for asked in command.asked if "--as" in asked]
    assert {asked[1] for asked in words} == {"red striped skirt", "red skirt", "blue hat"}
    boxes = {asked[3] for asked in command.asked if "--box" in asked}
    assert boxes == {"7.50,7.50,30.00,45.00", "37.50,7.50,60.00,45.00"}
    with Image.open(io.BytesIO((tmp_path / "copy" / "00000.jpg").read_bytes())) as copy:
        assert (copy.size, copy.format) == ((75, 60), "JPEG")
    assert [target.is_met for target in _targets_of(asked)] == [False, False]
    with pytest.raises(DeploymentError, match="found none of the scenes' garments"):
        _ask(Settings("tiny", 2, 10, 0), command, [], TRUTHS, tmp_path, lambda _text: None)
