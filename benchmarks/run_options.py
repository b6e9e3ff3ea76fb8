"""The options that several benchmarks share, and what is made of them. Imports nothing heavy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fashioncrop.errors import OptionError, OutputError

if TYPE_CHECKING:
    from sample_photos import SamplePhoto

DEFAULT_OUT = Path("bench-output")

Models = Annotated[
    str,
    typer.Option(
        metavar="paperdoll|full|random|tiny|DIR",
        help="Export these models and serve them on a server of this benchmark's own, beside any other.",
    ),
]
Photos = Annotated[int, typer.Option(min=1, help="How many photos are asked about in turn.")]
Size = Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the drawn photos.")]
Folder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Take photos from here instead of drawing them; --size is not used.")
]
ScoreThreshold = Annotated[float, typer.Option(min=0, max=1, help="A garment must score above this.")]
MaxGarments = Annotated[int, typer.Option(min=1, max=300, help="At most so many garments of a photo, the best.")]
Clients = Annotated[str, typer.Option(metavar="N,N,...", help="How many clients ask at a time.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often everything is measured, in turn; medians are shown.")]
Seconds = Annotated[float, typer.Option(min=0, help="Each single run lasts at least this long.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is left to chance.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Where the document and the figure are written.")]
Name = Annotated[
    str | None, typer.Option(help="Of the files, without ending; by default the benchmark and the models.")
]


@dataclass(frozen=True)
class Asked:
    """What every request asks.

    Attributes:
        score_threshold: a garment must score above this.
        max_garments: at most so many.
    """

    score_threshold: float
    max_garments: int


def counts(text: str, option: str) -> list[int]:
    """Numbers above 0 from `1,2,4`.

    Raises:
        OptionError: it is not of that form.
    """
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and int(word) > 0 for word in words):
        raise OptionError(f"{option} takes numbers above 0 with commas between them, such as 1,2,4; got {text}.")
    return sorted({int(word) for word in words})


def photos_of(count: int, size: str, folder: Path | None) -> list[SamplePhoto]:
    """The photos that the options name.

    Raises:
        OptionError, PhotoError: they cannot be had.
    """
    from sample_photos import drawn_photos, parse_size, photos_in  # noqa: PLC0415 - needs packages of the extras

    return drawn_photos(count, parse_size(size)) if folder is None else photos_in(folder, count)


def prepared(out: Path) -> Path:
    """The folder for results, made if need be: before hours of work, not after them.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made: {error.strerror}. Choose another folder: --out DIR.") from error
    if not os.access(out, os.W_OK):
        raise OutputError(f"{out} cannot be written. Choose another folder: --out DIR.")
    return out
