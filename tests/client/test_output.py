"""The output folder: each file whole or not there, whatever the phrases are and whatever the disk does."""

from __future__ import annotations

import errno
import io
import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fashioncrop import Analysis, Crop, Depth, Garment, PhotoInfo
from fashioncrop._output import _slug, write_analysis, write_crops
from fashioncrop._sources import Photo
from fashioncrop.errors import OutputError


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (60, 40), (120, 120, 120)).save(file, "PNG")
    return file.getvalue()


PHOTO = Photo(png(), "photo")


def analysis(*phrases: str, crops: bool = True) -> Analysis:
    return Analysis(
        photo=PhotoInfo(name="photo", width=60, height=40, format="PNG"),
        vocabulary=phrases,
        garments=tuple(
            Garment(
                id=index,
                phrase=phrase,
                phrase_id=index,
                category=None,
                score=0.5,
                box_xyxy=(5, 5, 30, 30),
                crop=Crop(box_xyxy=(4, 4, 31, 31), jpeg=f"crop {index}".encode() if crops else None),
                depth=Depth(median=1, spread=0, order=1),
                colours=(),
                flags=(),
                overlapped_by=(),
            )
            for index, phrase in enumerate(phrases)
        ),
        models=(),
        warnings=(),
        timings_ms={"total": 1.0},
    )


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def test_everything_is_written_and_the_crops_are_named(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    complete = write_analysis(out, analysis("Red shirt", "hat"), PHOTO)
    assert files(out) == ["analysis.json", "boxes.jpg", "crops/00-red-shirt.jpg", "crops/01-hat.jpg"]
    assert (out / "crops/01-hat.jpg").read_bytes() == b"crop 1"
    with Image.open(out / "boxes.jpg") as drawn:
        assert (drawn.format, drawn.size) == ("JPEG", (60, 40))
    written = json.loads((out / "analysis.json").read_text(encoding="utf-8"))
    assert [one["crop"]["file"] for one in written["garments"]] == ["crops/00-red-shirt.jpg", "crops/01-hat.jpg"]
    assert written == json.loads(complete.model_dump_json())
    assert [one.crop.jpeg for one in complete.garments] == [b"crop 0", b"crop 1"], "the answer keeps its bytes"


def test_the_answer_that_was_given_is_left_as_it_was(tmp_path: Path) -> None:
    before = analysis("hat")
    write_analysis(tmp_path, before, PHOTO)
    assert before == analysis("hat")


def test_without_crops_none_is_named(tmp_path: Path) -> None:
    complete = write_analysis(tmp_path, analysis("hat", crops=False), PHOTO)
    assert files(tmp_path) == ["analysis.json", "boxes.jpg"]
    assert complete.garments[0].crop.file is None


def test_no_garment_leaves_the_photo_and_the_document(tmp_path: Path) -> None:
    write_analysis(tmp_path, analysis(), PHOTO)
    assert files(tmp_path) == ["analysis.json", "boxes.jpg"]


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    write_analysis(tmp_path, analysis("hat"), PHOTO)
    write_analysis(tmp_path, analysis("coat"), PHOTO)
    assert json.loads((tmp_path / "analysis.json").read_text())["garments"][0]["phrase"] == "coat"


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("Leather  bag", "leather-bag"),
        ("/etc/passwd", "etc-passwd"),
        ("../../x", "x"),
        ("..", "garment"),
        ("/", "garment"),
        ("", "garment"),
        ("\x00", "garment"),
        ("한국어 치마", "한국어-치마"),
        ("t-shirt (white)", "t-shirt-white"),
        ("_hidden", "hidden"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("a\u202ebagpj", "a-bagpj"),
        ("x" * 300, "x" * 40),
    ],
)
def test_any_phrase_becomes_a_file_name(tmp_path: Path, phrase: str, name: str) -> None:
    complete = write_analysis(tmp_path, analysis(phrase), PHOTO)
    assert complete.garments[0].crop.file == f"crops/00-{name}.jpg"
    assert files(tmp_path) == ["analysis.json", "boxes.jpg", f"crops/00-{name}.jpg"]


