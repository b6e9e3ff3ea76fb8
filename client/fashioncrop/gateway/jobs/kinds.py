"""What a job can be: a table with a request and a piece of work for each image."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fashioncrop.analyzing.words import described
from fashioncrop.describing import CropToDescribe
from fashioncrop.gateway import depths
from fashioncrop.gateway.answers import model_json
from fashioncrop.gateway.bodies import ImageBody
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.own_api import (
    AnalyzeAsked,
    DepthOptions,
    DescribeOptions,
    Detections,
    DetectOptions,
    with_crops,
)
from fashioncrop.gateway.photos import Received
from fashioncrop.gateway.problems import PHOTO, ProblemError
from fashioncrop.gateway.work import Workshop


@dataclass(frozen=True)
class JobKind:
    """One kind of job.

    Attributes:
        name: in the path.
        scope: that a key needs, beside `jobs`.
        body: what is asked.
        field: name of the value in each result.
        work: the value of one image, as JSON.
    """

    name: str
    scope: Scope
    body: ImageBody[Any]
    field: str
    work: Callable[[Workshop, Caller, Any, Received], Awaitable[bytes]]


async def _analyze(workshop: Workshop, caller: Caller, asked: AnalyzeAsked, received: Received) -> bytes:
    analysis = await workshop.analyze(received.photo, caller, asked.asked(), mode=asked.mode, detector=asked.detector)
    return model_json(with_crops(analysis) if asked.crops else analysis)


async def _detect(workshop: Workshop, caller: Caller, asked: DetectOptions, received: Received) -> bytes:
    found = await workshop.detect(received.photo, caller, asked.asked(), detector=asked.detector)
    return model_json(Detections(photo=received.info, detections=found))


async def _depth(workshop: Workshop, _caller: Caller, _asked: DepthOptions, received: Received) -> bytes:
    return await asyncio.to_thread(depths.as_json, await workshop.parts.client.depth_map(received.photo.data))


async def _describe(workshop: Workshop, _caller: Caller, asked: DescribeOptions, received: Received) -> bytes:
    crop = CropToDescribe(0, asked.phrase, received.photo.data)
    with workshop.keeping_addresses():
        answer = await described(workshop.describer(), workshop.parts.cache, [crop])
    workshop.figures.usage(answer.usage)
    if answer.problems:
        raise ProblemError(PHOTO, answer.problems[0])
    return model_json(answer.descriptions[0])


JOB_KINDS = {
    kind.name: kind
    for kind in (
        JobKind("analyze", Scope.ANALYZE, ImageBody(AnalyzeAsked, "AnalyzeJob"), "analysis", _analyze),
        JobKind("detect", Scope.ANALYZE, ImageBody(DetectOptions, "DetectJob"), "detections", _detect),
        JobKind("depth", Scope.ANALYZE, ImageBody(DepthOptions, "DepthJob"), "depth", _depth),
        JobKind("describe", Scope.DESCRIBE, ImageBody(DescribeOptions, "DescribeJob"), "description", _describe),
    )
}
"""By name. A further kind is a row here."""
