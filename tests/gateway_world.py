"""The gateway on a real socket, and a client of no server behind it: tests of HTTP need no models."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from opentelemetry.trace import TracerProvider
from PIL import Image

from fashioncrop._client import AsyncClient
from fashioncrop._fetch import FetchLimits
from fashioncrop._sources import Photo, Source, read_photo
from fashioncrop.analyzing.opening import Parts
from fashioncrop.cataloguing import parse_place
from fashioncrop.cataloguing.catalogue import open_catalogue
from fashioncrop.cataloguing.entries import Entry
from fashioncrop.errors import FashionCropError
from fashioncrop.gateway.app import create_app
from fashioncrop.gateway.jobs.book import Book, open_book
from fashioncrop.gateway.jobs.working import Runner
from fashioncrop.gateway.keys import KeyFile, Scope
from fashioncrop.gateway.searching import open_finder
from fashioncrop.gateway.serving import DrainingServer, make_server
from fashioncrop.gateway.work import Workshop
from fashioncrop.results import (
    Analysis,
    Category,
    Colour,
    Crop,
    Depth,
    Detection,
    Garment,
    ModelIdentity,
    PhotoInfo,
    ServedModel,
)
from fashioncrop.settings import Settings

_T = TypeVar("_T")

WORDS = ("shirt", "shoe")
MODEL = ModelIdentity(
    role="image_embedder", name="tiny-clip", version="1", digest="sha256:1", source="tiny", trained=False
)
"""Of the vectors that the client of no server answers; a crop's is the first axis."""
ROLES = ("vocabulary_encoder", "garment_detector", "image_embedder", "text_embedder", "depth_estimator")


