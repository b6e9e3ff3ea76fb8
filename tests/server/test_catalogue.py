"""`fashioncrop index`, `search` and `catalogue` as a person uses them, with a real Triton and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import psycopg
import pytest
from PIL import Image

from fashioncrop import AsyncClient
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop._postgres.embedded import EmbeddedPostgres
from fashioncrop._postgres.places import Place
from fashioncrop.batching.journal import Row
from fashioncrop.cataloguing.answers import SearchAnswer
from fashioncrop.cataloguing.catalogue import Catalogue, open_catalogue
from fashioncrop.cataloguing.serving_models import ask_for_models
from fashioncrop.cli import main
from planted import (
    OTHER_MODEL,
    at_angle,
    entry,
    eventually,
    make_database,
    planted,
    reachable_folder,
    unit,
    without_syncs,
)

pytestmark = [pytest.mark.server, pytest.mark.export]

COMMAND = [sys.executable, "-c", "from fashioncrop.cli import main; main()"]
ASKED = ["--threshold", "0.05", "--max-garments", "3", "--no-cache"]
PHOTOS = 9
_T = TypeVar("_T")


@dataclass(frozen=True)
class Done:
    """What a command said."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def kept() -> Iterator[Path]:
    """The folder of an embedded catalogue, whose database runs as long as the tests of this module."""
    with reachable_folder() as folder:
        postgres = EmbeddedPostgres(folder)
        without_syncs(postgres.open())
        yield folder
        postgres.close()


@pytest.fixture(scope="module")
def postgres(kept: Path) -> str:
    """The same, as libpq's connection string without a database's name."""
    return f"host='{kept}/socket' port=5432 user=fashioncrop"


