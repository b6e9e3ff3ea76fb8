"""The description API: pictures and a prompt in, words out. `POST /api/v1/describe`, `POST /api/v1/batch`."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from fashioncrop.analyzing.words import told
from fashioncrop.describing.telling import MAX_PROMPT_CHARACTERS
from fashioncrop.gateway.access import may
from fashioncrop.gateway.answers import json_answer
from fashioncrop.gateway.bodies import FORM, Asked, ImageBody, media_type, wrong_media
from fashioncrop.gateway.documented import Schema, content, form_content, route
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.photos import Received, Strict
from fashioncrop.gateway.problems import (
    BUDGET,
    FETCH,
    INVALID,
    NOT_OFFERED,
    OPTION,
    PHOTO,
    SERVER_FAULT,
    Problem,
    ProblemError,
)
from fashioncrop.gateway.work import Workshop, workshop_of
from fashioncrop.results import Usage

router = APIRouter(tags=["description"])

Writer = Annotated[Caller, may(Scope.DESCRIBE)]
DEFAULT_PROMPT = "Describe the garments in this picture in one or two plain sentences for a shop."


class DescriptionAsked(Strict):
    """What is asked about each picture.

    Attributes:
        prompt: in words; by default a description for a shop.
    """

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS)] = DEFAULT_PROMPT


class PictureDescribed(BaseModel):
    """One picture in words.

    Attributes:
        description: what the model says.
        model: that said it.
        cached: whether it had said so before, and was not asked.
        usage: tokens and dollars.
        processing_time: of the whole request, in seconds.
    """

    description: str
    model: str
    cached: bool
    usage: Usage
    processing_time: float


class PictureResult(BaseModel):
    """What became of one picture.

    Attributes:
        index: of the picture in the request, from 0.
        filename: without its suffix.
        description: what the model says.
        cached: whether it had said so before.
        usage: tokens and dollars.
        problem: why there is no description.
    """

    index: int
    filename: str | None = None
    description: str | None = None
    cached: bool = False
    usage: Usage | None = None
    problem: Problem | None = None


class PicturesDescribed(BaseModel):
    """Pictures in words.

    Attributes:
        results: one for each picture, in their order.
        model: that was asked.
        processing_time: of the whole request, in seconds.
    """

    results: list[PictureResult]
    model: str
    processing_time: float


_body = ImageBody(DescriptionAsked, "Description")
_PROBLEMS = (PHOTO, FETCH, OPTION, BUDGET, NOT_OFFERED, SERVER_FAULT)


def _form(*, many: bool) -> Schema:
    forms: list[Schema] = form_content(DescriptionAsked)["schema"]["anyOf"]
    return {"required": True, "content": {FORM: {"schema": forms[many]}}}


@router.post(
    "/api/v1/describe",
    summary="A picture in words",
    **route(*_PROBLEMS, body=_form(many=False), ok=content(PictureDescribed), scope=Scope.DESCRIBE),
)
async def describe_picture(request: Request, _caller: Writer) -> Response:
    """Ask the describer about one picture; costs money, unless the same was asked before."""
    start_s = time.perf_counter()
    workshop = workshop_of(request)
    describer = workshop.describer()
    asked = await _read(request, workshop, many=False)
    received = await workshop.photos.read(asked.images[0])
    with workshop.keeping_addresses():
        answer = await told(describer, workshop.parts.cache, received.photo.data, asked.options.prompt)
    workshop.figures.usage(answer.usage)
    return json_answer(
        PictureDescribed(
            description=answer.text,
            model=describer.settings.model,
            cached=not answer.usage.calls,
            usage=answer.usage,
            processing_time=round(time.perf_counter() - start_s, 3),
        )
    )


@router.post(
    "/api/v1/batch",
    summary="Pictures in words",
    **route(*_PROBLEMS, body=_form(many=True), ok=content(PicturesDescribed), scope=Scope.DESCRIBE),
)
async def describe_pictures(request: Request, caller: Writer) -> Response:
    """Ask the describer the same about several pictures."""
    start_s = time.perf_counter()
    workshop = workshop_of(request)
    describer = workshop.describer()
    asked = await _read(request, workshop, many=True)

    async def one(received: Received) -> PictureResult:
        with workshop.keeping_addresses():
            answer = await told(describer, workshop.parts.cache, received.photo.data, asked.options.prompt)
        workshop.figures.usage(answer.usage)
        return PictureResult(
            index=0,
            filename=received.photo.name,
            description=answer.text,
            cached=not answer.usage.calls,
            usage=answer.usage,
        )

    results = [
        PictureResult(index=index, problem=result.problem)
        if result.value is None
        else result.value.model_copy(update={"index": index})
        for index, result in enumerate(await workshop.each(request, asked.images, caller, one))
    ]
    took_s = round(time.perf_counter() - start_s, 3)
    return json_answer(PicturesDescribed(results=results, model=describer.settings.model, processing_time=took_s))


async def _read(request: Request, workshop: Workshop, *, many: bool) -> Asked[DescriptionAsked]:
    if media_type(request) != FORM:
        raise wrong_media(FORM)
    asked = await _body.read(request, max_batch=workshop.settings.max_batch)
    if asked.is_batch != many:
        raise ProblemError(
            INVALID, f"The form must have {'one or more parts `images`' if many else 'one part `image`'}."
        )
    return asked
