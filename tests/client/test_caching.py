"""The caches: what is kept comes back or is not there, whatever happens to the folder."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from fashioncrop.caching import (
    default_cache_folder,
    open_cache,
)
from fashioncrop.caching.folder import FolderCache
from fashioncrop.errors import OptionError
from made_analyses import Told

PASSWORD = "planted:Pass/word+4711"  # noqa: S105 - planted, to be looked for


# --- the folder -------------------------------------------------------------------------------------------------------


@pytest.fixture
def told() -> Told:
    return Told([])


@dataclass
class Clock:
    """Seconds since 1970, set by hand."""

    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.glob("v1/*/*") if path.is_file()]


@given(st.text(max_size=40) | st.text(alphabet="./\\\0\ud800", max_size=8), st.binary(max_size=200))
async def test_any_key_and_value_is_kept(tmp_path_factory: pytest.TempPathFactory, key: str, value: bytes) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = FolderCache(folder, on_warning=pytest.fail)
    assert await cache.get(key) is None
    await cache.set(key, value)
    assert await cache.get(key) == value
    assert await FolderCache(folder).get(key) == value, "another process finds it too"
    assert [path.parent.parent.parent for path in entries(folder)] == [folder], "inside the folder"


async def test_an_answer_is_replaced(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "new" / "folder")
    await cache.set("key", b"one")
    await cache.set("key", b"two")
    assert await cache.get("key") == b"two"
    assert len(entries(tmp_path / "new" / "folder")) == 1
    assert (tmp_path / "new" / "folder").stat().st_mode & 0o777 == 0o700, "photos of people are nobody else's"
    await cache.close()


async def test_an_answer_ends_with_its_time(tmp_path: Path) -> None:
    clock = Clock()
    cache = FolderCache(tmp_path, clock=clock)
    await cache.set("key", b"value", ttl_s=10)
    clock.now_s += 9.9
    assert await cache.get("key") == b"value"
    clock.now_s += 0.2
    assert await cache.get("key") is None
    assert entries(tmp_path) == []


async def test_what_was_not_asked_for_the_longest_goes_first(tmp_path: Path, told: Told) -> None:
    clock = Clock()
    cache = FolderCache(tmp_path, max_bytes=20_000, clock=clock, on_warning=told)
    for index in range(100):
        clock.now_s += 100
        await cache.set(f"key {index}", bytes(800))
        assert await cache.get("key 0") == bytes(800), "asked for again and again"
        assert sum(path.stat().st_size for path in entries(tmp_path)) <= 20_000 * 1.06
    kept = [index for index in range(100) if await cache.get(f"key {index}") is not None]
    assert kept == [0, *range(100 - len(kept) + 1, 100)]
    assert 14 <= len(kept) <= 22
    assert told.sentences == []


async def test_an_answer_too_large_for_the_folder_is_not_kept(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path, max_bytes=1000)
    await cache.set("key", bytes(251))
    assert await cache.get("key") is None


def instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def changed(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": lambda path: changed(path, lambda data: data[:-3]),
    "longer": lambda path: changed(path, lambda data: data + b"x"),
    "flipped": lambda path: changed(path, lambda data: data[:-1] + b"!"),
    "empty": lambda path: changed(path, lambda _data: b""),
    "foreign": lambda path: changed(path, lambda _data: b"\x80\x04cos\nsystem\n(S'true'\ntR."),
    "of another key": lambda path: changed(path, lambda data: data.replace(b'"key"', b'"kex"')),
    "deep": lambda path: changed(path, lambda _data: b"fashioncrop cache 1\n" + b"[" * 100_000 + b"\n"),
    "a folder": lambda path: instead(path, Path.mkdir),
    "a pipe": lambda path: instead(path, os.mkfifo),
    "a link": lambda path: instead(path, lambda path: path.symlink_to("/etc/hostname")),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_moved_aside_and_told(tmp_path: Path, told: Told, damage: str) -> None:
    cache = FolderCache(tmp_path, on_warning=told)
    await cache.set("key", b"value")
    await cache.set("other", b"value")
    DAMAGES[damage](cache._path("key"))
    assert await cache.get("key") is None
    assert await cache.get("key") is None
    (sentence,) = told.sentences
    assert f"{tmp_path} had a damaged file, which was moved to {tmp_path}/damaged." in sentence
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    await cache.set("key", b"value")
    assert await cache.get("key") == b"value"
    assert await cache.get("other") == b"value"


async def test_damaged_files_do_not_pile_up(tmp_path: Path, told: Told) -> None:
    cache = FolderCache(tmp_path, on_warning=told)
    for index in range(25):
        await cache.set(f"key {index}", b"value")
        cache._path(f"key {index}").write_bytes(b"")
        assert await cache.get(f"key {index}") is None
    assert len(list((tmp_path / "damaged").iterdir())) == 16
    assert len(told.sentences) == 1, "one sentence, not one a file"


@pytest.mark.parametrize("place", ["/dev/null/cache", "/proc/fashioncrop-cache"])
async def test_a_folder_that_cannot_be_made_stops_nothing(place: str, told: Told) -> None:
    cache = FolderCache(Path(place), on_warning=told)
    for _ in range(3):
        await cache.set("key", b"value")
        assert await cache.get("key") is None
    assert f"The cache folder {place} cannot be written: " in told.sentences[0]
    assert len(told.sentences) == len(set(told.sentences)) <= 2


async def test_a_file_where_the_folder_must_be_stops_nothing(tmp_path: Path, told: Told) -> None:
    (tmp_path / "cache").write_text("mine")
    cache = FolderCache(tmp_path / "cache", on_warning=told)
    await cache.set("key", b"value")
    assert await cache.get("key") is None
    assert (tmp_path / "cache").read_text() == "mine"
    assert len(told.sentences) == 2


async def test_a_full_disk_stops_nothing_and_leaves_no_half_file(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FolderCache(tmp_path, on_warning=told)
    await cache.set("before", b"value")
    write_bytes = Path.write_bytes
    tries: list[Path] = []

    def fill(path: Path, data: bytes) -> int:
        tries.append(path)
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", fill)
    await cache.set("key", b"value")
    await cache.set("key", b"value")
    assert len(tries) == 1, "not tried again at once"
    assert await cache.get("before") == b"value"
    assert [path.name for path in entries(tmp_path)] == [cache._path("before").name]
    assert told.sentences == [
        f"The cache folder {tmp_path} cannot be written: No space left on device. New answers are not kept."
    ]


async def test_a_folder_that_is_deleted_meanwhile_is_made_again(tmp_path: Path, told: Told) -> None:
    cache = FolderCache(tmp_path / "cache", on_warning=told)
    await cache.set("key", b"value")
    shutil.rmtree(tmp_path / "cache")
    assert await cache.get("key") is None
    await cache.set("key", b"value")
    assert await cache.get("key") == b"value"
    assert told.sentences == []


BUSY = """
import asyncio, hashlib, random, sys
from pathlib import Path
from fashioncrop.caching.folder import FolderCache

