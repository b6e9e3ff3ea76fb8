"""The API of the system that this project grew out of, shape for shape: `POST /api/analyze`."""

from __future__ import annotations

import math
import time
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from fashioncrop._client import AnalyzeOptions
from fashioncrop.gateway.access import may
from fashioncrop.gateway.answers import json_answer
from fashioncrop.gateway.bodies import read_model
from fashioncrop.gateway.coarse import coarse_category
from fashioncrop.gateway.documented import content, json_body, route
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.own_api import with_crops
from fashioncrop.gateway.photos import SMALL_PNG, Strict, sent_text
from fashioncrop.gateway.problems import BUDGET, FETCH, NOT_OFFERED, OPTION, PHOTO, SERVER_FAULT
from fashioncrop.gateway.work import DetectorName, ModeName, workshop_of
from fashioncrop.results import NOT_VISIBLE, Analysis, Garment

router = APIRouter(tags=["fashion-crop"])

Analyst = Annotated[Caller, may(Scope.ANALYZE)]

_DOWNLOAD, _UPLOAD, _DETECT = "read", "store", "detect"
_LARGE_MODEL = ("name", "describe")


class CropRequest(Strict):
    """One photo.

    Attributes:
        imageUrl: of the photo, https or `data:`.
        use_dinox: true: the DINO-X service finds, and descriptions are short; false: a large vision model looks first
            and its phrases are looked for; absent: the server's own detector, described where a describer is set. Both
            that are not absent cost money (scope `describe`).
    """

    imageUrl: Annotated[  # noqa: N815 - the API's
        str, Field(min_length=1, json_schema_extra={"examples": [f"data:image/png;base64,{SMALL_PNG}"]})
    ]
    use_dinox: bool | None = None


class CropItem(BaseModel):
    """One garment.

    Attributes:
        category: coarse: top, bottom, dress, outerwear, shoes, bag, hat, accessory or other.
        groundingdino_prompt: the phrase that it was found by.
        description: in words.
        croppedImageUrl: where the cut-out is: in the store, or a data: URL where there is none.
        confidence: 0 to 1.
        bbox: x0, y0, x1, y1 in whole pixels of the upright photo.
    """

    category: str
    groundingdino_prompt: str
    description: str
    croppedImageUrl: str  # noqa: N815 - the API's
    confidence: Annotated[float, Field(ge=0, le=1)]
    bbox: Annotated[list[int], Field(min_length=4, max_length=4)]


class CropTiming(BaseModel):
    """Seconds by stage.

    Attributes:
        download_seconds: fetching the photo.
        gpt4o_seconds: waiting for the large model, whichever it is.
        groundingdino_seconds: finding the garments, by whichever detector.
        processing_seconds: everything else.
        upload_seconds: storing the cut-outs.
        total_seconds: all of it.
    """

    download_seconds: float
    gpt4o_seconds: float
    groundingdino_seconds: float
    processing_seconds: float
    upload_seconds: float
    total_seconds: float


class CropResponse(BaseModel):
    """What was found.

    Attributes:
        items: garments, best first; empty where there is none.
        cached: whether nobody had to be asked.
        timing: what took how long.
    """

    items: list[CropItem]
    cached: bool
    timing: CropTiming


@router.post(
    "/api/analyze",
    summary="The fashion-crop API",
    **route(
        PHOTO,
        FETCH,
        OPTION,
        BUDGET,
        NOT_OFFERED,
        SERVER_FAULT,
        body=json_body(CropRequest),
        ok=content(CropResponse),
        scope=Scope.ANALYZE,
    ),
)
async def analyze_for_crops(request: Request, caller: Analyst) -> Response:
    """Find and describe the garments of a photo, in the shape of the older system."""
    start_s = time.perf_counter()
    workshop = workshop_of(request)
    asked = await read_model(request, CropRequest)
    received = await workshop.photos.read(sent_text(asked.imageUrl))
    read_s = time.perf_counter() - start_s
    mode, detector = _WAYS[asked.use_dinox]
    if asked.use_dinox and workshop.parts.describer is None:
        mode = "off"
    options = AnalyzeOptions(crops=True, embeddings=False)
    analysis = await workshop.analyze(received.photo, caller, options, mode=mode, detector=detector)
    items = [_item(garment, analysis, is_short=bool(asked.use_dinox)) for garment in with_crops(analysis).garments]
    timing = _timing(analysis, read_s=read_s, total_s=time.perf_counter() - start_s)
    return json_answer(CropResponse(items=items, cached=analysis.cached, timing=timing))


_WAYS: dict[bool | None, tuple[ModeName, DetectorName]] = {
    True: ("hybrid", "dinox"),
    False: ("vision", "served"),
    None: ("auto", "served"),
}


def _item(garment: Garment, analysis: Analysis, *, is_short: bool) -> CropItem:
    x0, y0, x1, y1 = garment.box_xyxy
    width, height = analysis.photo.width, analysis.photo.height
    # All pixels that the box touches.
    bbox = [max(math.floor(x0), 0), max(math.floor(y0), 0), min(math.ceil(x1), width), min(math.ceil(y1), height)]
    return CropItem(
        category=coarse_category(garment),
        groundingdino_prompt=garment.phrase,
        description=_short(garment) if is_short or garment.description is None else garment.description.sentence,
        croppedImageUrl=garment.crop.url or "",
        confidence=garment.score,
        bbox=bbox,
    )


def _short(garment: Garment) -> str:
    """Colour and kind: as a describer says it, else as they were measured and found."""
    said = garment.description
    colour = next((one.name for one in garment.colours), "")
    kind = garment.phrase
    if said is not None:
        colour = next((one for one in said.colours if one != NOT_VISIBLE), colour)
        kind = said.type if said.type != NOT_VISIBLE else kind
    return f"{colour} {kind}".strip()


def _timing(analysis: Analysis, *, read_s: float, total_s: float) -> CropTiming:
    took_ms = analysis.timings_ms
    large_s = sum(took_ms.get(stage, 0.0) for stage in _LARGE_MODEL) / 1000
    detect_s, upload_s = took_ms.get(_DETECT, 0.0) / 1000, took_ms.get(_UPLOAD, 0.0) / 1000
    return CropTiming(
        download_seconds=round(read_s, 3),
        gpt4o_seconds=round(large_s, 3),
        groundingdino_seconds=round(detect_s, 3),
        processing_seconds=round(max(total_s - read_s - large_s - detect_s - upload_s, 0.0), 3),
        upload_seconds=round(upload_s, 3),
        total_seconds=round(total_s, 3),
    )