@given(st.text(max_size=100))
def test_a_slug_is_one_visible_part_of_a_path(phrase: str) -> None:
    slug = _slug(phrase)
    assert slug
    assert Path(slug).name == slug
    assert slug.isprintable()
    assert not slug.startswith((".", "-", "_"))
    assert len(f".00-{slug}.jpg.part".encode()) < 255


def test_garments_of_one_phrase_have_a_file_each(tmp_path: Path) -> None:
    write_analysis(tmp_path, analysis("hat", "HAT", "hat."), PHOTO)
    assert files(tmp_path / "crops") == ["00-hat.jpg", "01-hat.jpg", "02-hat.jpg"]


@pytest.mark.parametrize("in_the_way", ["out", "out/crops"])
def test_a_file_where_a_folder_must_be_is_told(tmp_path: Path, in_the_way: str) -> None:
    path = tmp_path / in_the_way
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match=f"{in_the_way}.* cannot be written: .*--out"):
        write_analysis(tmp_path / "out", analysis("hat"), PHOTO)
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["analysis.json", "boxes.jpg", "crops/00-hat.jpg", ".analysis.json.part"])
def test_a_folder_where_a_file_must_be_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be written"):
        write_analysis(tmp_path, analysis("hat"), PHOTO)
    assert not [file for file in files(tmp_path) if file.endswith(".part")]


def test_a_full_disk_is_told_and_leaves_whole_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_analysis(tmp_path, analysis("hat"), PHOTO)
    before = (tmp_path / "boxes.jpg").read_bytes()
    write_bytes = Path.write_bytes

    def fill(path: Path, data: bytes) -> int:
        if "boxes" in path.name:
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OutputError, match=r"No space left on device.*make room"):
        write_analysis(tmp_path, analysis("coat"), PHOTO)
    assert (tmp_path / "boxes.jpg").read_bytes() == before
    assert json.loads((tmp_path / "analysis.json").read_text())["garments"][0]["phrase"] == "coat", "whole, and kept"
    assert not [file for file in files(tmp_path) if file.endswith(".part")]


LIMITED = """
import resource, sys
sys.path.insert(0, {tests!r})
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
from pathlib import Path
from fashioncrop.errors import OutputError
from test_output import PHOTO, analysis, write_analysis
try:
    write_analysis(Path(sys.argv[1]), analysis("hat"), PHOTO)
except OutputError as error:
    print(error)
"""


def test_a_file_that_the_system_cuts_short_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    code = LIMITED.format(tests=str(Path(__file__).parent), limit=200)
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "cannot be written: File too large" in done.stdout
    assert files(tmp_path) == ["crops/00-hat.jpg"], "what fitted is whole, the rest is not there"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200


def test_a_second_answer_leaves_no_crops_of_the_first(tmp_path: Path) -> None:
    write_analysis(tmp_path, analysis("hat", "coat"), PHOTO)
    (tmp_path / "crops" / "my notes.txt").write_text("kept")
    write_analysis(tmp_path, analysis("shoe"), PHOTO)
    assert [file for file in files(tmp_path) if "crops" in file] == ["crops/00-shoe.jpg", "crops/my notes.txt"]


def test_crops_of_a_batch_are_named_by_their_content_and_kept_once(tmp_path: Path) -> None:
    batch = analysis("hat", "hat", "shoe", "bag")
    jpegs = (b"one", b"one", b"two", None)
    garments = [
        garment.model_copy(update={"crop": garment.crop.model_copy(update={"jpeg": jpeg})})
        for garment, jpeg in zip(batch.garments, jpegs, strict=True)
    ]
    batch = batch.model_copy(update={"garments": tuple(garments)})
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda _: write_crops(tmp_path, batch), range(40)))
    names = [garment.crop.file for garment in written[0].garments]
    assert names[0] == names[1] != names[2]
    assert names[3] is None
    assert all(one == written[0] for one in written)
    assert files(tmp_path) == sorted({str(names[0]), str(names[2])})
    assert (tmp_path / str(names[2])).read_bytes() == b"two"


def test_a_crop_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "crops").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write_crops(tmp_path, analysis("hat"))