def value(key, dice):
    size = dice.choice([10, 5_000, 90_000])
    return key.encode() + hashlib.sha256(key.encode()).digest() * (size // 32)

async def main():
    dice = random.Random(int(sys.argv[2]))
    cache = FolderCache(Path(sys.argv[1]), max_bytes=1_000_000, on_warning=lambda words: print(words, flush=True))
    print("ready", flush=True)
    for _ in range(int(sys.argv[3])):
        key = str(dice.randrange(40))
        await cache.set(key, value(key, dice))
        found = await cache.get(str(dice.randrange(40)))
        assert found is None or found.endswith((found[-32:], b"")), "whole"

asyncio.run(main())
"""


def busy(folder: Path, seed: int, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUSY, str(folder), str(seed), str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def check_whole(folder: Path, told: Told) -> None:
    cache = FolderCache(folder, on_warning=told)
    found = [await cache.get(str(key)) for key in range(40)]
    assert any(found)
    assert told.sentences == [], "nothing is damaged"


async def test_processes_share_a_folder(tmp_path: Path, told: Told) -> None:
    processes = [busy(tmp_path, seed, 150) for seed in range(3)]
    for process in processes:
        out, problems = await asyncio.to_thread(process.communicate, timeout=120)
        assert (out, problems, process.returncode) == ("ready\n", "", 0)
    await check_whole(tmp_path, told)
    total_bytes = sum(path.stat().st_size for path in entries(tmp_path))
    assert total_bytes <= 1_000_000 * 1.2


async def test_a_process_that_is_killed_leaves_whole_answers_only(tmp_path: Path, told: Told) -> None:
    dice = random.Random(7)
    for seed in range(6):
        process = busy(tmp_path, seed, 1_000_000)
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
        await asyncio.sleep(dice.uniform(0.01, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
    await check_whole(tmp_path, told)


async def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    clock = Clock()
    cache = FolderCache(tmp_path, clock=clock)
    left = cache._path("key").with_name("x.12-34.part")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    os.utime(left, (clock.now_s - 4000, clock.now_s - 4000))
    young = left.with_name("y.12-34.part")
    young.write_bytes(b"half")
    os.utime(young, (clock.now_s, clock.now_s))
    await cache.set("other", b"value")
    assert not left.exists()
    assert young.exists(), "another process may be writing it"


# --- which cache ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FASHIONCROP_CACHE_DIR": "/a/b"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/fashioncrop/answers"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/somebody"}, "/home/somebody/.cache/fashioncrop/answers"),
        ({"FASHIONCROP_CACHE_DIR": "", "HOME": "/home/somebody"}, "/home/somebody/.cache/fashioncrop/answers"),
    ],
)
def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name in ("FASHIONCROP_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_cache_folder() == Path(expected)
    assert repr(open_cache()) == f"FolderCache({expected!r})"


def test_no_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FASHIONCROP_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(OptionError, match="FASHIONCROP_CACHE_DIR"):
        open_cache()


@pytest.mark.parametrize(
    "place",
    [
        "memcached://host",
        f"http://user:{PASSWORD}@host",
        f"redis://:{PASSWORD}@host",
        "redis://",
        "redis://host:99999",
        "redis://host:0",
        "rediss://ho st\n",
        "unix://",
        "redis://host?password=planted",
        "redis://host?db=planted",
        "redis://[::1",
        "~nobody-has-this-name/cache",
    ],
)
def test_places_that_are_none(place: str) -> None:
    with pytest.raises(OptionError) as caught:
        open_cache(SecretStr(place))
    error: BaseException | None = caught.value
    while error is not None:
        assert "planted" not in f"{error!r}"
        error = error.__cause__ or error.__context__


def test_a_limit_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="max_bytes"):
        open_cache(tmp_path, max_bytes=0)


def test_without_the_extra_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fashioncrop.caching.shared", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(OptionError, match=r"pip install 'fashioncrop\[redis\]'"):
        open_cache("redis://localhost")
