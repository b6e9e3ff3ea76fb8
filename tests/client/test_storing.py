"""Storing: an analysis named by its content, in a folder whatever happens to it, and in a store that fails at times."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashioncrop import Analysis, Crop
from fashioncrop._sources import Photo
from fashioncrop.errors import StorageError
from fashioncrop.results import Cost
from fashioncrop.storing import (
    StoredAnalysis,
    StoredObject,
    StoreOptions,
    StoreUnusableError,
    check_store,
    open_store,
    store_analysis,
)
from fashioncrop.storing.stored import check_key
from made_analyses import analysis, garment

PHOTO = Photo(b"photo", "name")


def crop(jpeg: bytes | None, **more: Any) -> Crop:  # noqa: ANN401
    return Crop(box_xyxy=(0, 0, 9, 9), jpeg=jpeg, **more)


def three() -> Analysis:
    """Three garments, two of them with the same crop, and one without any."""
    jpegs = (b"one", b"two", b"one", None)
    return analysis(tuple(garment(id=index, crop=crop(jpeg)) for index, jpeg in enumerate(jpegs)))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


# --- an analysis in a folder ------------------------------------------------------------------------------------------


async def test_an_analysis_is_stored_by_its_content(tmp_path: Path) -> None:
    store = open_store(tmp_path / "out")
    stored = await store_analysis(store, three(), PHOTO)
    one, two = (f"crops/{digest(data)[:2]}/{digest(data)}.jpg" for data in (b"one", b"two"))
    assert stored.failures == ()
    assert stored.document is not None
    assert files(tmp_path / "out") == sorted([stored.document.key, one, two])
    assert (tmp_path / "out" / one).read_bytes() == b"one"
    urls = [found.crop.url for found in stored.analysis.garments]
    assert urls == [*(f"file://{tmp_path}/out/{key}" for key in (one, two, one)), None]
    document = (tmp_path / "out" / stored.document.key).read_bytes()
    assert stored.document.key == f"analyses/{digest(document)}.json"
    written = Analysis.model_validate_json(document)
    assert [found.crop.url for found in written.garments] == urls
    assert written.garments[0].description == stored.analysis.garments[0].description
    assert stored.photo is None
    await store.close()


async def test_the_same_answer_is_the_same_object_whenever_it_is_stored(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = await store_analysis(store, three(), PHOTO)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)}
    later = three().model_copy(
        update={"timings_ms": {"total": 99.0}, "cached": True, "cost": Cost(usages=(), dollars=0.1)}
    )
    second = await store_analysis(store, later, PHOTO)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)} == before, (
        "nothing is written again"
    )
    assert first.document is not None
    assert second.document == StoredObject(first.document.key, first.document.url, is_new=False)
    assert second.analysis.timings_ms == {"total": 99.0}, "the answer itself keeps its timings"


async def test_the_photo_is_stored_only_where_it_is_asked_for(tmp_path: Path) -> None:
    stored = await store_analysis(open_store(tmp_path), analysis(), PHOTO, with_photo=True)
    assert stored.photo is not None
    assert stored.photo.key == f"photos/{digest(b'photo')[:2]}/{digest(b'photo')}.png"
    assert (tmp_path / stored.photo.key).read_bytes() == b"photo"
    again = await store_analysis(open_store(tmp_path), analysis(), b"photo", with_photo=True)
    assert again.photo is not None
    assert not again.photo.is_new


async def test_without_garments_the_document_is_stored(tmp_path: Path) -> None:
    stored = await store_analysis(open_store(tmp_path), analysis(), PHOTO)
    assert stored.document is not None
    assert files(tmp_path) == [stored.document.key]


async def test_a_file_that_is_not_whole_is_written_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    await store_analysis(store, three(), PHOTO)
    (broken, *_) = [name for name in files(tmp_path) if name.startswith("crops")]
    whole = (tmp_path / broken).read_bytes()
    (tmp_path / broken).write_bytes(b"")
    await store_analysis(store, three(), PHOTO)
    assert (tmp_path / broken).read_bytes() == whole


async def test_a_failure_is_told_and_storing_again_mends_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    key = f"crops/{digest(b'two')[:2]}/{digest(b'two')}.jpg"
    (tmp_path / key).mkdir(parents=True)  # a folder where the file must be
    stored = await store_analysis(store, three(), PHOTO)
    assert stored.failures[0].key == key
    assert "Is a directory" in stored.failures[0].reason
    assert stored.failures[1].reason == "1 of its 2 crops are not stored."
    assert stored.document is None, "a document never leads to nothing"
    assert [found.crop.url is None for found in stored.analysis.garments] == [False, True, False, True]
    (tmp_path / key).rmdir()
    again = await store_analysis(store, three(), PHOTO)
    assert again.failures == ()
    assert again.document is not None


async def test_what_was_given_is_left_as_it_was(tmp_path: Path) -> None:
    before = three()
    await store_analysis(open_store(tmp_path), before, PHOTO)
    assert before == three()


async def test_a_crop_without_jpeg_loses_a_url_of_another_store(tmp_path: Path) -> None:
    old = analysis((garment(crop=crop(None, url="https://other.example/x?Signature=old", file="crops/x.jpg")),))
    stored = await store_analysis(open_store(tmp_path), old, PHOTO)
    assert stored.document is not None
    written = json.loads((tmp_path / stored.document.key).read_text())
    assert (written["garments"][0]["crop"]["url"], written["garments"][0]["crop"]["file"]) == (None, None)


# --- a folder, whatever happens to it ---------------------------------------------------------------------------------


async def test_a_public_address_of_a_folder(tmp_path: Path) -> None:
    options = StoreOptions(urls="public", public_base_url="https://shop.example/garments/")
    stored = await open_store(tmp_path, options).put("a b/ü.jpg", b"x", "image/jpeg")
    assert stored.url == "https://shop.example/garments/a%20b/%C3%BC.jpg"
    assert (tmp_path / "a b" / "ü.jpg").read_bytes() == b"x"


async def test_names_with_spaces_and_letters_of_any_script(tmp_path: Path) -> None:
    folder = tmp_path / "한국어 치마 #1%20"
    for place in (folder, str(folder), folder.as_uri()):
        stored = await open_store(place).put("x.jpg", b"x", "image/jpeg")
        assert Path(unquote(urlsplit(stored.url).path)) == folder / "x.jpg"
        assert (folder / "x.jpg").exists()


async def test_a_relative_folder_is_where_it_was_when_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("out")
    monkeypatch.chdir("/")
    await check_store(store)
    assert files(tmp_path) == ["out/fashioncrop.txt"]


BAD_KEYS = [
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a/./b",
    "a//b",
    "a/",
    ".",
    "..",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "x" * 901,
]
BAD_KEYS += ["a/" + "x" * 201, "\ud800", "a/\u202eb"]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_keys_that_lead_astray_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(StorageError, match="is no key") as caught:
        await open_store(tmp_path / "out").put(key, b"x", "image/jpeg")
    assert str(caught.value).isprintable()
    assert files(tmp_path) == []


@given(
    st.text(max_size=40) | st.lists(st.sampled_from(["a", "..", ".", "", "ü b", "%2e%2e"]), max_size=5).map("/".join)
)
def test_a_key_that_is_taken_stays_in_the_folder(key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        try:
            check_key(key)
        except StorageError:
            return
        asyncio.run(open_store(root).put(key, b"x", "image/jpeg"))
        assert files(root) == [key]
        assert [path.name for path in Path(folder).iterdir()] == ["root"]


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/x"])
async def test_a_folder_that_cannot_be_made(place: str) -> None:
    with pytest.raises(StorageError, match=f"The folder {place} cannot be written: .*Choose another"):
        await check_store(open_store(place))


async def test_a_file_where_the_folder_must_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    stored = await store_analysis(open_store(tmp_path / "out"), three(), PHOTO)
    assert len(stored.failures) == 3
    assert len({failure.reason for failure in stored.failures}) == 1, "nothing more is tried"
    assert (tmp_path / "out").read_bytes() == b"mine"


READ_ONLY = """
import asyncio, os, sys
from fashioncrop.errors import StorageError
from fashioncrop.storing import StoreUnusableError, check_store, open_store
try:
    asyncio.run(check_store(open_store("/proc/nowhere")))  # imports what nobody else may read
