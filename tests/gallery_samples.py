"""What a search might answer, and the pictures for it."""

from __future__ import annotations

from fashioncrop.cataloguing.answers import Found, FoundGarment, FoundPhoto, Query, SearchAnswer, link_to
from fashioncrop.cataloguing.entries import garment_id, photo_id
from report_samples import HOSTILE, garment, grey


def found_photo(source: str, *similarities: float, phrase: str = "skirt") -> FoundPhoto:
    garments = tuple(
        FoundGarment(id=garment_id(photo_id(source), number), similarity=similarity, garment=garment(number, phrase))
        for number, similarity in enumerate(similarities)
    )
    return FoundPhoto(
        source=source,
        link=link_to(source),
        name="photo",
        width=1200,
        height=1600,
        similarity=similarities[0],
        garments=garments,
    )


def answered() -> tuple[SearchAnswer, dict[str, bytes]]:
    """Two queries; every picture is there but one."""
    asked = Query(
        kind="garment", text="skirt", source="/photos/look.jpg", box_xyxy=(1, 2, 30, 40), crop_jpeg=grey(60, 80)
    )
    photos = (
        found_photo("/photos/red one.jpg", 0.9312, 0.71),
        found_photo("https://shop.example/skirt.jpg", 0.85),
        found_photo("https://shop.example/signed.jpg?token=PLANTED", 0.8),
        found_photo("s3://bucket/skirt.jpg", -0.2),
    )
    answer = SearchAnswer(
        found=(
            Found(query=asked, photos=photos),
            Found(query=Query(kind="words", text="red striped skirt"), photos=()),
        ),
        models=(),
        warnings=("The models were trained on drawn scenes only.",),
    )
    pictures = {one.id: grey(40, 50) for photo in photos[:3] for one in photo.garments}
    return answer, pictures | {asked.key: grey(60, 80)}


def hostile_answer() -> SearchAnswer:
    query = Query(kind="catalogue", text=HOSTILE, source=f"/{HOSTILE}", box_xyxy=(0, 0, 1, 1))
    photos = (found_photo(f"javascript://{HOSTILE}", 0.5, phrase=HOSTILE), found_photo(f"/{HOSTILE}", 0.4, 0.3))
    return SearchAnswer(found=(Found(query=query, photos=photos),), models=(), warnings=(HOSTILE,))
