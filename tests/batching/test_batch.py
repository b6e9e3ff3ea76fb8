"""A batch: every photo once, each with a row, whatever happens to the process that writes them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashioncrop.batching.journal import Journal, Row, read_rows
from fashioncrop.batching.listing import Item, list_photos
from fashioncrop.batching.running import MOST_IN_A_ROW, Tally, run_batch
from fashioncrop.batching.table import write_table
from fashioncrop.errors import (
    BudgetError,
    OptionError,
    OutputError,
    PhotoError,
    ServerUnavailableError,
)
from fashioncrop.results import Analysis, Category, Colour, Crop, Depth, Description, Garment, PhotoInfo

ABOUT = {"threshold": 0.35}


def analysis_of(name: str, garments: int = 1) -> Analysis:
    garment = Garment(
        id=0,
        phrase="hat",
        phrase_id=0,
        category=Category(id=14, name="hat", supercategory="head"),
        score=0.5,
        box_xyxy=(1, 2, 3, 4),
        crop=Crop(box_xyxy=(1, 2, 3, 4), jpeg=b"jpeg", url="s3://shop/crop.jpg"),
        embedding=(0.5, 0.25),
        depth=Depth(median=1, spread=0, order=1),
        colours=(Colour(hex="#ff0000", name="red", share=1),),
        flags=("blurred",),
        overlapped_by=(),
        description=Description(
            type="hat",
            colours=("red",),
            pattern="plain",
            material="not visible",
            sleeve="not visible",
            neckline="not visible",
            length="not visible",
            fit="not visible",
            details=(),
            sentence="Red hat",
        ),
    )
    return Analysis(
        photo=PhotoInfo(name=name, width=10, height=20, format="PNG"),
        vocabulary=("hat",),
        garments=(garment,) * garments,
        models=(),
        warnings=(),
        timings_ms={"request": 1.5},
    )


def items(count: int) -> list[Item]:
    return [Item(f"/photos/{index}.png", f"/photos/{index}.png") for index in range(count)]


async def good(item: Item) -> Analysis:
    await asyncio.sleep(0)
    return analysis_of(item.key)


async def batch(
    folder: Path, photos: Iterable[Item], analyze: object = good, *, resume: bool = False, retry_failed: bool = False
) -> Tally:
    with Journal.begin(folder, ABOUT, resume=resume, retry_failed=retry_failed) as journal:
        return await run_batch(photos, analyze, journal, concurrency=3)  # type: ignore[arg-type]


def touch(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"photo")
    return str(path)


def keys(*sources: str, stdin: Iterable[str] = ()) -> list[str]:
    return [item.key for item in list_photos(sources, stdin=stdin)]


class TestListing:
    def test_folders_patterns_lists_urls_and_files_each_photo_once(self, tmp_path: Path) -> None:
        b, a = touch(tmp_path / "in" / "b.jpg"), touch(tmp_path / "in" / "a.PNG")
        deep = touch(tmp_path / "in" / "deep" / "c.webp")
        touch(tmp_path / "in" / "notes.txt")
        touch(tmp_path / "in" / ".hidden.jpg")
        touch(tmp_path / "in" / ".cache" / "d.jpg")
        odd = touch(tmp_path / "photo without suffix")
        listed = tmp_path / "list.txt"
        listed.write_text(f"# mine\n\n{odd}\nhttps://shop.example/x.jpg\n{a}\n")
        assert keys(str(tmp_path / "in")) == [a, b, deep]
        assert keys(str(tmp_path / "in" / "**" / "*.jpg"), str(tmp_path / "in")) == [b, a, deep]
        assert keys(f"@{listed}") == [odd, "https://shop.example/x.jpg", a]
        assert keys("-", stdin=[f"{b}\n", "\n", f"{b}\n"]) == [b]

    def test_a_path_is_the_same_photo_from_any_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        photo = touch(tmp_path / "in" / "a.jpg")
        monkeypatch.chdir(tmp_path)
        assert keys("in/a.jpg", "./in", "in/../in/*.jpg") == [photo]

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("nothing.jpg", "no file or folder"),
            ("empty", "holds no photo"),
            ("*.jpg", "Nothing matches"),
            ("@none.txt", "cannot be read"),
            ("@binary.txt", "not UTF-8"),
        ],
    )
    def test_a_source_without_photos_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(PhotoError, match=words):
            keys(source)

    def test_links_in_a_circle_end(self, tmp_path: Path) -> None:
        photo = touch(tmp_path / "a.jpg")
        (tmp_path / "again").symlink_to(tmp_path)
        assert keys(str(tmp_path)) == [photo]


class TestRunning:
    async def test_every_photo_gets_a_row_and_a_failed_one_its_error(self, tmp_path: Path) -> None:
        async def some_fail(item: Item) -> Analysis:
            if item.key.endswith("3.png"):
                raise PhotoError("It is no photo.")
            return await good(item)

        tally = await batch(tmp_path, items(20), some_fail)
        assert (tally.analysed, tally.failed, tally.skipped, tally.garments) == (18, 2, 0, 18)
        rows = list(read_rows(tmp_path / "results.jsonl"))
        assert {row.source for row in rows} == {item.key for item in items(20)}
        assert len(rows) == 20
        failed = [row for row in rows if row.error is not None]
        assert {(row.error_kind, row.error, row.analysis) for row in failed} == {
            ("PhotoError", "It is no photo.", None)
        }

    async def test_a_resumed_run_does_only_what_is_left(self, tmp_path: Path) -> None:
        async def fails(item: Item) -> Analysis:
            raise PhotoError(f"{item.key} is no photo.")

        await batch(tmp_path, items(5))
        await batch(tmp_path, items(7)[5:], fails, resume=True)
        asked: list[str] = []

        async def watched(item: Item) -> Analysis:
            asked.append(item.key)
            return await good(item)

        tally = await batch(tmp_path, items(10), watched, resume=True)
        assert asked == [item.key for item in items(10)[7:]]
        assert tally.skipped == 7
        tally = await batch(tmp_path, items(10), watched, resume=True, retry_failed=True)
        assert asked[3:] == [item.key for item in items(7)[5:]]
        rows = list(read_rows(tmp_path / "results.jsonl"))
        assert sorted(row.source for row in rows) == sorted(item.key for item in items(10))
        assert all(row.analysis is not None for row in rows)

    async def test_no_more_photos_than_allowed_are_in_flight_or_taken(self, tmp_path: Path) -> None:
        now = most = taken = answered = ahead = 0

        def counted() -> Iterable[Item]:
            nonlocal taken
            for item in items(50):
                taken += 1
                yield item

        async def slow(item: Item) -> Analysis:
            nonlocal now, most, answered, ahead
            now += 1
            most, ahead = max(most, now), max(ahead, taken - answered)
            await asyncio.sleep(0.001)
            now -= 1
            answered += 1
            return analysis_of(item.key)

        await batch(tmp_path, counted(), slow)
        assert most == 3
        assert ahead <= 4

    async def test_a_dead_server_ends_the_run_and_one_hiccup_does_not(self, tmp_path: Path) -> None:
        async def dead(item: Item) -> Analysis:
            raise ServerUnavailableError(f"Nobody answers for {item.key}.")

        with pytest.raises(ServerUnavailableError):
            await batch(tmp_path / "dead", items(1000), dead)
        assert len(list(read_rows(tmp_path / "dead" / "results.jsonl"))) < MOST_IN_A_ROW

        async def hiccups(item: Item) -> Analysis:
            return await (dead(item) if item.key.endswith("0.png") else good(item))

        assert (await batch(tmp_path / "hiccups", items(200), hiccups)).failed == 20

    async def test_an_exhausted_budget_ends_the_run_without_a_row_for_it(self, tmp_path: Path) -> None:
        async def dear(item: Item) -> Analysis:
            if item.key == "/photos/4.png":
                raise BudgetError("The next call might pass the limit.")
            return await good(item)

        with pytest.raises(BudgetError):
            await batch(tmp_path, items(100), dear)
        sources = {row.source for row in read_rows(tmp_path / "results.jsonl")}
        assert "/photos/4.png" not in sources
        assert len(sources) < 10


class TestJournal:
    def test_results_are_not_overwritten_by_accident(self, tmp_path: Path) -> None:
        with Journal.begin(tmp_path, ABOUT, resume=False) as journal:
            journal.append(Row(source="a", analysis=analysis_of("a")))
        with pytest.raises(OutputError, match="--resume"):
            Journal.begin(tmp_path, ABOUT, resume=False)

    def test_other_options_do_not_share_a_table(self, tmp_path: Path) -> None:
        Journal.begin(tmp_path, ABOUT, resume=False).close()
        with pytest.raises(OptionError, match="other values of threshold, vocabulary"):
            Journal.begin(tmp_path, {"threshold": 0.5, "vocabulary": ["hat"]}, resume=True)

    def test_two_runs_do_not_write_one_folder(self, tmp_path: Path) -> None:
        with Journal.begin(tmp_path, ABOUT, resume=False), pytest.raises(OutputError, match="Another run"):
            Journal.begin(tmp_path, ABOUT, resume=True)
        with Journal.begin(tmp_path, ABOUT, resume=True, retry_failed=True) as journal:
            journal.append(Row(source="a", error_kind="PhotoError", error="No."))
        with (
            Journal.begin(tmp_path, ABOUT, resume=True, retry_failed=True),
            pytest.raises(OutputError, match="Another run"),
        ):
            Journal.begin(tmp_path, ABOUT, resume=True)

    @given(rows=st.integers(1, 5), cut=st.integers(1, 60))
    def test_a_row_that_was_being_written_is_cut_off(
        self, tmp_path_factory: pytest.TempPathFactory, rows: int, cut: int
    ) -> None:
        folder = tmp_path_factory.mktemp("batch")
        with Journal.begin(folder, ABOUT, resume=False) as journal:
            for index in range(rows):
                journal.append(Row(source=f"{index}", error_kind="PhotoError", error="x" * 80))
        path = folder / "results.jsonl"
        path.write_bytes(path.read_bytes()[:-cut])
        assert len(list(read_rows(path))) == rows - 1
        with Journal.begin(folder, ABOUT, resume=True) as journal:
            assert journal.failed == {f"{index}" for index in range(rows - 1)}
            journal.append(Row(source="after", error_kind="PhotoError", error="y"))
        assert [row.source for row in read_rows(path)] == [*(f"{index}" for index in range(rows - 1)), "after"]

    def test_a_file_that_is_no_journal_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "results.jsonl").write_text('{"hello": 1}\n')
        with pytest.raises(OutputError, match="no batch's"):
            Journal.begin(tmp_path, ABOUT, resume=True)

    def test_a_folder_that_cannot_be_one_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="Choose another folder"):
            Journal.begin(tmp_path / "file" / "out", ABOUT, resume=False)


def test_the_table_has_every_row_and_what_a_shop_asks_for(tmp_path: Path) -> None:
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    with Journal.begin(tmp_path, ABOUT, resume=False) as journal:
        for index in range(600):
            journal.append(Row(source=f"{index}", analysis=analysis_of(f"{index}", garments=index % 3)))
        journal.append(Row(source="bad", error_kind="PhotoError", error="It is no photo."))
    write_table(tmp_path / "results.jsonl", tmp_path / "results.parquet")
    table = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [row["source"] for row in table] == [*(str(index) for index in range(600)), "bad"]
    assert [len(row["garments"]) for row in table[:3]] == [0, 1, 2]
    garment = table[1]["garments"][0]
    assert garment["category"] == "hat"
    assert garment["description"]["sentence"] == "Red hat"
    assert garment["embedding"] == [0.5, 0.25]
    assert garment["crop_url"] == "s3://shop/crop.jpg"
    assert table[-1]["garments"] is None
    assert table[-1]["error"] == "It is no photo."
    assert {path.name for path in tmp_path.iterdir()} == {"batch.json", "results.jsonl", "results.parquet"}


_WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_batch import ABOUT, items, analysis_of
from fashioncrop.batching.journal import Journal
from fashioncrop.batching.running import run_batch

async def slowly(item):
    await asyncio.sleep(0.002)
    return analysis_of(item.key)

with Journal.begin(Path({folder!r}), ABOUT, resume=True) as journal:
    asyncio.run(run_batch(items(400), slowly, journal, concurrency=4))
"""


def test_killed_and_resumed_every_photo_has_one_row(tmp_path: Path) -> None:
    script = textwrap.dedent(_WRITER).format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    path = tmp_path / "results.jsonl"
    for rows_first in (20, 150):
        process = subprocess.Popen([sys.executable, "-c", script])
        deadline = time.monotonic() + 60
        while not path.exists() or path.read_bytes().count(b"\n") < rows_first:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert path.read_bytes().count(b"\n") < 400
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    sources = [json.loads(line)["source"] for line in path.read_text().splitlines()]
    assert len(sources) == 400
    assert set(sources) == {item.key for item in items(400)}
