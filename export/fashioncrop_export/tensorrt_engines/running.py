"""Runs an engine on this machine's GPU, with torch holding the memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashioncrop.plans import PLAN_FILE, problem
from fashioncrop_export.tensorrt_engines.errors import EngineUnusableError, TensorRTMissingError
from fashioncrop_export.tensorrt_engines.library import load_tensorrt, machine_with


def check_usable(folder: Path) -> None:
    """Refuse an engine that cannot be run here, before it is loaded.

    Args:
        folder: version 1 of a model.

    Raises:
        EngineUnusableError: the sentence says why, and how to build it again.
    """
    try:
        machine = machine_with(load_tensorrt())
    except TensorRTMissingError as error:
        raise EngineUnusableError(str(error)) from error
    words = problem(folder, machine)
    if words is not None:
        raise EngineUnusableError(words)


class PlanRunner:
    """An engine, loaded.

    Args:
        folder: version 1 of a model, which holds `model.plan` and its fingerprint.

    Raises:
        EngineUnusableError: it cannot be run here.
    """

    def __init__(self, folder: Path) -> None:
        check_usable(folder)
        import torch  # noqa: PLC0415 - slow to import

        if not torch.cuda.is_available():
            raise EngineUnusableError(
                f"torch {torch.__version__} cannot use the GPU, and it holds the memory of an engine that is run here. "
                "Install a build of torch for CUDA."
            )
        self._torch, self._tensorrt = torch, load_tensorrt()
        self._logger = self._tensorrt.Logger(self._tensorrt.Logger.ERROR)
        runtime = self._tensorrt.Runtime(self._logger)
        self._engine = runtime.deserialize_cuda_engine((folder / PLAN_FILE).read_bytes())
        if self._engine is None:
            raise EngineUnusableError(f"TensorRT {self._tensorrt.__version__} cannot load {folder / PLAN_FILE}.")
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
        is_input = {name: self._engine.get_tensor_mode(name) == self._tensorrt.TensorIOMode.INPUT for name in names}
        self._inputs = [name for name in names if is_input[name]]
        self._outputs = [name for name in names if not is_input[name]]

    def __call__(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs for the inputs, with the first profile that the shapes fit into.

        Raises:
            EngineUnusableError: no profile takes shapes like these, or the engine fails.
        """
        torch = self._torch
        stream = torch.cuda.current_stream().cuda_stream
        self._context.set_optimization_profile_async(self._profile(feed), stream)
        held = {}
        for name in self._inputs:
            held[name] = torch.from_numpy(np.ascontiguousarray(feed[name])).cuda()
            self._context.set_input_shape(name, tuple(held[name].shape))
            self._context.set_tensor_address(name, held[name].data_ptr())
        for name in self._outputs:
            shape = tuple(self._context.get_tensor_shape(name))
            dtype = torch.from_numpy(np.empty(0, self._tensorrt.nptype(self._engine.get_tensor_dtype(name)))).dtype
            held[name] = torch.empty(shape, dtype=dtype, device="cuda")
            self._context.set_tensor_address(name, held[name].data_ptr())
        if not self._context.execute_async_v3(stream):
            raise EngineUnusableError("The TensorRT engine failed on these inputs.")
        torch.cuda.synchronize()
        return {name: held[name].cpu().numpy() for name in self._outputs}

    def _profile(self, feed: Mapping[str, NDArray[Any]]) -> int:
        for profile in range(self._engine.num_optimization_profiles):
            if all(self._fits(name, feed[name].shape, profile) for name in self._inputs):
                return profile
        shapes = {name: list(feed[name].shape) for name in self._inputs}
        raise EngineUnusableError(f"The TensorRT engine was not built for shapes like {shapes}.")

    def _fits(self, name: str, shape: tuple[int, ...], profile: int) -> bool:
        low, _, high = self._engine.get_tensor_profile_shape(name, profile)
        return all(least <= size <= most for least, size, most in zip(low, shape, high, strict=True))