except StorageError:
    pass
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncio.run(check_store(open_store(sys.argv[1])))
except StoreUnusableError as error:
    print(error)
"""


def test_a_folder_that_may_not_be_written() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o555)  # noqa: S103, PTH101
        command = [sys.executable, "-c", READ_ONLY, folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.startswith(f"The folder {folder} cannot be written: Permission denied. Choose another")


async def test_a_full_disk_leaves_whole_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    write_bytes = Path.write_bytes
    tries = 0

    def fill(path: Path, data: bytes) -> int:
        nonlocal tries
        tries += 1
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", fill)
    stored = await store_analysis(store, three(), PHOTO)
    assert [failure.reason for failure in stored.failures] == [
        f"The folder {tmp_path} cannot be written: No space left on device. Choose another, or make room."
    ] * 3
    assert tries == 1, "the next file would not fit either"
    assert files(tmp_path) == []
    monkeypatch.undo()
    assert (await store_analysis(store, three(), PHOTO)).failures == ()


LIMITED = """
import asyncio, resource, sys
from fashioncrop.errors import StorageError
from fashioncrop.storing import open_store
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
try:
    asyncio.run(open_store(sys.argv[1]).put("large", bytes(1000), "image/jpeg"))
except StorageError as error:
    print(type(error).__name__, error)
