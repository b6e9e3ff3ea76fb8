"""The application: every route behind the same edge."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from fashioncrop.analyzing.opening import Parts
from fashioncrop.gateway import (
    description_api,
    embeddings_api,
    fashion_crop_api,
    jobs_api,
    operations_api,
    own_api,
    page_api,
    search_api,
    vision_models_api,
)
from fashioncrop.gateway.access import Gatekeeper, Limiter
from fashioncrop.gateway.documented import document_of
from fashioncrop.gateway.edge import REQUEST_ID, Edge, Limits
from fashioncrop.gateway.keys import KeyFile
from fashioncrop.gateway.problems import BAD_REQUEST, INVALID, METHOD, NOT_FOUND, ProblemError, Wrong
from fashioncrop.gateway.telling import Figures
from fashioncrop.gateway.work import Workshop
from fashioncrop.settings import Settings

if TYPE_CHECKING:
    from fashioncrop.gateway.jobs.book import Book
    from fashioncrop.gateway.searching import Finder

_ABOUT = """\
One photo in, every garment out, over HTTP: our own API (`/v1/...`), the fashion-crop API (`/api/analyze`), the
vision-models API (`/models/...`, `/inference/...`), the description API (`/api/v1/...`) and jobs (`/jobs/...`). What
goes wrong is an RFC 9457 problem with a sentence and the request's id."""
_TAGS = [
    {"name": "own", "description": "One image or a batch, as JSON or as a form."},
    {"name": "fashion-crop", "description": "The older system's API, shape for shape."},
    {"name": "vision-models", "description": "One model at a time."},
    {"name": "description", "description": "Pictures and a prompt in, words out."},
    {"name": "jobs", "description": "Requests that are answered later."},
    {"name": "operations", "description": "For who keeps the service."},
]
_PREFLIGHT_S = 600
_APIS = (
    own_api,
    search_api,
    embeddings_api,
    fashion_crop_api,
    vision_models_api,
    description_api,
    jobs_api,
    operations_api,
    page_api,
)


def create_app(
    parts: Parts,
    settings: Settings,
    keys: KeyFile | None,
    *,
    book: Book | None = None,
    catalogue: Finder | None = None,
    tracer_provider: TracerProvider | None = None,
) -> FastAPI:
    """The application.

    Args:
        parts: what answers; whoever opened them closes them.
        settings: see `Settings`.
        keys: those that are good; None lets everybody in who is on this machine.
        book: where jobs are written down; None takes none.
        catalogue: the way to what is searched; None searches nothing.
        tracer_provider: where spans go; None makes none.

    Raises:
        OptionError: limits are to be counted in Redis, and the extra `redis` is not installed.
    """
    telemetry: TelemetryConfig = {"tracing": tracer_provider is not None, "metrics": False, "logs": False}
    telemetry |= {"operation_spans": False, "auto_configure": False}
    if tracer_provider is not None:
        telemetry["tracer_provider"] = tracer_provider
    app = FastAPI(
        title="fashioncrop gateway",
        version=version("fashioncrop"),
        description=_ABOUT,
        openapi_tags=_TAGS,
        # Their pages ask other servers for scripts.
        docs_url=None,
        redoc_url=None,
        # A photo is never sent twice because of a slash.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry=telemetry,
    )
    gatekeeper = Gatekeeper(keys, Limiter(settings.rate_limit, settings.rate_limit_redis_url))
    figures = Figures()
    app.state.gatekeeper = gatekeeper
    app.state.workshop = Workshop(parts, settings, gatekeeper, figures, book, catalogue)
    for api in _APIS:
        app.include_router(api.router)
    app.openapi = document_of(app, with_keys=not gatekeeper.is_open, max_batch=settings.max_batch)  # type: ignore[method-assign]  # as FastAPI's docs do
    app.add_exception_handler(HTTPException, _as_problem)
    app.add_exception_handler(RequestValidationError, _as_problem)
    origins = settings.cors_origins or ()
    app.add_middleware(
        Edge,
        limits=Limits(
            max_body_bytes=settings.max_body_bytes,
            body_timeout_s=settings.body_timeout_s,
            request_timeout_s=settings.request_timeout_s,
            max_in_flight=settings.max_in_flight,
        ),
        figures=figures,
        open_to=frozenset(origins) if gatekeeper.is_open else None,
    )
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", REQUEST_ID],
            expose_headers=[REQUEST_ID, "Retry-After"],
            max_age=_PREFLIGHT_S,
        )
    return app


async def _as_problem(request: Request, error: Exception) -> Response:
    """What FastAPI itself refuses; the edge answers.

    Raises:
        ProblemError: always.
    """
    if isinstance(error, RequestValidationError):
        wrong = [Wrong(pointer="/".join(map(str, one["loc"])), detail=one["msg"]) for one in error.errors()]
        first = f"{wrong[0].pointer}: {wrong[0].detail}"
        raise ProblemError(INVALID, f"The request is not as documented. {first}.", errors=wrong) from None
    if isinstance(error, HTTPException):
        if error.status_code == NOT_FOUND.status:
            raise ProblemError(NOT_FOUND, "There is nothing at this path. See /openapi.json.") from None
        if error.status_code == METHOD.status:
            allowed = {"Allow": ", ".join(_methods_of(request))}
            raise ProblemError(METHOD, "This path does not take this method. See /openapi.json.", headers=allowed)
        raise ProblemError(BAD_REQUEST, f"The request cannot be read: {str(error.detail).rstrip('.')}.") from None
    raise error


def _methods_of(request: Request) -> list[str]:
    """What a path takes. Starlette tells the methods of the first route that fits; a path may have several."""
    routes = (*request.app.routes, *(route for api in _APIS for route in api.router.routes))
    fitting = (route for route in routes if isinstance(route, Route) and route.matches(request.scope)[0] != Match.NONE)
    return sorted({method for route in fitting for method in route.methods or ()})
