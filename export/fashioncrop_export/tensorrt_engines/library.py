"""The TensorRT library itself: is it there, new enough, and is there a GPU?

Written for 10.13 and later and for 11, whose Python interfaces agree in everything that is used here. 11 builds
strongly typed networks only and takes the flag for it without effect; 10 needs it.
"""

from __future__ import annotations

import importlib
from typing import Any

from fashioncrop.plans import Machine, release, this_machine
from fashioncrop_export.tensorrt_engines.errors import TensorRTMissingError

OLDEST = (10, 13)
_INSTALL = "pip install 'fashioncrop[gpu]'"
_WHERE = (
    "An engine runs only with the TensorRT that built it: work in NVIDIA's TensorRT image of the same month as the "
    "server's (nvcr.io/nvidia/tensorrt:YY.MM-py3)"
)


def load_tensorrt() -> Any:  # noqa: ANN401 - its Python package has no types
    """Import TensorRT.

    Raises:
        TensorRTMissingError: it is not installed, cannot be loaded, or is too old.
    """
    try:
        tensorrt = importlib.import_module("tensorrt")
    except ModuleNotFoundError as error:
        raise TensorRTMissingError(f"TensorRT is not installed ({error.name}). {_WHERE}, or run: {_INSTALL}") from error
    except (ImportError, OSError) as error:
        raise TensorRTMissingError(f"TensorRT is installed and cannot be loaded: {error}. {_WHERE}.") from error
    version = str(tensorrt.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise TensorRTMissingError(
            f"TensorRT {version} is too old: {OLDEST[0]}.{OLDEST[1]} or later is needed for strongly typed networks of "
            f"these graphs. {_WHERE}."
        )
    return tensorrt


def machine_with(tensorrt: Any) -> Machine:  # noqa: ANN401 - as above
    """This machine with that TensorRT.

    Raises:
        TensorRTMissingError: there is no GPU.
    """
    machine = this_machine()
    if machine.gpu is None:
        raise TensorRTMissingError(
            f"TensorRT {tensorrt.__version__} builds and runs engines on an NVIDIA GPU, and the driver shows none here "
            "(nvidia-smi lists what it shows; containers need --gpus all). Run this command on the machine that will "
            "serve."
        )
    return Machine(machine.gpu, machine.compute_capability, release(str(tensorrt.__version__)))