@pytest.fixture
def run(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """The command, in this process."""
    monkeypatch.setenv("FASHIONCROP_STATE", str(server.state_folder.folder))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["fashioncrop", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    return call


@pytest.fixture
def catalogue(run: Run, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The embedded catalogue, empty."""
    monkeypatch.setenv("FASHIONCROP_CATALOGUE", str(kept))
    yield kept
    run("catalogue", "remove", "--all")


@pytest.fixture
def remote(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Place]:
    """An empty database, at an address; each call another."""

    def make() -> Place:
        url = make_database(postgres)
        host, name = postgres.split("'")[1], url.rpartition("=")[2]
        monkeypatch.setenv("FASHIONCROP_CATALOGUE", f"postgresql://fashioncrop:PLANTED@/{name}?host={host}")
        return Place(name, url=url)

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small photos, all different."""
    made = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        draw(made / f"{number:02}.png", number)
    return made


def draw(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 4, 3), np.uint8))
    coarse.resize((96, 120), Image.Resampling.BICUBIC).save(path)


def on(place: Place, work: Callable[[Catalogue], Awaitable[_T]], *, create: bool = True) -> _T:
    async def ask() -> _T:
        async with open_catalogue(place, create=create) as opened:
            return await work(opened)

    return asyncio.run(ask())


def answer_of(done: Done) -> SearchAnswer:
    assert done.code == 0, done.err
    return SearchAnswer.model_validate_json(done.out)


def test_photos_are_indexed_found_changed_and_removed(run: Run, catalogue: Path, folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("00.png", "01.png", "02.png"):
        shutil.copy(folder / name, photos)
    first = run("index", str(photos), *ASKED)
    assert first.code == 0, first.err
    assert "3 photos indexed (0 of them again), 9 garments, 0 unchanged, 0 failed." in first.err
    assert first.err.count("image_embedder has random weights") == 1
    again = run("index", str(photos), *ASKED)
    assert "0 photos indexed (0 of them again), 0 garments, 3 unchanged" in again.err
    crops = {path.name for path in (catalogue / "crops").rglob("*.jpg")}
    assert len(crops) == 9

    exact = answer_of(run("search", str(photos / "01.png"), "--json", *ASKED))
    assert [found.query.kind for found in exact.found] == ["garment"] * 3
    for found in exact.found:
        assert found.photos[0].source == str(photos / "01.png")
        assert found.photos[0].similarity == pytest.approx(1, abs=1e-3)
        assert found.photos[0].link == (photos / "01.png").as_uri()
        best = found.photos[0].garments[0].garment
        assert best.box_xyxy == found.query.box_xyxy
        assert best.crop.url is not None
        assert best.crop.url.startswith((catalogue / "crops").as_uri())
    like = answer_of(run("search", "--garment", exact.found[0].photos[0].garments[0].id, "--json", "--limit", "1"))
    assert [photo.source for photo in like.found[0].photos] != [str(photos / "01.png")], "others are looked for"
    assert len(like.found[0].photos) == 1

    draw(photos / "01.png", 99)
    changed = run("index", str(photos), *ASKED)
    assert "1 photos indexed (1 of them again), 3 garments, 2 unchanged" in changed.err
    left = {path.name for path in (catalogue / "crops").rglob("*.jpg")}
    assert len(left) == 9
    assert len(left & crops) == 6, "the old crops went with what they were of"
    assert "3 unchanged" in run("index", str(photos), *ASKED).err
    assert "3 photos indexed (3 of them again)" in run("index", str(photos), *ASKED, "--crop-padding", "0.2").err
    assert run("catalogue", "verify", "--photos").code == 0

    words = run("search", "red striped skirt", "--limit", "2", "--html", "found.html")
    assert words.code == 0
    assert "red striped skirt" in words.out
    assert str(photos) in words.out
    assert "text_embedder has random weights" in words.err
    assert (tmp_path / "found.html").read_text(encoding="utf-8").count("data:image/jpeg") >= 2
    boxed = answer_of(run("search", str(photos / "00.png"), "--box", "10,10,60,90", "--json"))
    assert [(found.query.kind, found.query.box_xyxy) for found in boxed.found] == [("box", (10, 10, 60, 90))]

    removed = run("catalogue", "remove", str(photos / "00.png"))
    assert "1 photo removed." in removed.err
    assert len(list((catalogue / "crops").rglob("*.jpg"))) == 6
    (photos / "02.png").unlink()
    verified = run("catalogue", "verify", "--json")
    assert verified.code == 1
    assert [flaw["subject"] for flaw in json.loads(verified.out)] == [str(photos / "02.png")]


def test_what_is_known_is_told_and_handed_on(run: Run, catalogue: Path, folder: Path, tmp_path: Path) -> None:
    del catalogue
    assert run("index", str(folder / "00.png"), str(folder / "01.png"), *ASKED).code == 0
    told = json.loads(run("catalogue", "info", "--json").out)
    (space,) = told["spaces"]
    assert (space["photos"], space["garments"], space["dimension"], space["is_indexed"]) == (2, 6, 512, False)
    assert space["model"]["digest"].startswith("sha256:")
    assert told["pgvector"].startswith("0.8")
    table = run("catalogue", "info").out
    assert "2 photos, 6 garments, searched by a look at each" in table.replace("\n", " ")
    printed = run("catalogue", "export")
    assert "2 photos exported." in printed.err
    rows = [Row.model_validate_json(line) for line in printed.out.splitlines()]
    assert [row.source for row in rows] == [str(folder / "00.png"), str(folder / "01.png")]
    assert all(len(one.embedding or ()) == 512 for row in rows if row.analysis for one in row.analysis.garments)
    assert run("catalogue", "export", str(tmp_path / "all.jsonl")).code == 0
    assert (tmp_path / "all.jsonl").read_text(encoding="utf-8") == printed.out


def test_filters_are_of_what_the_answers_say(run: Run, catalogue: Path, folder: Path) -> None:
    del catalogue
    assert run("index", str(folder), *ASKED).code == 0
    everything = answer_of(run("search", "hat", "--limit", "100", "--json"))
    garment = everything.found[0].photos[-1].garments[0].garment
    assert garment.category is not None
    wanted = ["--colour", garment.colours[0].name.upper(), "--category", garment.category.supercategory]
    found = answer_of(run("search", "hat", "--limit", "100", "--json", *wanted)).found[0].photos
    assert 0 < len(found) <= len(everything.found[0].photos)
    for photo in found:
        for one in photo.garments:
            assert garment.colours[0].name in {colour.name for colour in one.garment.colours}
            assert one.garment.category is not None
            assert one.garment.category.supercategory == garment.category.supercategory
    refused = run("search", "hat", "--colour", "'; DROP SCHEMA fashioncrop CASCADE; --")
    assert refused.code == 1
    assert "No garment of the catalogue has the colour" in refused.err
    hostile = answer_of(run("search", "'; DROP TABLE fashioncrop.garment; --", "--json", "--limit", "1"))
    assert len(hostile.found[0].photos) == 1


def test_killed_in_the_middle_or_written_by_two_at_once_it_is_the_same(
    run: Run, remote: Callable[[], Place], folder: Path, tmp_path: Path
) -> None:
    def exported() -> str:
        done = run("catalogue", "export")
        assert done.code == 0, done.err
        assert len(done.out.splitlines()) == PHOTOS
        return done.out

    remote()
    uninterrupted = run("index", str(folder), *ASKED)
    assert uninterrupted.code == 0, uninterrupted.err
    assert "The crops are not kept" in uninterrupted.err
    expected = exported()

    place = remote()
    on(place, lambda catalogue: catalogue.spaces())  # so that it can be looked at from here
    killed = subprocess.Popen(
        [*COMMAND, "index", str(folder), *ASKED, "--concurrency", "1"],
        cwd=tmp_path,
        env=os.environ,
        stderr=subprocess.PIPE,
    )
    with closing(psycopg.connect(str(place.url), autocommit=True)) as connection:

        def photos() -> int:
            row = connection.execute("SELECT count(*) FROM fashioncrop.photo").fetchone()
            assert killed.poll() is None, killed.communicate()
            return int(row[0]) if row else 0

        eventually(lambda: photos() >= 3, "it is in the middle")
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        row = connection.execute(
            "SELECT count(*), (SELECT count(*) FROM fashioncrop.garment) FROM fashioncrop.photo"
        ).fetchone()
        assert row is not None
        assert 3 <= row[0] < PHOTOS
        assert row[1] == 3 * row[0], "photos are whole"
    resumed = run("index", str(folder), *ASKED)
    assert resumed.code == 0, resumed.err
    assert f"{row[0]} unchanged" in resumed.err
    assert exported() == expected

    remote()
    both = [
        subprocess.Popen([*COMMAND, "index", str(folder), *ASKED], cwd=tmp_path, env=os.environ, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=300)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    counts = [re.search(r"(\d+) photos indexed \((\d+) of them again\), .* (\d+) unchanged", each) for each in told]
    numbers = [tuple(map(int, found.groups())) for found in counts if found is not None]
    assert sum(number[0] for number in numbers) == PHOTOS
    assert [number[1] for number in numbers] == [0, 0]
    assert exported() == expected


def test_vectors_of_other_models_never_meet(run: Run, remote: Callable[[], Place], folder: Path) -> None:
    place = remote()

    async def plant(catalogue: Catalogue) -> None:
        space = await catalogue.make_space(OTHER_MODEL, 512)
        await catalogue.put(entry(str(folder / "00.png"), planted(0, at_angle(0, 512)), model=OTHER_MODEL), space)
        await catalogue.put(entry(str(folder / "01.png"), planted(0, at_angle(9, 512)), model=OTHER_MODEL), space)

    on(place, plant)
    for words in (
        ["index", str(folder / "02.png"), *ASKED],
        ["search", "hat"],
        ["search", str(folder / "00.png"), *ASKED],
    ):
        refused = run(*words)
        assert refused.code == 1
        assert "was made by another/clip abc (sha256:two), and this server embeds with clip-vit" in refused.err
        assert "fashioncrop index --reindex" in refused.err
        assert refused.out == ""
    like = answer_of(run("search", "--garment", on(place, _first_id), "--json"))
    assert [photo.source for photo in like.found[0].photos] == [str(folder / "01.png")], "its own model's are found"

    assert run("index", str(folder / "00.png"), "--reindex", *ASKED).code == 0
    mixed = run("search", "hat", "--json")
    assert [photo.source for photo in answer_of(mixed).found[0].photos] == [str(folder / "00.png")]
    assert "indexed by other models and are left out" in mixed.err
    done = run("index", "--reindex", *ASKED)
    assert done.code == 0, done.err
    assert "1 photos indexed (1 of them again), 3 garments, 1 unchanged" in done.err
    whole = run("search", "hat", "--json")
    assert len(answer_of(whole).found[0].photos) == 2
    assert "other models" not in whole.err


async def _first_id(catalogue: Catalogue) -> str:
    (space,) = await catalogue.spaces()
    return (await catalogue.search(space, at_angle(0, 512)))[0].garments[0].id


def test_planted_captions_and_crops_come_first(
    run: Run, remote: Callable[[], Place], server: EmbeddedServer, photographs: dict[str, bytes], tmp_path: Path
) -> None:
    """Untrained models know no meaning: each garment is planted near its caption's vector, or is a crop of a photo."""
    nouns, colours = ("shirt", "skirt", "hat", "coat", "bag"), ("red", "blue", "green", "black")
    captions = [f"a {colour} {noun}" for noun in nouns for colour in colours]
    place = remote()

    async def plant(catalogue: Catalogue) -> None:
        random = np.random.default_rng(1)
        async with AsyncClient(server.grpc_url, timeout_s=60) as client:
            model = (await ask_for_models(client)).image
            vectors = await client.embed_texts(captions)
        space = await catalogue.make_space(model, 512)
        gap = 1 - np.sort(vectors @ vectors.T, axis=1)[:, -2].max()
        for caption, vector in zip(captions, vectors, strict=True):
            noisy = unit(vector + random.normal(size=512) * np.sqrt(gap / 512) / 3)
            await catalogue.put(entry(f"/{caption}.jpg", planted(0, noisy, caption), model=model), space)

    on(place, plant)
    first = [answer_of(run("search", f"A {caption[2:]}", "--json", "--limit", "1")) for caption in captions]
    assert [answer.found[0].photos[0].source for answer in first] == [f"/{caption}.jpg" for caption in captions]

    remote()
    image = Image.open(io.BytesIO(photographs["astronaut"])).convert("RGB").resize((256, 256))
    boxes = [(x, y, x + 80, y + 100) for x in (0, 85, 170) for y in (0, 75, 150)]
    for number, box in enumerate(boxes):
        image.crop(box).save(tmp_path / f"{number}.png")
    assert run("index", *(str(tmp_path / f"{number}.png") for number in range(len(boxes))), *ASKED).code == 0
    image.resize((512, 512), Image.Resampling.BICUBIC).save(tmp_path / "whole.jpg", quality=75)
    stored = answer_of(run("search", "anything", "--json", "--limit", "100")).found[0].photos
    right = 0
    for photo in stored:
        one = photo.garments[0].garment
        left, top, _, _ = boxes[int(photo.name)]
        x0, y0, x1, y1 = one.box_xyxy
        asked = ",".join(f"{2 * value}" for value in (left + x0, top + y0, left + x1, top + y1))
        answer = answer_of(run("search", str(tmp_path / "whole.jpg"), "--box", asked, "--json", "--limit", "1"))
        right += answer.found[0].photos[0].source == photo.source
    assert right == len(stored) == len(boxes), "the same pixels, twice as large and compressed"


def test_a_photo_that_cannot_be_read_is_told_and_the_others_are_kept(
    run: Run, catalogue: Path, folder: Path, tmp_path: Path
) -> None:
    del catalogue
    (tmp_path / "broken.jpg").write_bytes(b"no photo at all")
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes((folder / "00.png").read_bytes())
    done = run("index", str(tmp_path), str(folder / "01.png"), *ASKED)
    assert done.code == 1
    assert "broken.jpg: " in done.err
    assert "is not UTF-8, so it cannot be kept" in done.err
    assert "1 photos indexed (0 of them again), 3 garments, 0 unchanged, 2 failed" in done.err


def test_a_named_error_is_one_line(
    run: Run, catalogue: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = str(folder / "00.png")
    assert run("index", photo, *ASKED).code == 0
    for words, told in (
        (["search", "nowhere.jpg"], "There is no file nowhere.jpg. Check the path; where words are meant: --as words"),
        (["search", "hat", "--url", "127.0.0.1:1", "--timeout", "1"], "127.0.0.1:1"),
        (["index", photo, "--url", "127.0.0.1:1", "--timeout", "1"], "127.0.0.1:1"),
        (["search", " ", "--as", "words"], "is empty"),
        (["search", "hat " * 100], "at most 77"),
        (["search", photo, "--box", "500,500,600,600"], "no part inside the photo"),
        (["search", photo, "--box", "9,9,3,3"], "is empty or reversed"),
        (["search", "--garment", "12"], "is no garment's ID"),
        (["search", "--garment", "0000000000000001-0"], "no garment 0000000000000001-0"),
        (["catalogue", "remove", "nothing"], "has no photo"),
        (["catalogue", "export", "none/file"], "cannot be written"),
    ):
        done = run(*words)
        assert done.code == 1, words
        assert done.out == "", words
        (line,) = [line for line in done.err.splitlines() if not line.startswith("Warning:")]
        assert line.startswith("Error: "), words
        assert told in line, words
    assert run("search", photo, "--threshold", "1").code == 0, "a photo without garments is an answer"
    run("catalogue", "remove", "--all")
    empty = run("search", "hat")
    assert empty.code == 1
    assert f"The catalogue at {catalogue} is empty. Fill it: fashioncrop index FOLDER" in empty.err
    for place, told in (
        (str(tmp_path / "none"), "There is no catalogue at"),
        ("postgresql://jo:PLANTED@127.0.0.1:1/shop", "The database 127.0.0.1:1/shop is not reached"),
        ("mysql://jo:PLANTED@host/shop", "must be a folder, or a URL that begins with postgresql://"),
    ):
        monkeypatch.setenv("FASHIONCROP_CATALOGUE", place)
        refused = run("search", "hat")
        assert refused.code == 1
        assert told in refused.err
        assert "PLANTED" not in refused.err + run("config").out
        assert len(refused.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["index"],
        ["search"],
        ["search", "hat", "--garment", "3f2a9c41d0e1b2a7-2"],
        ["search", "hat", "--box", "1,2,3,4"],
        ["search", "photo.jpg", "--as", "photo", "--box", "1,2,3"],
        ["search", "hat", "--limit", "0"],
        ["catalogue", "remove"],
        ["catalogue", "remove", "/a.jpg", "--all"],
    ],
)
def test_wrong_usage_is_exit_2(run: Run, words: list[str]) -> None:
    assert run(*words).code == 2
