"""A Python-based Triton backend named `onnxruntime`: the embedded server's stand-in for the native one.

Triton looks for `<backend-directory>/onnxruntime/model.py` where the production image has its own shared library, so
the same config.pbtxt (`backend: "onnxruntime"`) loads on both. Like the native backend it checks the graph against the
configuration at load, and runs all requests of one call as one batch.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from interface import differences
from numpy.typing import NDArray
from session_settings import providers, run_options, session_options

ort.set_default_logger_severity(3)  # errors only: warnings about constant folding would fill the server's log


_MOST_LETTERS = 900  # gRPC carries the message in a header of at most 8 KiB


class TritonPythonModel:
    """The name that Triton's Python backend looks for."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:  # noqa: ANN401 - Triton's type
        """Leave the configuration as it is written: this would win over config.pbtxt."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph and check it. Raising here fails the model's load with the message."""
        self._config = json.loads(args["model_config"])
        version_folder = Path(args["model_repository"]) / args["model_version"]
        path = version_folder / (self._config.get("default_model_filename") or "model.onnx")
        if path.is_dir():  # external data beside the graph
            path = path / "model.onnx"
        if not path.is_file():
            raise pb_utils.TritonModelException(f"{path} does not exist; run fashioncrop-export")
        try:
            options = session_options(self._config)
            where = providers(self._config, args["model_instance_kind"], int(args["model_instance_device_id"]))
            self._session = ort.InferenceSession(path, options, providers=where)
            self._run_options = run_options(self._config)
        except ValueError as error:
            raise pb_utils.TritonModelException(f"{args['model_name']}: {error}") from error
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise pb_utils.TritonModelException(
                f"{path} is not a model that ONNX Runtime {ort.__version__} can load; run fashioncrop-export --force. "
                f"({error})"
            ) from error
        found = differences(self._config, self._session.get_inputs(), self._session.get_outputs())
        if found:
            raise pb_utils.TritonModelException(f"{path} is not what config.pbtxt declares: {'; '.join(found)}")
        self._batched = int(self._config["max_batch_size"]) > 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """One run for all requests of equal shapes, in the order of the requests."""
        responses: list[Any] = []
        inputs = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        for _, group in groupby(range(len(requests)), key=lambda index: _shapes(inputs[index], self._batched)):
            members = list(group)
            names = [[*requests[index].requested_output_names()] for index in members]
            try:
                responses += self._run([inputs[index] for index in members], names)
            except Exception as error:  # noqa: BLE001 - onnxruntime's own exceptions share no base class
                responses += [_error(error) for _ in members]
        return responses

    def _run(self, inputs: list[dict[str, NDArray[Any]]], names: list[list[str]]) -> list[Any]:
        wanted = sorted({name for one in names for name in one})
        if len(inputs) == 1:
            feed = inputs[0]
        else:
            feed = {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]}
        outputs = dict(zip(wanted, self._session.run(wanted, feed, self._run_options), strict=True))
        responses, start = [], 0
        for one, one_names in zip(inputs, names, strict=True):
            stop = start + len(next(iter(one.values()))) if self._batched else None
            tensors = [pb_utils.Tensor(name, outputs[name][start:stop]) for name in one_names]
            responses.append(pb_utils.InferenceResponse(tensors))
            start = stop or 0
        return responses


def _shapes(inputs: dict[str, NDArray[Any]], batched: bool) -> Any:  # noqa: ANN401, FBT001 - any hashable
    """Requests of one key can be concatenated on the batch axis; without one, every request stands alone."""
    if not batched:
        return id(inputs)
    return sorted((name, array.shape[1:]) for name, array in inputs.items())


def _error(error: Exception) -> Any:  # noqa: ANN401 - pb_utils.InferenceResponse
    """A tensor that the graph does not take is the caller's fault; all else is the server's."""
    is_input = type(error).__name__ == "InvalidArgument"
    code = pb_utils.TritonError.INVALID_ARG if is_input else pb_utils.TritonError.INTERNAL
    words = str(error)[:_MOST_LETTERS]
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"ONNX Runtime: {words}", code))
