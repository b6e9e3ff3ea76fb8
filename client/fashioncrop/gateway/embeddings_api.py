"""Embeddings as embedding servers answer them, `POST /v1/embeddings`: OpenAI's form, with texts, data URLs and URLs."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.responses import Response

from fashioncrop.gateway.access import may
from fashioncrop.gateway.answers import json_answer
from fashioncrop.gateway.bodies import check_batch, read_model
from fashioncrop.gateway.documented import content, json_body, route
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.photos import Strict, sent_text
from fashioncrop.gateway.problems import FETCH, INVALID, NOT_FOUND, OPTION, PHOTO, SERVER_FAULT, ProblemError
from fashioncrop.gateway.work import Workshop, workshop_of
from fashioncrop.model_repository import Role

router = APIRouter(tags=["own"])

Analyst = Annotated[Caller, may(Scope.ANALYZE)]

_IMAGE = ("https://", "http://", "data:")
_TEXTS_AT_ONCE = 256
_ALIAS = "clip"
_ROLES = frozenset({Role.IMAGE_EMBEDDER, Role.TEXT_EMBEDDER})

Text = Annotated[str, Field(min_length=1)]


class EmbeddingsRequest(Strict):
    """What is to be embedded; texts and images lie in one space.

    Attributes:
        input: one or several: what begins with `https://` or `data:` is an image, everything else a text.
        model: `clip`, or the checkpoint's own name; by default the one there is.
        encoding_format: `float`, numbers; `base64`, of little-endian float32.
        dimensions: of a vector; only the model's own length is possible.
        user: not used.
    """

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=_TEXTS_AT_ONCE)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None


class Embedding(BaseModel):
    """One vector.

    Attributes:
        object: `embedding`.
        index: of the input, from 0.
        embedding: numbers of L2 norm 1, or base64 of them.
    """

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    """What OpenAI's form has; nothing is billed by tokens here.

    Attributes:
        prompt_tokens: 0.
        total_tokens: 0.
    """

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingsAnswer(BaseModel):
    """Vectors.

    Attributes:
        object: `list`.
        data: one for each input, in their order.
        model: the checkpoint.
        usage: as OpenAI's form has it.
    """

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage = EmbeddingsUsage()


@router.post(
    "/v1/embeddings",
    summary="Texts and images as vectors",
    **route(
        PHOTO,
        FETCH,
        OPTION,
        NOT_FOUND,
        SERVER_FAULT,
        body=json_body(EmbeddingsRequest),
        ok=content(EmbeddingsAnswer),
        scope=Scope.ANALYZE,
    ),
)
async def embed(request: Request, caller: Analyst) -> Response:
    """Embed texts and whole images, in OpenAI's form; an input that fails fails the request."""
    workshop = workshop_of(request)
    asked = await read_model(request, EmbeddingsRequest)
    inputs = [asked.input] if isinstance(asked.input, str) else asked.input
    images = {index: text for index, text in enumerate(inputs) if text[:8].lower().startswith(_IMAGE)}
    check_batch(len(images), workshop.settings.max_batch)
    model = await _model(workshop, asked.model)
    texts = {index: text for index, text in enumerate(inputs) if index not in images}
    vectors = dict(zip(texts, await _texts(workshop, list(texts.values())), strict=True))
    vectors |= dict(zip(images, await _images(workshop, caller, list(images.values())), strict=True))
    width = len(vectors[0])
    if asked.dimensions not in {None, width}:
        raise ProblemError(INVALID, f"The model's vectors have {width} numbers, and cannot have {asked.dimensions}.")
    data = [
        Embedding.model_construct(
            index=index,
            embedding=vectors[index].tolist() if asked.encoding_format == "float" else _base64(vectors[index]),
        )
        for index in range(len(inputs))
    ]
    return json_answer(EmbeddingsAnswer.model_construct(data=data, model=model))


async def _model(workshop: Workshop, wanted: str | None) -> str:
    """The checkpoint's name.

    Raises:
        ProblemError: another is wanted.
    """
    identity = json.loads(await workshop.parts.client.server_identity())
    names = list(dict.fromkeys(model["name"] for model in identity["models"] if model["role"] in _ROLES))
    if wanted not in {None, _ALIAS, *names}:
        known = [_ALIAS, *names]
        raise ProblemError(NOT_FOUND, f"There is no such model here. Known are: {', '.join(known)}.", known=known)
    return str(names[0])


async def _texts(workshop: Workshop, texts: Sequence[str]) -> Sequence[NDArray[np.float32]]:
    return list(await workshop.parts.client.embed_texts(texts)) if texts else []


async def _images(workshop: Workshop, caller: Caller, images: Sequence[str]) -> Sequence[NDArray[np.float32]]:
    if not images:
        return []
    await workshop.gatekeeper.count(caller, len(images) - 1)
    free = asyncio.Semaphore(workshop.at_a_time)

    async def one(image: str) -> NDArray[np.float32]:
        async with free:
            received = await workshop.photos.read(sent_text(image))
            return await workshop.parts.client.embed(received.photo.data)

    tasks = [asyncio.create_task(one(image)) for image in images]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode("ascii")
