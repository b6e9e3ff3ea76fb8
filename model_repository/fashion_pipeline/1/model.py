"""Triton's side of the pipeline: tensors in, a pool of threads, exactly one answer out.

`execute` hands every request's response sender to the pool and returns at once, so that one instance works on many
photos; the documented `async def execute` takes one at a time. The price is that Triton no longer sees a queue: what is
in flight is bounded here, and the latency histogram is kept here.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from metrics import RequestMetrics
from photo import Limits
from pipeline import FashionPipeline, Settings
from problems import Code, ProblemError, shortened
from served_engines import config_name_of_server
from stopwatch import Stopwatch

_NOT_SERVING = (
    "is not healthy",
    "is not ready",
    "not found",
    "is unloading",
    "no available versions",
    "at least one version",
)
"""What the server says of a model that is being reloaded, or whose process died."""


class TritonPythonModel:
    """The name that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the configuration and open the pool. Raising here fails the model's load with the message."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        widths = {output["name"]: int(output["dims"][-1]) for output in config["output"]}
        workers = int(parameters["workers"])
        self._max_in_flight = int(parameters["max_in_flight"])
        settings = Settings(
            limits=Limits(max_bytes=int(parameters["max_image_bytes"]), max_pixels=int(parameters["max_image_pixels"])),
            kept_vocabularies=int(parameters["kept_vocabularies"]),
            max_vocabulary_phrases=int(parameters["max_vocabulary_phrases"]),
            max_vocabulary_passes=int(parameters["max_vocabulary_passes"]),
            workers=workers,
            embedding_width=widths["embeddings"],
        )
        try:
            self._pipeline = FashionPipeline(
                Path(args["model_repository"]).parent, settings, call_model, config_name_of_server()
            )
        except Exception as error:  # tokenizers raises plain Exception
            raise pb_utils.TritonModelException(f"{error}") from error
        self._free = BoundedSemaphore(self._max_in_flight)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="photo")
        self._metrics = RequestMetrics()

    def execute(self, requests: list[Any]) -> None:
        """Take each request, or turn it away; answers follow from the pool."""
        for request in requests:
            sender = request.get_response_sender()
            if not self._free.acquire(blocking=False):
                _send(
                    sender,
                    _error(
                        Code.UNAVAILABLE,
                        f"The server has {self._max_in_flight} photos in flight and takes no more. Try again.",
                    ),
                )
                continue
            watch = Stopwatch()
            self._metrics.taken()
            try:
                # The request's memory is the server's again once this returns.
                tensors = {tensor.name(): _copied(tensor) for tensor in request.inputs()}
                self._pool.submit(self._work, sender, tensors, frozenset(request.requested_output_names()), watch)
            except Exception as error:  # noqa: BLE001 - a raise from here would fail every request of the batch
                self._answer(sender, _error(Code.INTERNAL, f"The request could not be taken: {error}."), watch)

    def finalize(self) -> None:
        """Answer what is in flight, then stop."""
        self._pool.shutdown(wait=True)
        self._pipeline.close()

    def _work(
        self,
        sender: Any,  # noqa: ANN401 - pb_utils types are not published
        tensors: dict[str, NDArray[Any]],
        wanted: frozenset[str],
        watch: Stopwatch,
    ) -> None:
        try:
            answer = self._pipeline.answer(tensors, wanted, sender.is_cancelled, watch)
            response = pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in answer.items()])
        except ProblemError as problem:
            response = _error(problem.code, problem.sentence)
        except Exception as error:  # noqa: BLE001 - exactly one answer, whatever happens
            pb_utils.Logger.log_error(traceback.format_exc())
            response = _error(Code.INTERNAL, f"The pipeline failed: {type(error).__name__}: {error}. Please report it.")
        self._answer(sender, response, watch)

    def _answer(self, sender: Any, response: Any, watch: Stopwatch) -> None:  # noqa: ANN401 - pb_utils types
        """The one answer of a request; its place is free before the caller can come back with the next."""
        self._free.release()
        _send(sender, response)
        self._metrics.answered(watch.started_s)


def call_model(model: str, inputs: Mapping[str, NDArray[Any]], outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Ask another model of this server. See `pipeline.CallModel`."""
    request = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=list(outputs),
        inputs=[pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in inputs.items()],
    )
    try:
        response = request.exec()
    except pb_utils.TritonModelException as error:
        raise _model_problem(model, str(error)) from error
    if response.has_error():
        raise _model_problem(model, response.error().message())
    return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy().copy() for name in outputs}


def _model_problem(model: str, message: str) -> ProblemError:
    if any(words in message for words in _NOT_SERVING):
        return ProblemError(Code.UNAVAILABLE, f"The model {model} is not serving just now ({message}). Try again.")
    return ProblemError(Code.INTERNAL, f"The model {model} failed: {message}")


def _copied(tensor: Any) -> NDArray[Any]:  # noqa: ANN401 - pb_utils.Tensor has no published type
    array: NDArray[Any] = tensor.as_numpy()
    return array.copy()


def _error(code: Code, sentence: str) -> Any:  # noqa: ANN401 - pb_utils.InferenceResponse
    error = pb_utils.TritonError(shortened(sentence), getattr(pb_utils.TritonError, code))
    return pb_utils.InferenceResponse(error=error)


def _send(sender: Any, response: Any) -> None:  # noqa: ANN401 - pb_utils types
    try:
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception as error:  # noqa: BLE001 - the caller has gone; the next request must not suffer
        pb_utils.Logger.log_warn(f"An answer could not be sent: {error}")
