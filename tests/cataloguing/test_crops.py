"""Where crops are kept, and where their pictures come from when they are shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from fashioncrop._fetch import FetchLimits
from fashioncrop._postgres.places import Place
from fashioncrop._sources import Photo
from fashioncrop.cataloguing.answers import Found, FoundGarment, FoundPhoto, Query, SearchAnswer, link_to
from fashioncrop.cataloguing.crops import crops_folder, forget_photos, open_crop_keeper
from fashioncrop.cataloguing.entries import photo_id
from fashioncrop.cataloguing.pictures import pictures_of
from fashioncrop.errors import OptionError, StorageError
from fashioncrop.results import Crop
from fashioncrop.settings import Settings
from made_analyses import analysis, garment

SOURCE = "/photos/look.png"
PHOTO = Photo(b"photo", "look")
FOUND = analysis(tuple(garment(id=number, crop=Crop(box_xyxy=(0, 0, 9, 9), jpeg=b"%d" % number)) for number in (0, 1)))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_an_embedded_catalogue_keeps_them_beside_it_photo_by_photo(tmp_path: Path) -> None:
    place = Place("here", tmp_path)
    async with open_crop_keeper(place, Settings()) as keeper:
        assert keeper.keeps
        kept = await keeper.keep(SOURCE, FOUND, PHOTO)
        assert await keeper.keep(SOURCE, FOUND, PHOTO) == kept
        other = await keeper.keep("/photos/copy.png", FOUND, PHOTO)
    urls = [one.crop.url for one in kept.garments]
    assert [files(Path(str(url).removeprefix("file://")).parent)[Path(str(url)).name] for url in urls] == [b"0", b"1"]
    assert len(files(crops_folder(tmp_path))) == 4
    fewer = kept.model_copy(update={"garments": kept.garments[:1]})
    async with open_crop_keeper(place, Settings()) as keeper:
        await keeper.forget_others(SOURCE, fewer)
    assert sorted(files(crops_folder(tmp_path)).values()) == [b"0", b"0", b"1"]
    forget_photos(place, [photo_id(SOURCE)])
    assert {str(one.crop.url) for one in other.garments} == {
        (crops_folder(tmp_path) / name).as_uri() for name in files(crops_folder(tmp_path))
    }


async def test_a_store_that_is_named_keeps_them_by_content_and_for_good(tmp_path: Path) -> None:
    settings = Settings(store_url=str(tmp_path / "store"))
    async with open_crop_keeper(Place("here", tmp_path / "catalogue"), settings) as keeper:
        kept = await keeper.keep(SOURCE, FOUND, PHOTO)
        await keeper.forget_others(SOURCE, kept)
    assert all(str(one.crop.url).startswith((tmp_path / "store" / "crops").as_uri()) for one in kept.garments)
    names = files(tmp_path / "store")
    assert sum(name.startswith("analyses/") for name in names) == 1
    public = Settings(store_url=str(tmp_path / "store"), store_public_url="https://shop.example/media")
    async with open_crop_keeper(Place("there", url="postgresql://x/y"), public) as keeper:
        kept = await keeper.keep(SOURCE, FOUND, PHOTO)
    assert all(str(one.crop.url).startswith("https://shop.example/media/crops/") for one in kept.garments)


async def test_without_a_place_they_are_not_kept(tmp_path: Path) -> None:
    async with open_crop_keeper(Place("there", url="postgresql://x/y"), Settings()) as keeper:
        assert not keeper.keeps
        assert await keeper.keep(SOURCE, FOUND, PHOTO) is FOUND
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        async with open_crop_keeper(Place("there", url="x"), Settings(store_url=str(tmp_path / "file"))):
            pass
    with pytest.raises(OptionError):
        async with open_crop_keeper(Place("there", url="x"), Settings(store_url="ftp://host/x")):
            pass
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "crops").write_bytes(b"in the way")
    async with open_crop_keeper(Place("here", tmp_path / "here"), Settings()) as keeper:
        with pytest.raises(StorageError):
            await keeper.keep(SOURCE, FOUND, PHOTO)


def answer(source: str, crop: Crop, query: Query) -> SearchAnswer:
    one = FoundGarment(id="one", similarity=1, garment=garment(crop=crop))
    photo = FoundPhoto(source=source, link=link_to(source), name="", width=40, height=30, similarity=1, garments=(one,))
    return SearchAnswer(found=(Found(query=query, photos=(photo,)),), models=(), warnings=())


async def test_a_picture_is_the_crop_or_is_cut_out_again_or_is_missing(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 30), "white")
    image.paste("red", (10, 10, 20, 20))
    image.save(tmp_path / "photo.png")
    (tmp_path / "crop.jpg").write_bytes(b"the crop")
    words = Query(kind="words", text="red")
    limits = FetchLimits()
    box = (10, 10, 20, 20)
    kept = Crop(box_xyxy=box, url=(tmp_path / "crop.jpg").as_uri())
    source = str(tmp_path / "photo.png")
    assert await pictures_of(answer(source, kept, words), limits) == {"one": b"the crop"}
    for url in (None, (tmp_path / "gone.jpg").as_uri(), "supabase://project/bucket/x.jpg", "https://localhost/x.jpg"):
        pictures = await pictures_of(answer(source, Crop(box_xyxy=box, url=url), words), limits)
        with Image.open(io.BytesIO(pictures["one"])) as cut:
            assert cut.size == (10, 10)
            assert cut.getpixel((5, 5))[0] > 240  # type: ignore[index]
            assert cut.getpixel((5, 5))[1] < 20  # type: ignore[index]
    outside = Crop(box_xyxy=(100, 100, 120, 120))
    (tmp_path / "damaged.png").write_bytes(b"no photo")
    for where, crop in ((source, outside), (str(tmp_path / "none.png"), kept.model_copy(update={"url": None}))):
        assert await pictures_of(answer(where, crop, words), limits) == {}
    assert await pictures_of(answer(str(tmp_path / "damaged.png"), Crop(box_xyxy=box), words), limits) == {}


async def test_a_query_has_its_picture_too(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "blue").save(tmp_path / "photo.png")
    crop = Crop(box_xyxy=(0, 0, 5, 5))
    given = Query(kind="box", text="", source="x", box_xyxy=(0, 0, 5, 5), crop_jpeg=b"jpeg")
    assert (await pictures_of(answer("/none", crop, given), FetchLimits()))[given.key] == b"jpeg"
    known = Query(kind="catalogue", text="", source=str(tmp_path / "photo.png"), box_xyxy=(0.4, 0, 7.6, 9))
    pictures = await pictures_of(answer("/none", crop, known), FetchLimits())
    with Image.open(io.BytesIO(pictures[known.key])) as cut:
        assert cut.size == (8, 9)


@pytest.mark.parametrize(
    ("source", "link"),
    [
        ("/a b.jpg", "file:///a%20b.jpg"),
        ("https://shop.example/a.jpg", "https://shop.example/a.jpg"),
        ("https://shop.example/a.jpg?signature=x", None),
        ("https://jo:pw@shop.example/a.jpg", None),
        ("s3://bucket/a.jpg", None),
        ("javascript://alert", None),
        ("stdin", None),
    ],
)
def test_only_what_a_browser_may_open_is_a_link(source: str, link: str | None) -> None:
    assert link_to(source) == link
