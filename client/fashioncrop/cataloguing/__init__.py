"""The catalogue: photos indexed once, their garments found again by words, by photo, by crop.

>>> async with open_catalogue(parse_place(None)) as catalogue:  # doctest: +SKIP
...     space = await catalogue.space(digest)
...     photos = await catalogue.search(space, vector, filters=await catalogue.filters(["skirt"], ["red"]))

It is kept in PostgreSQL with pgvector: an embedded one, which comes with the extra `catalogue`, or any at an address.
"""

from fashioncrop._postgres.places import Place, parse_place

__all__ = ["Place", "parse_place"]
