"""What is put into a catalogue is found again, once, by its vector and by its filters."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg
import pytest

from fashioncrop._postgres.places import Place
from fashioncrop.cataloguing.catalogue import Catalogue, open_catalogue
from fashioncrop.cataloguing.entries import Outcome, Space, garment_id, parse_garment_id, photo_id
from fashioncrop.cataloguing.exporting import write_export
from fashioncrop.cataloguing.searching import Filters
from fashioncrop.errors import CatalogueError, OptionError, OutputError, PhotoError
from fashioncrop.results import Analysis, Category
from planted import DIMENSION, MODEL, OTHER_MODEL, at_angle, entry, planted, unit

SQL = "'; DROP TABLE fashioncrop.garment; --"
FIRST = at_angle(0)


async def sources(catalogue: Catalogue, space: Space, **more: object) -> list[str]:
    return [photo.source for photo in await catalogue.search(space, FIRST, **more)]  # type: ignore[arg-type]


async def test_the_nearest_garments_are_found_with_all_that_is_known_of_them(
    catalogue: Catalogue, space: Space
) -> None:
    shown = planted(0, at_angle(10), "red shirt", ("red", "white"))
    assert await catalogue.put(entry("/near.jpg", shown, planted(1, at_angle(80))), space) is Outcome.NEW
    assert await catalogue.put(entry("https://shop.example/far.jpg", planted(0, at_angle(60))), space) is Outcome.NEW
    near, far = await catalogue.search(space, FIRST)
    assert (near.source, near.link, near.name, near.width, near.height) == (
        *("/near.jpg", "file:///near.jpg", "photo"),
        *(60, 40),
    )
    assert far.link == "https://shop.example/far.jpg"
    assert near.similarity == pytest.approx(np.cos(np.radians(10)), abs=1e-3)
    assert [one.similarity for one in near.garments] == pytest.approx(np.cos(np.radians([10, 80])), abs=1e-3)
    found = near.garments[0].garment
    assert found.model_dump(exclude={"embedding", "crop"}) == shown.model_dump(exclude={"embedding", "crop"})
    assert found.crop.box_xyxy == shown.crop.box_xyxy
    again = await catalogue.garment(near.garments[0].id)
    assert (again.source, again.garment.phrase, again.space) == ("/near.jpg", "red shirt", space)
    assert again.vector == pytest.approx(at_angle(10), abs=1e-3)


async def test_a_photo_stands_once_however_many_of_its_garments_are_alike(catalogue: Catalogue, space: Space) -> None:
    crowd = [planted(number, at_angle(1 + number / 100)) for number in range(60)]
    await catalogue.put(entry("/crowd.jpg", *crowd), space)
    for number in range(3):
        await catalogue.put(entry(f"/{number}.jpg", planted(0, at_angle(20 + number))), space)
    photos = await catalogue.search(space, FIRST, limit=3)
    assert [photo.source for photo in photos] == ["/crowd.jpg", "/0.jpg", "/1.jpg"]
    assert [one.garment.id for one in photos[0].garments] == [0, 1, 2], "the most alike of them"


async def test_the_same_photo_again_changes_nothing_and_a_changed_one_replaces(
    catalogue: Catalogue, space: Space
) -> None:
    first = entry("/a.jpg", planted(0, at_angle(5)), planted(1, at_angle(6)))
    assert [await catalogue.put(first, space) for _ in range(2)] == [Outcome.NEW, Outcome.UNCHANGED]
    assert await catalogue.has("/a.jpg", first.sha256, "recipe", space)
    for recipe in ("recipe", "asked otherwise"):
        changed = entry("/a.jpg", planted(0, at_angle(50)), content=b"other", recipe=recipe)
        assert not await catalogue.has("/a.jpg", changed.sha256, changed.recipe, space)
        assert await catalogue.put(changed, space) is Outcome.REPLACED
    (photo,) = await catalogue.search(space, FIRST)
    assert [round(one.similarity, 2) for one in photo.garments] == [0.64], "nothing is left of the old one"
    (info,) = (await catalogue.overview()).spaces
    assert (info.photos, info.garments) == (1, 1)
    assert await catalogue.put(entry("/copy.jpg", planted(0, at_angle(5))), space) is Outcome.NEW
    assert await catalogue.put(entry("/empty.jpg"), space) is Outcome.NEW, "a photo without garments is known too"
    assert await catalogue.put(entry("/empty.jpg"), space) is Outcome.UNCHANGED


async def test_two_writers_of_the_same_photos_at_once_leave_each_once(place: Place) -> None:
    async with open_catalogue(place, create=True) as one, open_catalogue(place) as other:
        space = await one.make_space(MODEL, DIMENSION)
        assert await other.make_space(MODEL, DIMENSION) == space
        entries = [entry(f"/{number}.jpg", planted(0, at_angle(number)), planted(1, FIRST)) for number in range(20)]
        outcomes = await asyncio.gather(*(writer.put(each, space) for each in entries for writer in (one, other)))
        assert sorted(outcomes) == sorted([Outcome.NEW, Outcome.UNCHANGED] * 20)
        changed = [entry(f"/{number}.jpg", planted(0, FIRST), content=b"%d" % number) for number in range(20)]
        await asyncio.gather(*(writer.put(each, space) for each in changed for writer in (one, other)))
        (info,) = (await one.overview()).spaces
        assert (info.photos, info.garments) == (20, 20)
        assert [flaw async for flaw in one.flaws() if "gone" not in flaw.words] == []


async def test_a_writer_that_fails_in_the_middle_leaves_the_photo_as_it_was(catalogue: Catalogue, space: Space) -> None:
    await catalogue.put(entry("/a.jpg", planted(0, at_angle(5))), space)
    bad = entry("/a.jpg", planted(0, at_angle(50)), planted(1, [float("nan")] * DIMENSION), content=b"changed")
    with pytest.raises(CatalogueError, match="here/test_"):
        await catalogue.put(bad, space)
    (photo,) = await catalogue.search(space, FIRST)
    assert [round(one.similarity, 3) for one in photo.garments] == [0.996]


async def test_filters_keep_what_they_name(catalogue: Catalogue, space: Space) -> None:
    bag = Category(id=24, name="bag, wallet", supercategory="others")
    photos = {
        "/shirt.jpg": planted(0, at_angle(1), "Polo  Shirt", ("red", "white")),
        "/bag.jpg": planted(0, at_angle(2), "bag", ("Red",)).model_copy(update={"category": bag}),
        "/free.jpg": planted(0, at_angle(3), "leather strap", ("blue",)).model_copy(update={"category": None}),
    }
    for source, garment in photos.items():
        await catalogue.put(entry(source, garment), space)
    for categories, colours, expected in (
        ((), (), ["/shirt.jpg", "/bag.jpg", "/free.jpg"]),
        (("polo shirt",), (), ["/shirt.jpg"]),
        (("Blouse",), (), ["/shirt.jpg"]),
        (("upperbody",), (), ["/shirt.jpg"]),
        (("wallet", "leather strap"), (), ["/bag.jpg", "/free.jpg"]),
        ((), ("RED",), ["/shirt.jpg", "/bag.jpg"]),
        ((), ("red", "white"), ["/shirt.jpg"]),
        (("bag",), ("blue",), []),
        (("bag", "polo shirt", "upperbody"), (), ["/shirt.jpg", "/bag.jpg"]),
    ):
        filters = await catalogue.filters(categories, colours)
        assert await sources(catalogue, space, filters=filters) == expected, (categories, colours)
    own = Filters(without_photo=photo_id("/shirt.jpg"))
    assert await sources(catalogue, space, filters=own) == ["/bag.jpg", "/free.jpg"]
    with pytest.raises(
        OptionError, match=r"the category 'rat', or was found as that. It has: bag, wallet; shirt, blouse\."
    ):
        await catalogue.filters(["rat"], [])
    with pytest.raises(OptionError, match=r"the colour 'puce'. The commonest are: red; blue; white\."):
        await catalogue.filters([], ["puce"])


async def test_sql_in_a_text_is_a_text(catalogue: Catalogue, space: Space) -> None:
    source = f"/{SQL}.jpg"
    await catalogue.put(entry(source, planted(0, FIRST, SQL, (SQL,))), space)
    assert await sources(catalogue, space, filters=await catalogue.filters([SQL], [SQL])) == [source]
    with pytest.raises(OptionError, match="No garment"):
        await catalogue.filters([f"{SQL}x"], [])
    with pytest.raises(OptionError, match="No garment"):
        await catalogue.filters([], ["' OR ''='"])
    with pytest.raises(OptionError, match="no garment's ID"):
        await catalogue.garment(SQL)
    with pytest.raises(OptionError, match="no photo"):
        await catalogue.remove([f"{SQL}%"])
    assert await catalogue.space(SQL) is None
    assert await catalogue.remove([source]) == [photo_id(source)]
    assert (await catalogue.overview()).spaces == ()


async def test_what_a_database_cannot_hold_is_kept_as_well_as_can_be(catalogue: Catalogue, space: Space) -> None:
    await catalogue.put(entry("/nul.jpg", planted(0, FIRST, "a\0b \ud800", ("x\0",))), space)
    (photo,) = await catalogue.search(space, FIRST, filters=await catalogue.filters(["a\0b \ud800"], ["x\0"]))
    assert photo.garments[0].garment.phrase == "a\ufffdb ?"
    with pytest.raises(PhotoError, match="not UTF-8"):
        photo_id("/\udcff.jpg")


async def test_a_vector_of_another_length_never_meets_the_others(
    catalogue: Catalogue, space: Space, place: Place
) -> None:
    with pytest.raises(CatalogueError, match="16 numbers each, and this one has 512"):
        await catalogue.search(space, [1.0] * 512)
    with pytest.raises(CatalogueError, match="16 numbers each, and this one has 4"):
        await catalogue.put(entry("/a.jpg", planted(0, [1.0, 0, 0, 0])), space)
    with pytest.raises(CatalogueError, match="have 16 numbers each, and the server's have 512"):
        await catalogue.make_space(MODEL, 512)
    wide = await catalogue.make_space(OTHER_MODEL, 512)
    await catalogue.put(entry("/wide.jpg", planted(0, at_angle(0, 512)), model=OTHER_MODEL), wide)
    await catalogue.put(entry("/narrow.jpg", planted(0, FIRST)), space)
    assert await sources(catalogue, space) == ["/narrow.jpg"]
    assert [photo.source for photo in await catalogue.search(wide, at_angle(0, 512))] == ["/wide.jpg"]
    statement = (
        "UPDATE fashioncrop.garment SET embedding = '[1,2]' WHERE space_id = 1",
        "UPDATE fashioncrop.garment SET space_id = 2 WHERE space_id = 1",
        "UPDATE fashioncrop.photo SET space_id = 2 WHERE space_id = 1",
    )
    for each in statement:
        with closing(psycopg.connect(str(place.url))) as connection, pytest.raises(psycopg.IntegrityError):
            _commit(connection, each)


def _commit(connection: psycopg.Connection, statement: str) -> None:
    connection.execute(statement.encode())
    connection.commit()


async def test_a_photo_moves_to_the_space_of_other_models_whole(catalogue: Catalogue, space: Space) -> None:
    await catalogue.put(entry("/a.jpg", planted(0, FIRST)), space)
    other = await catalogue.make_space(OTHER_MODEL, 4)
    moved = entry("/a.jpg", planted(0, (1.0, 0, 0, 0)), model=OTHER_MODEL)
    assert await catalogue.put(moved, other) is Outcome.REPLACED
    assert await catalogue.search(space, FIRST) == ()
    assert [one.model.digest for one in await catalogue.spaces()] == [OTHER_MODEL.digest]


async def test_an_export_is_the_same_whatever_the_order_and_can_be_read_again(
    place: Place, bare: str, tmp_path: Path
) -> None:
    entries = [entry(f"/{name}.jpg", planted(0, unit(range(1, 17)))) for name in ("b", "a", "\u00e9")]
    files = []
    for number, (order, where) in enumerate(((entries, place), (entries[::-1], Place("other", url=bare)))):
        async with open_catalogue(where, create=True) as catalogue:
            space = await catalogue.make_space(MODEL, DIMENSION)
            for each in order:
                await catalogue.put(each, space)
            files.append(tmp_path / f"{number}.jsonl")
            assert await write_export(catalogue, files[-1]) == 3
            with pytest.raises(OutputError, match="cannot be written"):
                await write_export(catalogue, tmp_path / "none" / "file")
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert [row["source"] for row in rows] == ["/a.jpg", "/b.jpg", "/\u00e9.jpg"]
    assert {row["sha256"] for row in rows} == {entries[0].sha256.hex()}
    read = Analysis.model_validate(rows[0]["analysis"])
    assert read.garments[0].embedding == pytest.approx(unit(range(1, 17)), abs=1e-3)
    assert set(tmp_path.iterdir()) == set(files)  # noqa: ASYNC240 - a test may wait for a disk


async def test_what_has_become_large_gets_its_indexes_once_and_new_photos_go_into_them(
    catalogue: Catalogue, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        hat = Category(id=14, name="hat", supercategory="head")
        other = planted(0, at_angle(number)).model_copy(update={"category": hat})
        await catalogue.put(entry(f"/{number}.jpg", other if number < 2 else planted(0, at_angle(number))), space)
    assert await catalogue.finish() == 0
    for module in ("indexes", "overview"):
        monkeypatch.setattr(f"fashioncrop.cataloguing.{module}.LEAST_GARMENTS", 3)
    assert "4 garments have no index" not in " ".join([flaw.words async for flaw in catalogue.flaws()])
    assert any("6 garments have no index yet" in flaw.words for flaw in [one async for one in catalogue.flaws()])
    assert await catalogue.finish() == 2, "over all, and over the shirts"
    assert await catalogue.finish() == 0
    assert [info.is_indexed for info in (await catalogue.overview()).spaces] == [True]
    await catalogue.put(entry("/new.jpg", planted(0, at_angle(-1))), space)
    assert await sources(catalogue, space, limit=2) == ["/0.jpg", "/new.jpg"]


async def test_photos_are_removed_by_name_and_by_folder(catalogue: Catalogue, space: Space) -> None:
    names = ["/in/a.jpg", "/in/deep/b.jpg", "/in%/c.jpg", "/inside.jpg", "s3://bucket/d.jpg"]
    for name in names:
        await catalogue.put(entry(name, planted(0, FIRST)), space)
    with pytest.raises(OptionError, match="no photo /nothing, and none below it"):
        await catalogue.remove(["/in", "/nothing"])
    assert len(await catalogue.remove(["/in"])) == 2
    assert sorted(await sources(catalogue, space)) == ["/in%/c.jpg", "/inside.jpg", "s3://bucket/d.jpg"]
    assert len(await catalogue.remove(["s3://bucket/", "/inside.jpg"])) == 2
    assert len(await catalogue.remove(None)) == 1
    assert await catalogue.remove(None) == []


async def test_flaws_are_named(catalogue: Catalogue, space: Space, place: Place, tmp_path: Path) -> None:
    good, changed = tmp_path / "good.jpg", tmp_path / "changed.jpg"
    good.write_bytes(b"photo")
    changed.write_bytes(b"photo")
    crop = (tmp_path / "crop.jpg").as_uri()
    (tmp_path / "crop.jpg").write_bytes(b"crop")
    garment = planted(0, FIRST)
    garment = garment.model_copy(update={"crop": garment.crop.model_copy(update={"url": crop})})
    for path in (good, changed):
        await catalogue.put(entry(str(path), garment), space)
    await catalogue.put(entry("s3://bucket/far.jpg", planted(0, FIRST)), space)
    assert [flaw async for flaw in catalogue.flaws(read_photos=True)] == []
    changed.write_bytes(b"another")
    assert [flaw async for flaw in catalogue.flaws()] == []
    assert [flaw.words async for flaw in catalogue.flaws(read_photos=True)] == ["the photo has changed. Index it again"]
    good.unlink()
    (tmp_path / "crop.jpg").unlink()
    with psycopg.connect(str(place.url)) as connection:
        far = photo_id("s3://bucket/far.jpg")
        connection.execute(b"DELETE FROM fashioncrop.garment WHERE photo_id = %s", [far])
        connection.execute(
            b"UPDATE fashioncrop.garment SET embedding = array_fill(0.5, ARRAY[16])::halfvec WHERE photo_id = %s",
            [photo_id(str(good))],
        )
    found = [(flaw.subject, flaw.words) async for flaw in catalogue.flaws()]
    assert [subject for subject, _ in found] == [
        garment_id(photo_id(str(good)), 0),
        *(str(changed), str(good), str(good)),
        "s3://bucket/far.jpg",
    ]
    told = " ".join(words for _, words in found)
    for words in ("length 2.000", "crop.jpg is gone", "the photo is gone", "1 garments were analysed and 0 are kept"):
        assert words in told


def test_a_garments_id_is_a_text_that_can_be_typed() -> None:
    photo = photo_id("/a.jpg")
    assert parse_garment_id(f" {garment_id(photo, 12).upper()} ") == (photo, 12)
    for bad in ("", "12", "3f2a9c41d0e1b2a7", "3f2a9c41d0e1b2a7-", "xf2a9c41d0e1b2a7-1", "3f2a9c41d0e1b2a7-1234567"):
        with pytest.raises(OptionError, match="no garment's ID"):
            parse_garment_id(bad)


async def test_a_garment_that_is_not_there_is_named(catalogue: Catalogue, space: Space) -> None:
    del space
    with pytest.raises(OptionError, match="no garment 0000000000000001-0"):
        await catalogue.garment("0000000000000001-0")
