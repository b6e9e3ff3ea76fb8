"""The client: a photo from anywhere, one request, a typed answer. Async at the core, with a synchronous face."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from fashioncrop._embedded.state import default_state_folder
from fashioncrop._fetch import FetchLimits
from fashioncrop._sources import Photo, Source, read_photo
from fashioncrop._triton import TritonConnection
from fashioncrop.errors import CancelledError, ContractError, OptionError, ServerUnavailableError
from fashioncrop.model_repository import PIPELINE
from fashioncrop.results import Analysis, Detection, ServedModel

_T = TypeVar("_T")

DEFAULT_TIMEOUT_S = 120.0
# The pipeline cuts boxes at the photo's edges.
_WHOLE_PHOTO = np.asarray([[0, 0, 2**20, 2**20]], np.float32)


class AnalyzeOptions(TypedDict, total=False):
    """What to look for and what to answer; what is left out is the server's default.

    Attributes:
        vocabulary: phrases to look for, one garment each; by default Fashionpedia's.
        boxes_xyxy: [boxes, 4], another detector's boxes in pixels of the upright photo; detection is skipped.
        box_phrases: what each of `boxes_xyxy` holds.
        box_scores: the other detector's scores, 0 to 1.
        score_threshold: a garment must score above this, 0 to 1; 0.35.
        iou_threshold: of two boxes of one phrase that overlap more than this the better is kept, 0 to 1; 0.7.
        crop_padding: how much of the box a crop takes in on every side, 0 to 1; 0.05.
        max_garments: at most this many, the best first, 1 to 300; 50.
        crops: False to leave the crops' JPEGs out.
        embeddings: False to leave the embeddings out; nothing is embedded then.
    """

    vocabulary: Sequence[str]
    boxes_xyxy: ArrayLike
    box_phrases: Sequence[str]
    box_scores: ArrayLike
    score_threshold: float
    iou_threshold: float
    crop_padding: float
    max_garments: int
    crops: bool
    embeddings: bool


def find_server_url(url: str | None) -> str:
    """The server's gRPC address: as given, else `$FASHIONCROP_URL`, else the embedded server's.

    Raises:
        ServerUnavailableError: none of them is known.
        OptionError: it is no HOST:PORT.
    """
    chosen = url or os.environ.get("FASHIONCROP_URL")
    if chosen:
        address = chosen.removeprefix("grpc://").rstrip("/")
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isdigit() and int(port) < 2**16 and "/" not in host):
            raise OptionError(
                f"The server's address is HOST:PORT of its gRPC service, such as localhost:8001; got {chosen}."
            )
        return address
    running = default_state_folder().running()
    if running is None or not running.grpc_url:
        raise ServerUnavailableError(
            "No server is known. Start one (fashioncrop up), or say where one is: --url HOST:PORT (gRPC) or "
            "FASHIONCROP_URL."
        )
    return running.grpc_url


class AsyncClient:
    """Asks one server, any number of photos at a time.

    >>> async with AsyncClient() as client:  # doctest: +SKIP
    ...     analysis = await client.analyze("photo.jpg")
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        fetch_limits: FetchLimits | None = None,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: gRPC `host:port`; by default `$FASHIONCROP_URL`, else the embedded server.
            timeout_s: for each request, repeats included.
            fetch_limits: what a photo's URL may do; by default https to global addresses only.
            headers: asked before each inference for what goes along as gRPC metadata, a trace's context for one.

        Raises:
            ServerUnavailableError: no server is known.
        """
        self._connection = TritonConnection(find_server_url(url), timeout_s=timeout_s, headers=headers)
        self._fetch_limits = fetch_limits or FetchLimits()

    @property
    def url(self) -> str:
        """The server's gRPC address."""
        return self._connection.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def analyze(self, source: Source, **options: Unpack[AnalyzeOptions]) -> Analysis:
        """Every garment of one photo.

        Args:
            source: a path, `-` for stdin, the file's bytes, an https URL, or a uint8 array [height, width, 3] (RGB).
            **options: see `AnalyzeOptions`.

        Raises:
            InputError: the photo or an option is wrong.
            TryAgainError: the server is not there, is full, or took longer than `timeout_s`.
            DeploymentError: the server does not have the pipeline, or another version of it.
        """
        start_s = time.perf_counter()
        analysis = await self.analyze_photo(await self.read(source), **options)
        request_ms = round((time.perf_counter() - start_s) * 1000, 3)
        return analysis.model_copy(update={"timings_ms": {**analysis.timings_ms, "request": request_ms}})

    async def read(self, source: Source) -> Photo:
        """Bring a photo into memory, as `analyze` does; nothing is sent to the server.

        Raises:
            PhotoError: it cannot be read or is refused.
        """
        return await read_photo(source, limits=self._fetch_limits)

    async def analyze_photo(self, photo: Photo, **options: Unpack[AnalyzeOptions]) -> Analysis:
        """As `analyze`, of a photo that was read."""
        start_s = time.perf_counter()
        outputs = ["analysis", *(name for name in ("crops", "embeddings") if options.get(name, True))]
        inputs = {"image": _texts([photo.data]), **_option_tensors(options)}
        answer = await self._connection.infer(PIPELINE, inputs, outputs)
        request_ms = round((time.perf_counter() - start_s) * 1000, 3)
        return _analysis(answer, photo.name, request_ms)

    async def detect(self, source: Source, **options: Unpack[AnalyzeOptions]) -> tuple[Detection, ...]:
        """The boxes alone, best score first: nothing is cropped, embedded or measured.

        Args:
            source: see `analyze`.
            **options: see `AnalyzeOptions`; those about crops and embeddings have no effect.

        Raises:
            FashionCropError: as `analyze`.
        """
        photo = await self.read(source)
        inputs = {"image": _texts([photo.data]), **_option_tensors(options)}
        answer = await self._connection.infer(PIPELINE, inputs, ["boxes_xyxy", "scores", "phrase_ids", "phrases"])
        found = zip(answer["phrases"], answer["phrase_ids"], answer["scores"], answer["boxes_xyxy"], strict=True)
        return tuple(
            Detection(phrase=phrase.decode(), phrase_id=int(id_), score=float(score), box_xyxy=tuple(box.tolist()))
            for phrase, id_, score, box in found
        )

    async def embed(self, source: Source) -> NDArray[np.float32]:
        """The embedding of a whole photo, as a crop's: float32 [512], L2 norm 1.

        Raises:
            FashionCropError: as `analyze`.
        """
        photo = await self.read(source)
        inputs = {
            "image": _texts([photo.data]),
            "boxes_xyxy": _WHOLE_PHOTO,
            "box_phrases": _texts([b"photo"]),
            "crop_padding": np.zeros(1, np.float32),
        }
        embeddings = (await self._connection.infer(PIPELINE, inputs, ["embeddings"]))["embeddings"]
        return np.asarray(embeddings[0], np.float32)

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Each text's embedding, to be compared with a crop's: float32 [texts, 512], L2 norm 1.

        Args:
            texts: such as "a red striped skirt", at most 256.

        Raises:
            OptionError: a text is empty or too long, or there are too many.
            FashionCropError: as `analyze`.
        """
        inputs = {"texts": _phrases("texts", texts)}
        return (await self._connection.infer(PIPELINE, inputs, ["text_embeddings"]))["text_embeddings"]

    async def depth_map(self, source: Source) -> NDArray[np.float32]:
        """Relative inverse depth of the whole photo: float32 [height, width] of the estimator's grid, larger is nearer.

        Raises:
            FashionCropError: as `analyze`.
        """
        photo = await read_photo(source, limits=self._fetch_limits)
        # A box of the caller's own keeps the detector out of it.
        inputs = {
            "image": _texts([photo.data]),
            "boxes_xyxy": np.zeros((0, 4), np.float32),
            "box_phrases": np.empty(0, np.object_),
        }
        return (await self._connection.infer(PIPELINE, inputs, ["depth_map"]))["depth_map"]

    async def server_identity(self) -> str:
        """JSON that changes whenever the server's pipeline or one of its models does; no photo is sent.

        Raises:
            FashionCropError: as `analyze`.
        """
        answer = await self._connection.infer(PIPELINE, {}, ["identity"])
        return str(answer["identity"][0].decode())

    async def default_vocabulary(self) -> tuple[str, ...]:
        """What the server looks for where a request brings no vocabulary.

        Raises:
            FashionCropError: as `analyze`.
        """
        return tuple(json.loads(await self.server_identity())["vocabulary"])

    async def is_ready(self) -> bool:
        """Does the server answer and call itself ready? Asked once, without patience."""
        return await self._connection.is_ready()

    async def served_models(self) -> tuple[ServedModel, ...]:
        """Every model of the server's repository and how it is.

        Raises:
            ModelControlError: the server does not tell.
            FashionCropError: as `analyze`.
        """
        return await self._connection.served_models()

    async def load_model(self, name: str) -> None:
        """Load a model, or load it anew.

        Raises:
            ModelControlError: the server does not take such orders, or the model cannot be loaded.
        """
        await self._connection.load(name)

    async def unload_model(self, name: str) -> None:
        """Unload a model, once its requests have ended.

        Raises:
            ModelControlError: the server does not take such orders.
        """
        await self._connection.unload(name)

    async def check(self) -> str:
        """The server's version, once its pipeline has every tensor that this client knows.

        Raises:
            ContractError: a tensor differs.
            FashionCropError: as `analyze`.
        """
        await self._connection.check(PIPELINE)
        return await self._connection.server_version()


class Client:
    """`AsyncClient` for synchronous code; may be used from several threads at a time.

    >>> with Client() as client:  # doctest: +SKIP
    ...     analysis = client.analyze("photo.jpg")
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        fetch_limits: FetchLimits | None = None,
    ) -> None:
        """See `AsyncClient`."""
        chosen = find_server_url(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fashioncrop", daemon=True)
        self._thread.start()
        self._process_id = os.getpid()
        self._client = AsyncClient(chosen, timeout_s=timeout_s, fetch_limits=fetch_limits)

    @property
    def url(self) -> str:
        """The server's gRPC address."""
        return self._client.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and end the thread."""
        if self._thread.is_alive() and self._process_id == os.getpid():
            self._run(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def analyze(self, source: Source, **options: Unpack[AnalyzeOptions]) -> Analysis:
        """See `AsyncClient.analyze`."""
        return self._run(self._client.analyze(source, **options))

    def depth_map(self, source: Source) -> NDArray[np.float32]:
        """See `AsyncClient.depth_map`."""
        return self._run(self._client.depth_map(source))

    def check(self) -> str:
        """See `AsyncClient.check`."""
        return self._run(self._client.check())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        problem = None
        if self._process_id != os.getpid():
            problem = "This client was made before a fork; make one in each process."
        elif self._loop.is_closed():
            problem = "This client is closed; make another."
        if problem is not None:
            work.close()
            raise RuntimeError(problem)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise CancelledError("The client was closed while the request was in flight.") from error
        except BaseException:  # Ctrl-C: the request must not go on unseen
            future.cancel()
            raise


def _option_tensors(options: AnalyzeOptions) -> dict[str, NDArray[Any]]:
    given: dict[str, Any] = dict(options)
    tensors: dict[str, NDArray[Any]] = {}
    for name in ("vocabulary", "box_phrases"):
        if name in given:
            tensors[name] = _phrases(name, given[name])
    for name in ("score_threshold", "iou_threshold", "crop_padding"):
        if name in given:
            tensors[name] = _number(name, given[name], np.float32)
    if "max_garments" in given:
        tensors["max_garments"] = _number("max_garments", given["max_garments"], np.int32)
    if "boxes_xyxy" in given:
        boxes = _numbers("boxes_xyxy", given["boxes_xyxy"], np.float32)
        tensors["boxes_xyxy"] = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if "box_scores" in given:
        tensors["box_scores"] = _numbers("box_scores", given["box_scores"], np.float32)
    return tensors


def _phrases(name: str, phrases: Any) -> NDArray[np.object_]:  # noqa: ANN401 - checked here
    given: list[Any] = list(phrases) if isinstance(phrases, Iterable) and not isinstance(phrases, str) else [None]
    if not all(isinstance(phrase, str) for phrase in given):
        raise OptionError(f"{name} must be a list of phrases, such as ['shirt', 'leather bag']; got {phrases!r}.")
    return _texts([phrase.encode("utf-8", "surrogatepass") for phrase in given])


def _number(name: str, value: Any, dtype: type[np.float32 | np.int32]) -> NDArray[Any]:  # noqa: ANN401 - checked here
    array = _numbers(name, value, dtype)
    if array.ndim:
        raise OptionError(f"{name} must be one number; got {value!r}.")
    return array.reshape(1)


def _numbers(name: str, values: Any, dtype: type[np.float32 | np.int32]) -> NDArray[Any]:  # noqa: ANN401 - checked here
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different length
        raise OptionError(f"{name} must be numbers: {error}") from error
    if array.dtype.kind not in "iuf":
        raise OptionError(f"{name} must be numbers; got {values!r}.")
    with np.errstate(all="ignore"):  # what does not fit becomes another number or infinite
        converted = array.astype(dtype)
    if dtype is np.int32 and not (converted == array).all():
        raise OptionError(f"{name} must be whole numbers of at most 32 bits; got {values!r}.")
    return converted


def _texts(values: Sequence[bytes]) -> NDArray[np.object_]:
    result = np.empty(len(values), np.object_)
    result[:] = values
    return result


def _analysis(answer: dict[str, NDArray[Any]], name: str, request_ms: float) -> Analysis:
    document = json.loads(answer["analysis"][0])
    document["photo"]["name"] = name
    document["timings_ms"]["request"] = request_ms
    for index, garment in enumerate(document["garments"]):
        garment["crop"] = {"box_xyxy": garment.pop("crop_box_xyxy")}
        if "crops" in answer:
            garment["crop"]["jpeg"] = answer["crops"][index]
        if "embeddings" in answer:
            garment["embedding"] = answer["embeddings"][index].tolist()
    try:
        return Analysis.model_validate(document)
    except ValidationError as error:
        raise ContractError(
            f"The server's analysis is not what this client reads: {error.errors()[0]['msg']} at "
            f"{error.errors()[0]['loc']}. Server and client are of different versions: update the older.",
            model=PIPELINE,
            tensor="analysis",
            expected="the fields of fashioncrop.Analysis",
            got=str(error.errors()[0]["loc"]),
        ) from error