"""


def test_a_file_that_the_system_cuts_short_is_not_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("StorageError The folder ")
    assert "File too large" in done.stdout
    assert files(tmp_path) == []


async def test_many_writers_of_one_object(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    key = f"crops/{digest(data)}.jpg"
    stores = [open_store(tmp_path, StoreOptions(max_concurrency=2)) for _ in range(4)]
    await asyncio.gather(*(store.put(key, data, "image/jpeg") for store in stores * 8))
    assert files(tmp_path) == [key]
    assert (tmp_path / key).read_bytes() == data


# --- a store that fails at times --------------------------------------------------------------------------------------


class FlakyStore:
    """Keeps what it is given, except where a test says no."""

    def __init__(self, refusals: Iterator[StorageError | None]) -> None:
        self.kept: dict[str, bytes] = {}
        self.tries = 0
        self.at_once = self.most_at_once = 0
        self._refusals = refusals

    shown = "flaky"

    def place_of(self, key: str) -> str:
        return f"flaky://{key}"

    async def url_of(self, key: str) -> str:
        return f"https://flaky/{key}?signature"

    async def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        assert content_type == ("application/json" if key.endswith(".json") else "image/jpeg")
        self.tries += 1
        await asyncio.sleep(0)
        refusal = next(self._refusals, None)
        if refusal is not None:
            raise refusal
        self.kept[key] = data
        return StoredObject(key, await self.url_of(key), is_new=True)

    async def close(self) -> None:
        pass


JPEGS = st.lists(st.none() | st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=6)


@given(JPEGS, st.lists(st.sampled_from([None, None, StorageError("No."), StoreUnusableError("Never.")]), max_size=8))
async def test_whatever_fails_nothing_is_lost_from_sight(
    jpegs: list[bytes | None], refusals: list[StorageError | None]
) -> None:
    store = FlakyStore(iter(refusals))
    before = analysis(tuple(garment(id=index, crop=crop(jpeg)) for index, jpeg in enumerate(jpegs)))
    stored: StoredAnalysis = await store_analysis(store, before, PHOTO)
    wanted = {jpeg for jpeg in jpegs if jpeg is not None}
    kept = {key for key in store.kept if key.startswith("crops")}
    assert len(kept) + sum(failure.key.startswith("crops") for failure in stored.failures) == len(wanted)
    assert (stored.document is None) == any(failure.key.startswith("analyses") for failure in stored.failures)
    if stored.document is not None:
        assert len(kept) == len(wanted)
        assert b"signature" not in store.kept[stored.document.key], "a document's URLs last"
    for found, jpeg in zip(stored.analysis.garments, jpegs, strict=True):
        is_kept = jpeg is not None and any(digest(jpeg) in key for key in kept)
        assert (found.crop.url is not None) == is_kept
    again = await store_analysis(FlakyStore(iter(())), before, PHOTO)
    assert again.failures == ()


async def test_where_nothing_can_be_stored_one_try_is_enough() -> None:
    store = FlakyStore(iter([StoreUnusableError("No bucket.")] * 99))
    stored = await store_analysis(store, three(), PHOTO)
    assert store.tries == 1
    assert [failure.reason for failure in stored.failures] == ["No bucket."] * 3
