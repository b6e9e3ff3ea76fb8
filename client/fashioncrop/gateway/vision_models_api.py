"""The vision-models API: what is served, loading and unloading it, and asking one model at a time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from fashioncrop.gateway.access import may
from fashioncrop.gateway.answers import json_answer
from fashioncrop.gateway.bodies import check_batch, read_model
from fashioncrop.gateway.documented import content, json_body, route
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.photos import Received, Strict, sent_text
from fashioncrop.gateway.problems import CONFLICT, NOT_FOUND, OPTION, SERVER_FAULT, UNAVAILABLE, ProblemError
from fashioncrop.gateway.vision_models import VISION_MODELS, VisionModel
from fashioncrop.gateway.work import Workshop, workshop_of
from fashioncrop.results import ServedModel

router = APIRouter(tags=["vision-models"])

Analyst = Annotated[Caller, may(Scope.ANALYZE)]
Admin = Annotated[Caller, may(Scope.ADMIN)]

State = Literal["ready", "loading", "unloading", "unavailable", "missing"]
_WORST_FIRST: tuple[State, ...] = ("missing", "unavailable", "unloading", "loading", "ready")


class ModelStatus(BaseModel):
    """How a model is.

    Attributes:
        name: in this API.
        state: the worst of the server's models that it is made of.
        version: that is served.
        memory_bytes: what it holds; null where the server does not say.
        reason: why it is not ready, in the server's words.
        served_as: the server's models that it is made of.
    """

    name: str
    state: State
    version: str | None
    memory_bytes: int | None
    reason: str
    served_as: list[ServedModel]


class ModelsStatus(BaseModel):
    """How all models are.

    Attributes:
        models: those that can be asked here.
        others: further models of the server.
    """

    models: list[ModelStatus]
    others: list[ServedModel]


class ModelNamed(Strict):
    """A model.

    Attributes:
        model: its name in this API.
    """

    model: Annotated[str, Field(json_schema_extra={"examples": list(VISION_MODELS)})]


class Welcome(BaseModel):
    """What this is.

    Attributes:
        name: of the service.
        version: of the gateway.
        models: that can be asked one by one.
        documentation: path of the OpenAPI document.
        page: path of the page to try it.
    """

    name: str
    version: str
    models: list[str]
    documentation: str
    page: str


class Health(BaseModel):
    """How the service is.

    Attributes:
        status: `healthy` where photos are analysed; `unhealthy` where the server is not ready.
        server: whether the model server is ready.
        draining: whether the gateway is about to stop.
    """

    status: Literal["healthy", "unhealthy"]
    server: bool
    draining: bool


@router.get("/", summary="What this is", **route(ok=content(Welcome)))
async def welcome(request: Request) -> Response:
    """Name, version and where everything else is."""
    documentation = request.app.openapi_url
    return json_answer(
        Welcome(
            name="fashioncrop",
            version=version("fashioncrop"),
            models=list(VISION_MODELS),
            documentation=documentation,
            page="/ui",
        )
    )


@router.get("/health", summary="How the service is", **route(ok=content(Health)))
async def health(request: Request) -> Response:
    """Whether photos are analysed; always answered. For probes there are `/health/live` and `/health/ready`."""
    workshop = workshop_of(request)
    is_ready = await workshop.is_server_ready()
    status: Any = "healthy" if is_ready and not workshop.is_draining else "unhealthy"
    return json_answer(Health(status=status, server=is_ready, draining=workshop.is_draining))


@router.get(
    "/models/status",
    summary="How the models are",
    **route(CONFLICT, SERVER_FAULT, UNAVAILABLE, ok=content(ModelsStatus), scope=Scope.ANALYZE),
)
async def models_status(request: Request, _caller: Analyst) -> Response:
    """State, version and memory of every model."""
    return json_answer(await _status(workshop_of(request)))


_ORDER = route(
    NOT_FOUND,
    CONFLICT,
    SERVER_FAULT,
    UNAVAILABLE,
    body=json_body(ModelNamed),
    ok=content(ModelsStatus),
    scope=Scope.ADMIN,
)


@router.post("/models/load", summary="Load a model", **_ORDER)
async def load_model(request: Request, _caller: Admin) -> Response:
    """Have the server load a model, or load it anew; answered once it is loaded."""
    workshop = workshop_of(request)
    for role in (await _known(request)).roles:
        await workshop.parts.client.load_model(role)
    return json_answer(await _status(workshop))


@router.post("/models/unload", summary="Unload a model", **_ORDER)
async def unload_model(request: Request, _caller: Admin) -> Response:
    """Have the server unload a model; what needs it fails until it is loaded again."""
    workshop = workshop_of(request)
    for role in (await _known(request)).roles:
        await workshop.parts.client.unload_model(role)
    return json_answer(await _status(workshop))


@router.post(
    "/models/unload-all",
    summary="Unload every model",
    **route(CONFLICT, SERVER_FAULT, UNAVAILABLE, ok=content(ModelsStatus), scope=Scope.ADMIN),
)
async def unload_all_models(request: Request, _caller: Admin) -> Response:
    """Have the server unload every model of this API."""
    workshop = workshop_of(request)
    for role in dict.fromkeys(role for model in VISION_MODELS.values() for role in model.roles):
        await workshop.parts.client.unload_model(role)
    return json_answer(await _status(workshop))


def _inference_route(model: VisionModel) -> None:
    """`POST /inference/NAME`."""
    name = "".join(part.capitalize() for part in model.name.split("-")) + "Answer"
    fields: dict[str, Any] = {
        "model": (str, ...),
        "results": (list[model.result], ...),  # type: ignore[name-defined]  # a table's column
        "processing_time_ms": (float, ...),
    }
    words = (
        "A result for each image, in their order.\n\nAttributes:\n    model: that was asked.\n    results: one each "
        "image, in their order.\n    processing_time_ms: of the whole request."
    )
    answer_model = create_model(name, __doc__=words, **fields)

    async def infer(request: Request, caller: Analyst) -> Response:
        start_s = time.perf_counter()
        workshop = workshop_of(request)
        asked = await read_model(request, model.asked)
        check_batch(len(asked.images), workshop.settings.max_batch)
        images = [sent_text(image) for image in asked.images]
        results = [
            model.result(index=index, problem=result.problem, **(result.value or {}))
            for index, result in enumerate(await workshop.each(request, images, caller, _one(model, workshop, asked)))
        ]
        took_ms = round((time.perf_counter() - start_s) * 1000, 3)
        return json_answer(answer_model(model=model.name, results=results, processing_time_ms=took_ms))

    infer.__doc__ = f"{model.words} A result or a problem for each image, in their order."
    router.post(
        f"/inference/{model.name}",
        name=f"infer_{model.name.replace('-', '_')}",
        summary=f"Ask {model.name}",
        **route(
            OPTION,
            SERVER_FAULT,
            UNAVAILABLE,
            body=json_body(model.asked),
            ok=content(answer_model),
            scope=Scope.ANALYZE,
        ),
    )(infer)


def _one(model: VisionModel, workshop: Workshop, asked: Any) -> Callable[[Received], Awaitable[dict[str, Any]]]:  # noqa: ANN401
    async def one(received: Received) -> dict[str, Any]:
        return await model.answer(workshop, asked, received)

    return one


for _model in VISION_MODELS.values():
    _inference_route(_model)


@router.post("/inference/{name}", include_in_schema=False)
async def infer_with_unknown_model(name: str, _caller: Analyst) -> Response:
    """Tell which models there are."""
    raise _unknown(name)


async def _known(request: Request) -> VisionModel:
    name = (await read_model(request, ModelNamed)).model
    if name not in VISION_MODELS:
        raise _unknown(name)
    return VISION_MODELS[name]


def _unknown(name: str) -> ProblemError:
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:60])
    return ProblemError(
        NOT_FOUND,
        f"There is no model {shown!r} here. Known are: {', '.join(VISION_MODELS)}.",
        known=list(VISION_MODELS),
    )


async def _status(workshop: Workshop) -> ModelsStatus:
    served = {one.name: one for one in await workshop.parts.client.served_models()}
    models = [_model_status(model, served) for model in VISION_MODELS.values()]
    taken = {one.name for model in models for one in model.served_as}
    return ModelsStatus(models=models, others=[one for one in served.values() if one.name not in taken])


def _model_status(model: VisionModel, served: dict[str, ServedModel]) -> ModelStatus:
    parts = [served[role] for role in model.roles if role in served]
    states: list[Any] = [part.state for part in parts] + ["missing"] * (len(model.roles) - len(parts))
    memory = [part.memory_bytes for part in parts]
    known = [one for one in memory if one is not None]
    versions = {part.version for part in parts if part.version}
    return ModelStatus(
        name=model.name,
        state=min(states, key=_WORST_FIRST.index),
        version=", ".join(sorted(versions)) or None,
        memory_bytes=sum(known) if parts and len(known) == len(memory) else None,
        reason="; ".join(f"{part.name}: {part.reason}" for part in parts if part.reason),
        served_as=parts,
    )
