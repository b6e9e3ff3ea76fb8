"""The page to try it, `/ui`: a photo in, and what was found as the report shows it. It asks nobody but this gateway."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import importlib.util
import io
import json
from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Request
from PIL import Image
from starlette.responses import Response

from fashioncrop.gateway.access import may
from fashioncrop.gateway.answers import json_answer, model_json
from fashioncrop.gateway.bodies import ImageBody
from fashioncrop.gateway.keys import Caller, Scope
from fashioncrop.gateway.own_api import AnalyzeAsked
from fashioncrop.gateway.problems import INVALID, NOT_OFFERED, ProblemError
from fashioncrop.gateway.work import workshop_of
from fashioncrop.reporting import ReportEntry, look, photo_section

# The page's own routes are no part of the API: they change with it.
router = APIRouter(include_in_schema=False)

Analyst = Annotated[Caller, may(Scope.ANALYZE)]

_SAMPLE_WH = (768, 1024)
_ART = "fashioncrop_paperdoll"
_body = ImageBody(AnalyzeAsked, "Page")


@router.get("/ui")
async def page(request: Request) -> Response:
    """The page itself; a key is asked for in it, where one is needed."""
    workshop = workshop_of(request)
    html, policy = _page(
        needs_key=not workshop.gatekeeper.is_open,
        mode=workshop.settings.describing if workshop.parts.describer is not None else "",
        has_dinox=workshop.parts.detector is not None,
        has_sample=_can_draw(),
        has_catalogue=workshop.catalogue is not None and await workshop.catalogue.has_photos(),
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    return Response(html, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/ui/sample.jpg")
async def sample() -> Response:
    """A drawn photo."""
    if not _can_draw():
        raise ProblemError(NOT_OFFERED, "This gateway cannot draw a sample. Choose a photo of your own.")
    return Response(
        await asyncio.to_thread(_drawn), media_type="image/jpeg", headers={"Cache-Control": "public, max-age=86400"}
    )


@router.get("/ui/vocabulary")
async def default_vocabulary(request: Request, _caller: Analyst) -> Response:
    """What the server looks for where nothing is given."""
    phrases = await workshop_of(request).parts.client.default_vocabulary()
    return json_answer(json.dumps(phrases).encode())


@router.post("/ui/analyze")
async def analyze_for_page(request: Request, caller: Analyst) -> Response:
    """As `/v1/analyze` of one image, with the report's section as HTML beside it."""
    workshop = workshop_of(request)
    asked = await _body.read(request, max_batch=1)
    if asked.is_batch:
        raise ProblemError(INVALID, "The page asks about one photo at a time.")
    options = asked.options
    received = await workshop.photos.read(asked.images[0])
    analysis = await workshop.analyze(
        received.photo, caller, options.asked(), mode=options.mode, detector=options.detector
    )
    html = await asyncio.to_thread(photo_section, ReportEntry(analysis, received.photo.data))
    return json_answer(b'{"html":%b,"analysis":%b}' % (json.dumps(html).encode(), model_json(analysis)))


@functools.cache
def _page(*, needs_key: bool, mode: str, has_dinox: bool, has_sample: bool, has_catalogue: bool) -> tuple[str, str]:
    """The page, and the policy under which a browser runs nothing but its own script."""
    folder = resources.files("fashioncrop.gateway") / "page"
    report = look()
    css, js = (
        ours + (folder / f"page.{kind}").read_text(encoding="utf-8")
        for ours, kind in ((report.css, "css"), (report.js, "js"))
    )
    html = (folder / "page.html").read_text(encoding="utf-8")
    for place, text in {
        "@SAMPLE@": "" if has_sample else "hidden",
        "@DETECTOR@": "" if has_dinox else "hidden",
        "@DESCRIBE@": "" if mode else "hidden",
        "@KEY@": "" if needs_key else "hidden",
        "@CATALOGUE@": "" if has_catalogue else "hidden",
        'id="describe"': f'id="describe" data-mode="{"hybrid" if mode == "off" else mode}"',
        "@CSS@": css,
        "@JS@": js,
    }.items():
        html = html.replace(place, text)
    return html, (
        f"default-src 'none'; img-src data: blob:; style-src '{_digest(css)}'; script-src '{_digest(js)}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@functools.cache
def _can_draw() -> bool:
    return all(importlib.util.find_spec(module) is not None for module in (_ART, "cv2"))


@functools.cache
def _drawn() -> bytes:
    from fashioncrop_paperdoll.scene import DEMO_SEEDS, draw_scene  # noqa: PLC0415 - needs OpenCV, an extra

    file = io.BytesIO()
    Image.fromarray(draw_scene(DEMO_SEEDS[0], *_SAMPLE_WH).image).save(file, "JPEG", quality=90)
    return file.getvalue()
