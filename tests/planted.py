"""Catalogues whose vectors are known, and a place to keep them."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from fashioncrop import Analysis, Category, Colour, Garment, ModelIdentity
from fashioncrop._postgres.embedded import _is_held
from fashioncrop.cataloguing.entries import Entry
from made_analyses import analysis, garment

MODEL = ModelIdentity(
    role="image_embedder", name="someone/clip", version="abc", digest="sha256:one", source="full", trained=True
)
OTHER_MODEL = MODEL.model_copy(update={"name": "another/clip", "digest": "sha256:two"})
DIMENSION = 16
PATIENCE_S = 60.0
_numbers = count()


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder of a short name that the database's user may enter, which pytest's own are not where root runs it."""
    folder = Path(tempfile.mkdtemp(prefix="fc-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for lock in folder.rglob("server.lock"):
            eventually(lambda lock=lock: not _is_held(lock), "a database that nobody uses stops")  # type: ignore[misc]
        shutil.rmtree(folder)


def without_syncs(url: str) -> None:
    """Have a server that is thrown away not wait for the disk; tests of what it is killed by use another."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


def unit(numbers: Sequence[float] | NDArray[Any]) -> tuple[float, ...]:
    """Of L2 norm 1."""
    array = np.asarray(numbers, np.float64)
    return tuple(float(number) for number in array / np.linalg.norm(array))


def at_angle(degrees: float, dimension: int = DIMENSION) -> tuple[float, ...]:
    """A unit vector that stands at this angle to the first axis."""
    turn = math.radians(degrees)
    return (math.cos(turn), math.sin(turn), *[0.0] * (dimension - 2))


def planted(
    number: int,
    vector: Sequence[float],
    phrase: str = "shirt",
    colours: Sequence[str] = ("red",),
    **more: Any,  # noqa: ANN401
) -> Garment:
    """A garment with this vector."""
    return garment(
        id=number,
        phrase=phrase,
        category=Category(id=0, name="shirt, blouse", supercategory="upperbody"),
        colours=tuple(Colour(hex="#ff0000", name=name, share=0.5) for name in colours),
        embedding=tuple(vector),
        description=None,
        **more,
    )


def entry(
    source: str,
    *garments: Garment,
    content: bytes = b"photo",
    recipe: str = "recipe",
    model: ModelIdentity = MODEL,
) -> Entry:
    """A photo that shows these garments."""
    found: Analysis = analysis(garments)
    return Entry(source, hashlib.sha256(content).digest(), recipe, model, found)


def eventually(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that takes a moment."""
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_s, what
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Is there such a process, and is it more than a number that nobody has asked for?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def as_root() -> bool:
    return os.geteuid() == 0


def make_database(postgres: str, template: str = "template1") -> str:
    """A database of its own in the server at `postgres`: its connection string."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(f"{postgres} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return f"{postgres} dbname={name}"
