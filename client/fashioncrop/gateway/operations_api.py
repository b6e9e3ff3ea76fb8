"""For who keeps the service: is it alive, is it ready, what does it do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from fashioncrop.gateway.access import may
from fashioncrop.gateway.answers import json_answer
from fashioncrop.gateway.documented import content, route
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.problems import UNAVAILABLE, ProblemError
from fashioncrop.gateway.telling import METRICS_TYPE
from fashioncrop.gateway.work import workshop_of

router = APIRouter(tags=["operations"])

Monitor = Annotated[Caller, may(Scope.METRICS)]


class Alive(BaseModel):
    """That somebody answers.

    Attributes:
        status: `ok`.
    """

    status: str = "ok"


@router.get("/health/live", summary="Is the gateway alive", **route(ok=content(Alive)))
async def live() -> Response:
    """Answered as long as the gateway can answer anything; where it is not, start it again."""
    return json_answer(Alive())


@router.get("/health/ready", summary="Is the gateway ready", **route(UNAVAILABLE, ok=content(Alive)))
async def ready(request: Request) -> Response:
    """Answered well where a photo would be analysed; where it is not, send requests elsewhere."""
    workshop = workshop_of(request)
    if workshop.is_draining:
        raise ProblemError(UNAVAILABLE, "The gateway is about to stop. Ask another.")
    if not await workshop.is_server_ready():
        raise ProblemError(UNAVAILABLE, "The model server is not ready.", headers={"Retry-After": "2"})
    return json_answer(Alive())


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    **route(ok={METRICS_TYPE: {"schema": {"type": "string"}}}, scope=Scope.METRICS),
)
async def metrics(request: Request, _caller: Monitor) -> Response:
    """Requests, stages, tokens, dollars and jobs in Prometheus' text format."""
    workshop = workshop_of(request)
    if workshop.book is not None:
        workshop.figures.jobs(await workshop.book.count())
    return Response(workshop.figures.text(), media_type=METRICS_TYPE)
