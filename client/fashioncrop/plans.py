"""Is a TensorRT engine one that this machine can run? Asked before Triton starts, answered in one sentence.

An engine runs only on the kind of GPU that it was built on, with the TensorRT that built it. Export writes a
fingerprint beside each engine; here it is compared with the GPU and the TensorRT library of the machine.

This file needs nothing but Python's own library, so that it can be run inside NVIDIA's image, where the package is not:

    docker compose run --rm -v ./client/fashioncrop/plans.py:/plans.py:ro --entrypoint python3 server /plans.py /models
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAN_FILE = "model.plan"
FINGERPRINT_FILE = "model.tensorrt.json"
SCHEMA = 1
# Numbers of CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and ..._MINOR in the driver's header.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_TENSORRT_MAJORS = range(20, 9, -1)


@dataclass(frozen=True)
class Machine:
    """What an engine depends on.

    Attributes:
        gpu: the GPU's name as its driver tells it; None without one.
        compute_capability: `9.0`, say; None without a GPU.
        tensorrt: the version of the TensorRT library, `10.13.3`; None where none is installed here.
    """

    gpu: str | None
    compute_capability: str | None
    tensorrt: str | None

    def __str__(self) -> str:
        gpu = f"{self.gpu} (compute capability {self.compute_capability})" if self.gpu else "no GPU"
        return f"{gpu} and {f'TensorRT {self.tensorrt}' if self.tensorrt else 'no TensorRT'}"


def this_machine() -> Machine:
    """Ask the driver and the library; never fails."""
    gpu, capability = _first_gpu()
    return Machine(gpu, capability, _tensorrt_version())


def release(version: str) -> str:
    """The part of a TensorRT version that an engine depends on: `10.13.3` of `10.13.3.9.post1`."""
    return ".".join(version.split(".")[:3])


def problem(folder: Path, machine: Machine) -> str | None:
    """Why the engine in `folder` cannot be served by this machine, with what to do; None where it can.

    What the machine does not tell (TensorRT is in the image, this is the host) is not held against the engine.

    Args:
        folder: version 1 of a model, which holds `model.plan`.
        machine: what is here.
    """
    plan = folder / PLAN_FILE
    role = folder.parent.name
    try:
        about: dict[str, Any] = json.loads((folder / FINGERPRINT_FILE).read_text(encoding="utf-8"))
        built = Machine(about["gpu"], about["compute_capability"], about["tensorrt"])
        digests = about["digest"], about["source_digest"]
        command = f"fashioncrop-export --models {about['models']} --variant tensorrt --only {role}"
        again = f"Build it again on this machine: {command}"
        if about["schema"] != SCHEMA:
            return f"{plan} was built by another version of fashioncrop. {again}"
    except (OSError, ValueError, KeyError, TypeError):
        return (
            f"{plan} has no {FINGERPRINT_FILE} beside it that says what it was built for, so it is not trusted. Build "
            f"it again: fashioncrop-export --models ... --variant tensorrt --only {role}"
        )
    if _digest(plan) != digests[0]:
        return f"{plan} is not the engine that {FINGERPRINT_FILE} tells of; it may be half written. {again}"
    if _source_digest(folder) != digests[1]:
        return f"{plan} was built from another export than the model.onnx beside it. {again}"
    same_gpu = machine.gpu is None or (machine.gpu, machine.compute_capability) == (built.gpu, built.compute_capability)
    same_tensorrt = machine.tensorrt is None or release(machine.tensorrt) == release(str(built.tensorrt))
    if not (same_gpu and same_tensorrt):
        return f"{plan} was built for {built}, and here are {machine}. {again}"
    return None


def plans_in(repository: Path) -> list[Path]:
    """The folders of a model repository that hold an engine."""
    return sorted(path.parent for path in repository.glob(f"*/1/{PLAN_FILE}"))


def _source_digest(folder: Path) -> str | None:
    """Digest of model.onnx, by its model.json."""
    try:
        digest = json.loads((folder / "model.json").read_text(encoding="utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(digest)


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return None


def _first_gpu() -> tuple[str | None, str | None]:
    """Name and compute capability, from the driver's own library."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        numbers = ctypes.c_int(), ctypes.c_int()
        failed = (
            cuda.cuInit(0)
            or cuda.cuDeviceGet(ctypes.byref(device), 0)
            or cuda.cuDeviceGetName(name, len(name), device)
            or cuda.cuDeviceGetAttribute(ctypes.byref(numbers[0]), _CAPABILITY_MAJOR, device)
            or cuda.cuDeviceGetAttribute(ctypes.byref(numbers[1]), _CAPABILITY_MINOR, device)
        )
        if failed:
            return None, None
    except (OSError, AttributeError):
        return None, None
    return name.value.decode(errors="replace"), f"{numbers[0].value}.{numbers[1].value}"


def _tensorrt_version() -> str | None:
    """From the library that Triton would load; since version 10 it says major * 10000 + minor * 100 + patch."""
    for name in (*(f"libnvinfer.so.{major}" for major in _TENSORRT_MAJORS), ctypes.util.find_library("nvinfer")):
        if name is None:
            continue
        try:
            number = int(ctypes.CDLL(name).getInferLibVersion())
        except (OSError, AttributeError):
            continue
        return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
    return None


def main(arguments: list[str]) -> int:
    """Look at every engine of a model repository: a line each, exit code 1 where one cannot be served here."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: plans.py MODEL_REPOSITORY\n")
        return 2
    machine, folders = this_machine(), plans_in(Path(arguments[0]))
    unknown = machine.gpu is None or machine.tensorrt is None
    unsaid = f"nothing can be said of it here, with {machine}" if unknown else None
    problems = [problem(folder, machine) or unsaid for folder in folders]
    for folder, words in zip(folders, problems, strict=True):
        sys.stdout.write(f"{folder.parent.name}: {words or 'fits this machine'}\n")
    if not folders:
        sys.stdout.write(f"{arguments[0]} holds no {PLAN_FILE}.\n")
    return int(any(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