def picture(width: int = 60, height: int = 40, format_: str = "PNG", **options: Any) -> bytes:  # noqa: ANN401
    """A grey photo as a file."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 150)).save(file, format_, **options)
    return file.getvalue()


PHOTO = picture()


class FakeClient(AsyncClient):
    """Finds one garment for each phrase, in every photo; what it is asked is kept."""

    def __init__(self) -> None:  # nothing is connected
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.limits = FetchLimits()
        self.error: FashionCropError | Exception | None = None
        self.wait: asyncio.Event | None = None
        self.pause_s = 0.0
        self.ready = True
        self.model = MODEL
        self.states = dict.fromkeys((*ROLES, "fashion_pipeline"), "ready")

    async def close(self) -> None:
        """Nothing is open."""

    async def _ask(self, what: str, **options: Any) -> None:  # noqa: ANN401 - as they come
        self.asked.append((what, options))
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        if self.error is not None:
            raise self.error

    async def read(self, source: Source) -> Photo:
        return await read_photo(source, limits=self.limits)

    async def server_identity(self) -> str:
        models = [{**self.model.model_dump(), "role": role} for role in ROLES]
        return json.dumps({"models": models, "vocabulary": WORDS})

    async def analyze_photo(self, photo: Photo, **options: Any) -> Analysis:  # noqa: ANN401 - as they come
        await self._ask("analyze", **options)
        phrases = list(options.get("box_phrases", options.get("vocabulary", WORDS)))
        garments = tuple(self._garment(index, phrase, options) for index, phrase in enumerate(phrases))
        with Image.open(io.BytesIO(photo.data)) as opened:
            info = PhotoInfo(name=photo.name, width=opened.width, height=opened.height, format=str(opened.format))
        model = ModelIdentity(
            role="garment_detector", name="tiny", version="1", digest="sha256:0", source="tiny", trained=False
        )
        return Analysis(
            photo=info,
            vocabulary=tuple(phrases),
            garments=garments,
            models=(model,),
            warnings=("Random weights.",),
            timings_ms={"decode": 1.0, "detect": 20.0, "crop": 2.0, "total": 24.0},
        )

    def _garment(self, index: int, phrase: str, options: dict[str, Any]) -> Garment:
        categories = {"shirt": (0, "shirt, blouse"), "shoe": (23, "shoe")}
        found = categories.get(phrase)
        return Garment(
            id=index,
            phrase=phrase,
            phrase_id=index,
            category=None if found is None else Category(id=found[0], name=found[1], supercategory="upperbody"),
            score=0.9 - index / 10,
            box_xyxy=(3.4, 2.5, 20.2, 30.9),
            crop=Crop(box_xyxy=(3, 2, 21, 31), jpeg=picture(18, 29, "JPEG") if options.get("crops", True) else None),
            embedding=(1.0, *[0.0] * 511) if options.get("embeddings", True) else None,
            depth=Depth(median=1, spread=0, order=index + 1),
            colours=(Colour(hex="#ff0000", name="red", share=1),),
            flags=(),
            overlapped_by=(),
        )

    async def detect(self, source: Source, **options: Any) -> tuple[Detection, ...]:  # noqa: ANN401
        await self.read(source)
        await self._ask("detect", **options)
        phrases = options.get("vocabulary", WORDS)
        return tuple(
            Detection(phrase=phrase, phrase_id=index, score=0.5, box_xyxy=(1, 2, 30, 40))
            for index, phrase in enumerate(phrases)
        )

    async def embed(self, source: Source) -> NDArray[np.float32]:
        await self.read(source)
        await self._ask("embed")
        vector: NDArray[np.float32] = np.eye(512, dtype=np.float32)[0]
        return vector

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        await self._ask("embed_texts", texts=list(texts))
        return np.eye(512, dtype=np.float32)[[1 + len(text) % 500 for text in texts]]

    async def depth_map(self, source: Source) -> NDArray[np.float32]:
        await self.read(source)
        await self._ask("depth")
        return np.linspace(-1.5, 6, 12, dtype=np.float32).reshape(3, 4)

    async def is_ready(self) -> bool:
        return self.ready

    async def served_models(self) -> tuple[ServedModel, ...]:
        await self._ask("models")
        return tuple(
            ServedModel(
                name=name,
                version="1",
                state=state,
                reason="" if state == "ready" else "unloaded",
                memory_bytes=None,
            )
            for name, state in self.states.items()
        )

    async def load_model(self, name: str) -> None:
        await self._ask("load", name=name)
        self.states[name] = "ready"

    async def unload_model(self, name: str) -> None:
        await self._ask("unload", name=name)
        self.states[name] = "unavailable"


class Gateway:
    """A gateway in a thread of its own, with a key for everything.

    ::

        with Gateway(tmp_path, max_batch=3) as gateway:
            gateway.post("/v1/detect", json=...)
    """

    def __init__(
        self,
        folder: Path,
        *,
        parts: Parts | None = None,
        needs_keys: bool = True,
        tracer_provider: TracerProvider | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> None:
        self.fake = FakeClient()
        self.warnings: list[str] = []
        self.parts = parts or Parts(self.fake, None, None, None, None)
        self.settings = Settings(keys_file=folder / "keys.json", **settings)
        self.searches = self.settings.catalogue is not None
        self.keys = KeyFile(folder / "keys.json")
        self.record, self.key = self.keys.create("tests", list(Scope))
        keys = self.keys if needs_keys else None
        self.app: FastAPI = create_app(self.parts, self.settings, keys, tracer_provider=tracer_provider)
        self.server: DrainingServer = make_server(self.app, self.settings)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self._answer())

    async def _answer(self) -> None:
        try:
            async with (
                open_book(self.settings) if self.settings.jobs else contextlib.nullcontext() as book,
                open_finder(self.settings, self.warnings.append)
                if self.searches
                else contextlib.nullcontext() as finder,
            ):
                self.workshop.book, self.workshop.catalogue = book, finder
                self.loop = asyncio.get_running_loop()
                worker = None if book is None else asyncio.create_task(self._work(book))
                try:
                    await self.server.answer(self.socket)
                finally:
                    if worker is not None:
                        worker.cancel()
                        await asyncio.gather(worker, return_exceptions=True)
        finally:
            parts = self.parts
            for part in (parts.client, parts.describer, parts.detector, parts.cache, parts.store):
                if part is not None:
                    await part.close()

    async def _work(self, book: Book) -> None:
        """A worker beside the gateway, with the same server."""
        book.database.on_job(Runner(book, self.workshop, first_pause_s=0.05).run)
        await book.database.work(concurrency=4, heartbeat_s=5, grace_s=1, hears_signals=False)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Have something done in the gateway's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    @property
    def workshop(self) -> Workshop:
        """The application's."""
        workshop: Workshop = self.app.state.workshop
        return workshop

    def __enter__(self) -> Self:
        self._thread.start()
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(30)
        self.socket.close()

    def key_for(self, *scopes: Scope) -> dict[str, str]:
        """Headers with a key that has these scopes."""
        return {"Authorization": f"Bearer {self.keys.create('some', scopes)[1]}"}

    def post(self, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:  # noqa: ANN401
        """With the key for everything, unless there are headers."""
        return self.client.post(path, headers=self.headers if headers is None else headers, **options)

    def get(self, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:  # noqa: ANN401
        """With the key for everything, unless there are headers."""
        return self.client.get(path, headers=self.headers if headers is None else headers, **options)

    @property
    def headers(self) -> dict[str, str]:
        """With the key for everything."""
        return {"Authorization": f"Bearer {self.key}"}

    def raw(self, *pieces: bytes, timeout_s: float = 30.0) -> bytes:
        """Send bytes as they are, and read until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            for piece in pieces:
                connection.sendall(piece)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer


def fill(folder: Path, stored: Sequence[Entry]) -> None:
    """Store photos in the embedded catalogue of a folder, which is made if need be."""

    async def put() -> None:
        async with open_catalogue(parse_place(str(folder)), create=True) as catalogue:
            space = await catalogue.make_space(MODEL, 512)
            for one in stored:
                await catalogue.put(one, space)

    # In a thread of its own: a test that drives a browser has an event loop already.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, put()).result()


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds: the gateway writes its line just after the answer."""
    end_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end_s, "in vain"
        time.sleep(0.01)


def refused(response: httpx.Response, status: int, kind: str) -> str:
    """A problem as it has to be; its sentence."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"] == f"urn:problem-type:fashioncrop:{kind}", document
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["detail"].endswith(".")
    assert "Traceback" not in response.text
    assert ".py" not in response.text
    return str(document["detail"])
