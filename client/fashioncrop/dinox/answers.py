"""From what the service answers to boxes that the pipeline takes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashioncrop.dinox.photo import SentPhoto
from fashioncrop.dinox.prompts import Prompt
from fashioncrop.errors import ServerFaultError

MOST_BOXES = 300
"""What the pipeline takes as `boxes_xyxy`."""

_CORNERS = 4
_ROUNDING = 1e-3
_MAX_NAMED = 3
_MAX_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class CloudDetections:
    """What was found, best score first.

    Attributes:
        boxes_xyxy: float32 [n, 4], `[x0, y0, x1, y1)` in pixels of the upright photo, inside it, none empty.
        phrases: what each box holds, as the vocabulary has it.
        scores: float32 [n], 0 to 1.
        model: that was asked.
        tasks: ids of the service's tasks, for questions to its keeper; one for each part of the vocabulary.
        warnings: sentences about what was found but could not be used.
    """

    boxes_xyxy: NDArray[np.float32]
    phrases: list[str]
    scores: NDArray[np.float32]
    model: str
    tasks: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """One object of a task, in pixels of the upright photo."""

    box_xyxy: tuple[float, float, float, float]
    phrase: str
    score: float


@dataclass(frozen=True)
class TaskResult:
    """What came of one task.

    Attributes:
        task: its id.
        found: the objects that can be used.
        strange: categories that are no phrase of the prompt.
        unreadable: objects without a usable box or score.
    """

    task: str
    found: tuple[Found, ...]
    strange: tuple[str, ...]
    unreadable: int


def read_result(task: str, result: object, prompt: Prompt, photo: SentPhoto) -> TaskResult:
    """Read a finished task's `result`.

    Raises:
        ServerFaultError: it is not of the form that the service documents.
    """
    objects = result.get("objects", ...) if isinstance(result, dict) else ...
    objects = [] if objects is None else objects
    if not isinstance(objects, list):
        raise ServerFaultError(
            f"DINO-X's task {task} is done, but its result has no list of objects. The service's API may have changed: "
            "look for a newer fashioncrop, or report it."
        )
    read = [_read(item, prompt, photo) for item in objects]
    found = tuple(one for one in read if isinstance(one, Found))
    strange = tuple(one for one in read if isinstance(one, str))
    return TaskResult(task, found, strange, unreadable=read.count(None))


def _read(item: Any, prompt: Prompt, photo: SentPhoto) -> Found | str | None:  # noqa: ANN401 - checked here
    """The object, or its category where that is no phrase, or None where it cannot be read."""
    if not isinstance(item, dict):
        return None
    box, score, category = _box(item.get("bbox"), photo), _score(item.get("score")), item.get("category")
    if box is None or score is None or not isinstance(category, str):
        return None
    phrase = prompt.phrase_of(category)
    return category if phrase is None else Found(box, phrase, score)


def merged(results: Sequence[TaskResult], *, model: str) -> CloudDetections:
    """The objects of all parts of a vocabulary, the best first."""
    found = sorted((one for result in results for one in result.found), key=lambda one: -one.score)
    kept = found[:MOST_BOXES]
    return CloudDetections(
        boxes_xyxy=np.asarray([one.box_xyxy for one in kept], np.float32).reshape(-1, _CORNERS),
        phrases=[one.phrase for one in kept],
        scores=np.asarray([one.score for one in kept], np.float32),
        model=model,
        tasks=tuple(result.task for result in results),
        warnings=tuple(_warnings(results, too_many=len(found) - len(kept))),
    )


def _warnings(results: Sequence[TaskResult], *, too_many: int) -> Iterable[str]:
    strange = Counter(category for result in results for category in result.strange)
    if strange:
        named = ", ".join(_shown(category) for category, _ in strange.most_common(_MAX_NAMED))
        more = ", ..." if len(strange) > _MAX_NAMED else ""
        yield f"DINO-X named {strange.total()} objects by words nobody asked for ({named}{more}); they are left out."
    unreadable = sum(result.unreadable for result in results)
    if unreadable:
        yield f"{unreadable} of DINO-X's objects have no box inside the photo or no score; they are left out."
    if too_many:
        yield f"DINO-X found {MOST_BOXES + too_many} objects; the best {MOST_BOXES} are kept."


def _shown(category: str) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in category).strip()
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 3] + "..."


def _box(value: Any, photo: SentPhoto) -> tuple[float, float, float, float] | None:  # noqa: ANN401 - checked here
    """The box in pixels of the upright photo, cut at its edges; None where nothing of it is inside."""
    if not isinstance(value, list) or len(value) != _CORNERS:
        return None
    numbers = [number for number in map(_number, value) if number is not None]
    if len(numbers) != _CORNERS:
        return None
    x0, y0, x1, y1 = (
        float(np.float32(min(max(number * size / sent, 0.0), size)))
        for number, size, sent in zip(numbers, photo.size_wh * 2, photo.sent_wh * 2, strict=True)
    )
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _score(value: Any) -> float | None:  # noqa: ANN401 - checked here
    score = _number(value)
    if score is None or not -_ROUNDING <= score <= 1 + _ROUNDING:
        return None
    return min(max(score, 0.0), 1.0)


def _number(value: Any) -> float | None:  # noqa: ANN401 - checked here
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
