"""The vision models that can be asked one by one: a table with a row, a request and an answer for each."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from fashioncrop._client import AnalyzeOptions
from fashioncrop.gateway import depths
from fashioncrop.gateway.photos import SMALL_PNG, Received, Strict
from fashioncrop.gateway.problems import Problem
from fashioncrop.gateway.work import Workshop
from fashioncrop.model_repository import Role

Image = Annotated[
    str,
    Field(
        min_length=1,
        description="A URL, a data: URL, or the file as base64.",
        json_schema_extra={"examples": [SMALL_PNG]},
    ),
]


class Images(Strict):
    """What every model is asked about.

    Attributes:
        images: each an https URL, a data: URL, or the file as base64.
    """

    images: Annotated[list[Image], Field(min_length=1)]


class Prompts(Images):
    """What is looked for in which images.

    Attributes:
        images: each an https URL, a data: URL, or the file as base64.
        prompts: phrases, one thing each; they hold for all images.
        threshold: least score of a detection; by default the server's own, 0.35.
    """

    prompts: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1000)]
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class LabelledBox(BaseModel):
    """Something that was found.

    Attributes:
        label: the prompt.
        score: 0 to 1.
        box: x0, y0, x1, y1 in pixels of the upright image.
    """

    label: str
    score: Annotated[float, Field(ge=0, le=1)]
    box: tuple[float, float, float, float]


class ImageDetections(BaseModel):
    """What was found in one image.

    Attributes:
        index: of the image in the request, from 0.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        detections: best score first.
        problem: why there is nothing.
    """

    index: int
    width: int | None = None
    height: int | None = None
    detections: list[LabelledBox] | None = None
    problem: Problem | None = None


class ImageDepth(BaseModel):
    """How far everything is in one image.

    Attributes:
        index: of the image in the request, from 0.
        shape_hw: rows and columns of the grid, which lies over the whole image.
        minimum: what 0 stands for: relative inverse depth, larger is nearer.
        maximum: what 65,535 stands for.
        png: the grid as a grey PNG of 16 bits, in base64.
        problem: why there is nothing.
    """

    index: int
    shape_hw: tuple[int, int] | None = None
    minimum: float | None = None
    maximum: float | None = None
    png: str | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class VisionModel:
    """A model of the API.

    Attributes:
        name: in the API.
        words: what it does.
        roles: the server's models that it is made of.
        asked: what a request holds.
        result: what is answered about one image; it has `index` and `problem`.
        answer: fields of `result` for an image, without its index.
    """

    name: str
    words: str
    roles: Sequence[Role]
    asked: type[Images]
    result: type[BaseModel]
    answer: Callable[[Workshop, Any, Received], Awaitable[dict[str, Any]]]


async def _detections(workshop: Workshop, asked: Prompts, received: Received) -> dict[str, Any]:
    options = AnalyzeOptions(vocabulary=asked.prompts)
    if asked.threshold is not None:
        options["score_threshold"] = asked.threshold
    found = await workshop.parts.client.detect(received.photo.data, **options)
    return {
        "width": received.info.width,
        "height": received.info.height,
        "detections": [LabelledBox(label=one.phrase, score=one.score, box=one.box_xyxy) for one in found],
    }


async def _depth(workshop: Workshop, _asked: Images, received: Received) -> dict[str, Any]:
    depth = await workshop.parts.client.depth_map(received.photo.data)
    low, high = depths.limits(depth)
    png = await asyncio.to_thread(depths.as_png, depth)
    return {"shape_hw": depth.shape, "minimum": low, "maximum": high, "png": base64.b64encode(png).decode("ascii")}


VISION_MODELS = {
    model.name: model
    for model in (
        VisionModel(
            name="grounding-dino",
            words="Finds what is named in words.",
            roles=(Role.VOCABULARY_ENCODER, Role.GARMENT_DETECTOR),
            asked=Prompts,
            result=ImageDetections,
            answer=_detections,
        ),
        VisionModel(
            name="depth-anything",
            words="Tells how far everything is.",
            roles=(Role.DEPTH_ESTIMATOR,),
            asked=Images,
            result=ImageDepth,
            answer=_depth,
        ),
    )
}
"""By name. A further model is a row here, with a request and a result; everything else follows."""
