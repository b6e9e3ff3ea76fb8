"""The gateway's own API, `/v1/...`: one image or a batch, as JSON or as a form."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from fashioncrop._client import AnalyzeOptions
from fashioncrop._sources import Photo
from fashioncrop.analyzing.words import described
from fashioncrop.describing import CropToDescribe
from fashioncrop.gateway import depths
from fashioncrop.gateway.access import may
from fashioncrop.gateway.answers import batch_json, batch_model, json_answer, model_json
from fashioncrop.gateway.bodies import JSON, ImageBody
from fashioncrop.gateway.documented import content, image_body, route
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.photos import Received, Strict
from fashioncrop.gateway.problems import (
    BUDGET,
    FETCH,
    NOT_ACCEPTABLE,
    NOT_OFFERED,
    OPTION,
    PHOTO,
    SERVER_FAULT,
    UNAVAILABLE,
    Problem,
    ProblemError,
)
from fashioncrop.gateway.work import DetectorName, ModeName, Result, workshop_of
from fashioncrop.results import Analysis, Cost, Description, Detection, PhotoInfo

router = APIRouter(tags=["own"])

Analyst = Annotated[Caller, may(Scope.ANALYZE)]
Writer = Annotated[Caller, may(Scope.DESCRIBE)]
Share = Annotated[float, Field(ge=0, le=1)]

OF_PHOTOS = (PHOTO, FETCH, OPTION, SERVER_FAULT, UNAVAILABLE)


class DetectOptions(Strict):
    """What to look for; what is left out is the server's default.

    Attributes:
        vocabulary: phrases, one garment each; by default Fashionpedia's.
        threshold: least score of a garment.
        iou_threshold: of two boxes of one phrase that overlap more than this the better is kept.
        max_garments: at most this many, the best first.
        detector: who finds: `served`, the server's own model; `dinox`, the DINO-X service, which costs money (scope
            `describe`); `auto`, what the gateway is set to.
    """

    vocabulary: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = None
    threshold: Share | None = None
    iou_threshold: Share | None = None
    max_garments: Annotated[int, Field(ge=1, le=300)] | None = None
    detector: DetectorName = "auto"

    def asked(self) -> AnalyzeOptions:
        """As the client takes them."""
        given: Any = {
            "vocabulary": self.vocabulary,
            "score_threshold": self.threshold,
            "iou_threshold": self.iou_threshold,
            "max_garments": self.max_garments,
        }
        chosen: Any = {name: value for name, value in given.items() if value is not None}
        options: AnalyzeOptions = chosen
        return options


class AnalyzeAsked(DetectOptions):
    """What to look for and what to answer; what is left out is the server's default.

    Attributes:
        vocabulary: phrases, one garment each; by default Fashionpedia's.
        threshold: least score of a garment.
        iou_threshold: of two boxes of one phrase that overlap more than this the better is kept.
        max_garments: at most this many, the best first.
        detector: who finds: `served`, the server's own model; `dinox`, the DINO-X service, which costs money (scope
            `describe`); `auto`, what the gateway is set to.
        crop_padding: margin of a crop, as a share of its box.
        mode: who describes (scope `describe`, costs money): `hybrid`, find, then describe; `vision`, a large model
            looks first and its phrases are looked for; `off`; `auto`, what the gateway is set to, where the key may.
        crops: whether a crop that no store holds comes as a data: URL in `crop.url`.
        embeddings: whether each crop is embedded.
    """

    crop_padding: Share | None = None
    mode: ModeName = "auto"
    crops: bool = False
    embeddings: bool = False

    def asked(self) -> AnalyzeOptions:
        """As the client takes them."""
        options = AnalyzeOptions(**{**super().asked(), "crops": self.crops, "embeddings": self.embeddings})
        if self.crop_padding is not None:
            options["crop_padding"] = self.crop_padding
        return options


class Detections(BaseModel):
    """What was found in a photo.

    Attributes:
        photo: the photo.
        detections: best score first; empty where there is nothing.
    """

    photo: PhotoInfo
    detections: tuple[Detection, ...]


class DescribeOptions(Strict):
    """How pictures of garments are described.

    Attributes:
        phrase: what the garment is, as a hint; the describer may contradict it.
    """

    phrase: Annotated[str, Field(min_length=1, max_length=200)] = "garment"


class GarmentDescribed(BaseModel):
    """A garment in words.

    Attributes:
        description: in words.
        cost: what it took; null where it had been described before.
        cached: whether it had been described before, and nobody was asked.
    """

    description: Description
    cost: Cost | None
    cached: bool


class DescribedResult(BaseModel):
    """What became of one image.

    Attributes:
        index: of the image in the request, from 0.
        description: in words.
        problem: why there is no description.
    """

    index: int
    description: Description | None = None
    problem: Problem | None = None


class GarmentsDescribed(BaseModel):
    """Garments in words.

    Attributes:
        results: one for each image, in their order.
        cost: what it took; null where nobody was asked.
        cached: whether all had been described before.
    """

    results: list[DescribedResult]
    cost: Cost | None
    cached: bool


class DepthOptions(Strict):
    """Nothing can be chosen."""


_analyze_body = ImageBody(AnalyzeAsked, "Analyze")
_detect_body = ImageBody(DetectOptions, "Detect")
_depth_body = ImageBody(DepthOptions, "Depth")
_describe_body = ImageBody(DescribeOptions, "Describe")


@router.post(
    "/v1/analyze",
    summary="Everything about every garment",
    **route(
        *OF_PHOTOS,
        BUDGET,
        NOT_OFFERED,
        body=image_body(_analyze_body),
        ok=content(Analysis, batch_model("Analyses", "analysis", Analysis)),
        scope=Scope.ANALYZE,
    ),
)
async def analyze(request: Request, caller: Analyst) -> Response:
    """Find the garments; crop, measure and, where asked, embed and describe them."""
    workshop = workshop_of(request)
    asked = await _analyze_body.read(request, max_batch=workshop.settings.max_batch)
    options = asked.options

    async def one(received: Received) -> Analysis:
        return await workshop.analyze(
            received.photo, caller, options.asked(), mode=options.mode, detector=options.detector
        )

    def written(analysis: Analysis) -> bytes:
        return model_json(with_crops(analysis) if options.crops else analysis)

    if not asked.is_batch:
        return json_answer(written(await one(await workshop.photos.read(asked.images[0]))))
    return json_answer(batch_json(await workshop.each(request, asked.images, caller, one), "analysis", written))


@router.post(
    "/v1/detect",
    summary="Boxes alone",
    **route(
        *OF_PHOTOS,
        NOT_OFFERED,
        body=image_body(_detect_body),
        ok=content(Detections, batch_model("DetectionsBatch", "detections", Detections)),
        scope=Scope.ANALYZE,
    ),
)
async def detect(request: Request, caller: Analyst) -> Response:
    """Find the garments and nothing else: no crops, no depth, no colours."""
    workshop = workshop_of(request)
    asked = await _detect_body.read(request, max_batch=workshop.settings.max_batch)

    async def one(received: Received) -> Detections:
        found = await workshop.detect(received.photo, caller, asked.options.asked(), detector=asked.options.detector)
        return Detections(photo=received.info, detections=found)

    if not asked.is_batch:
        return json_answer(await one(await workshop.photos.read(asked.images[0])))
    return json_answer(batch_json(await workshop.each(request, asked.images, caller, one), "detections", model_json))


@router.post(
    "/v1/depth",
    summary="How far everything is",
    **route(
        *OF_PHOTOS,
        NOT_ACCEPTABLE,
        body=image_body(_depth_body),
        ok={
            depths.PNG: {"schema": {"type": "string", "format": "binary"}},
            depths.NPY: {"schema": {"type": "string", "format": "binary"}},
            **content(depths.DepthMap, batch_model("DepthMaps", "depth", depths.DepthMap)),
        },
        words="The depth map in the form that `Accept` likes best: a PNG of 16 bits (the default), numpy's .npy of "
        "float32 [height, width], or JSON; a batch is answered in JSON.",
        headers={
            name: {"description": words, "schema": {"type": "number"}}
            for name, words in ((depths.MINIMUM, "What 0 stands for."), (depths.MAXIMUM, "What 65,535 stands for."))
        },
        scope=Scope.ANALYZE,
    ),
)
async def depth(request: Request, caller: Analyst) -> Response:
    """Relative inverse depth of the whole photo: larger is nearer."""
    workshop = workshop_of(request)
    accept = request.headers.get("accept")
    asked = await _depth_body.read(request, max_batch=workshop.settings.max_batch)
    offered = (JSON,) if asked.is_batch else (depths.PNG, depths.NPY, JSON)
    media = depths.accepted(accept, offered)
    if media is None:
        raise ProblemError(NOT_ACCEPTABLE, f"The answer can be {', '.join(offered)}. Accept one of these.")

    async def one(received: Received) -> bytes:
        return await asyncio.to_thread(depths.as_json, await workshop.parts.client.depth_map(received.photo.data))

    if asked.is_batch:
        return json_answer(batch_json(await workshop.each(request, asked.images, caller, one), "depth", bytes))
    received = await workshop.photos.read(asked.images[0])
    return await asyncio.to_thread(depths.answer, await workshop.parts.client.depth_map(received.photo.data), media)


@router.post(
    "/v1/describe",
    summary="Garments in words",
    **route(
        *OF_PHOTOS,
        BUDGET,
        NOT_OFFERED,
        body=image_body(_describe_body),
        ok=content(GarmentDescribed, GarmentsDescribed),
        scope=Scope.DESCRIBE,
    ),
)
async def describe(request: Request, caller: Writer) -> Response:
    """Describe pictures of one garment each, such as crops; those of a batch go on common sheets, which costs less."""
    workshop = workshop_of(request)
    asked = await _describe_body.read(request, max_batch=workshop.settings.max_batch)
    describer = workshop.describer()

    async def one(received: Received) -> Photo:
        return received.photo

    if asked.is_batch:
        read = await workshop.each(request, asked.images, caller, one)
    else:
        read = [Result((await workshop.photos.read(asked.images[0])).photo)]
    crops = [
        CropToDescribe(index, asked.options.phrase, result.value.data)
        for index, result in enumerate(read)
        if result.value is not None
    ]
    with workshop.keeping_addresses():
        answer = await described(describer, workshop.parts.cache, crops)
    paid = answer.usage.calls > 0
    cost = Cost(usages=(answer.usage,), dollars=answer.usage.dollars) if paid else None
    workshop.figures.cost(cost)
    if not asked.is_batch:
        if answer.problems:
            raise ProblemError(PHOTO, answer.problems[0])
        return json_answer(GarmentDescribed(description=answer.descriptions[0], cost=cost, cached=not paid))
    results = [
        DescribedResult(
            index=index,
            description=answer.descriptions.get(index),
            problem=result.problem
            or (ProblemError(PHOTO, answer.problems[index]).problem() if index in answer.problems else None),
        )
        for index, result in enumerate(read)
    ]
    return json_answer(GarmentsDescribed(results=results, cost=cost, cached=not paid and bool(crops)))


def with_crops(analysis: Analysis) -> Analysis:
    """The analysis with each crop as a data: URL, where no store has it."""
    garments = []
    for garment in analysis.garments:
        crop = garment.crop
        if crop.jpeg is not None and not (crop.url or "").startswith(("https://", "http://")):
            url = "data:image/jpeg;base64," + base64.b64encode(crop.jpeg).decode("ascii")
            garments.append(garment.model_copy(update={"crop": crop.model_copy(update={"url": url})}))
        else:
            garments.append(garment)
    return analysis.model_copy(update={"garments": tuple(garments)})
