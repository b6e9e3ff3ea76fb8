"""One embedded PostgreSQL for all tests that leave it whole, and a database of its own for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fashioncrop._postgres.embedded import EmbeddedPostgres
from fashioncrop._postgres.places import Place
from fashioncrop.cataloguing.catalogue import Catalogue, open_catalogue
from fashioncrop.cataloguing.entries import Space
from planted import DIMENSION, MODEL, make_database, reachable_folder, without_syncs


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Where a database runs, as libpq's connection string without a database's name."""
    with reachable_folder() as made:
        embedded = EmbeddedPostgres(made)
        try:
            url = embedded.open()
            without_syncs(url)
            yield url.rpartition(" dbname=")[0]
        finally:
            embedded.close()


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """A database with an empty catalogue, to be copied: making one takes a second."""

    made = make_database(postgres)

    async def make() -> None:
        async with open_catalogue(Place("template", url=made), create=True):
            pass

    asyncio.run(make())
    return made.rpartition("=")[2]


@pytest.fixture
def place(postgres: str, template: str) -> Place:
    """An empty catalogue of a test's own."""
    url = make_database(postgres, template)
    return Place(f"here/{url.rpartition('=')[2]}", url=url)


@pytest.fixture
def bare(postgres: str) -> str:
    """A database of a test's own with nothing in it."""
    return make_database(postgres)


@pytest.fixture
async def catalogue(place: Place) -> AsyncIterator[Catalogue]:
    async with open_catalogue(place) as opened:
        yield opened


@pytest.fixture
async def space(catalogue: Catalogue) -> Space:
    return await catalogue.make_space(MODEL, DIMENSION)
