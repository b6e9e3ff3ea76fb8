"""Is there memory enough? Asked before an export or a verification begins, because the kernel kills without a word."""

from __future__ import annotations

from pathlib import Path

from fashioncrop.errors import DeploymentError
from fashioncrop_export import shipped
from fashioncrop_export.checkpoints import WEIGHTS_FILE, Family

# Measured at full size, largest resident set: 3.2 GiB to export vocabulary_encoder and 2.5 GiB garment_detector (of one
# checkpoint of 0.64 GiB), 2.9 GiB image_embedder (0.56 GiB), 1.2 GiB depth_estimator (0.09 GiB); 3.6 GiB to verify all.
_BASE_BYTES = 800 * 2**20
_TIMES_WEIGHTS = 5
# A few layers of the published architectures.
_TINY_BYTES = 8 * 2**20
# The published files; random weights are of the same architectures.
_FULL_BYTES = {
    Family.GROUNDING_DINO: 689_359_096,
    Family.CLIP: 605_157_884,
    Family.DEPTH_ANYTHING: 99_173_660,
}


class TooLittleMemoryError(DeploymentError):
    """There is less memory than the work needs.

    Attributes:
        needed_bytes: how much it needs.
        available_bytes: how much there is.
    """

    def __init__(self, message: str, *, needed_bytes: int, available_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes


def weights_bytes(models: str, family: Family) -> int:
    """Size of a checkpoint's weights before anything of it is loaded or downloaded.

    Args:
        models: `full`, `random`, `tiny`, `paperdoll` or a directory.
        family: which of the three.
    """
    if models in ("full", "random"):
        return _FULL_BYTES[family]
    if models == "tiny":
        return _TINY_BYTES
    directory = shipped.package_folder() / shipped.CHECKPOINTS if models == "paperdoll" else Path(models)
    try:
        return (directory / family / WEIGHTS_FILE).stat().st_size
    except OSError:
        return 0  # that there is none is told by who reads it


def needed_bytes(models: str, family: Family) -> int:
    """How much memory it takes to export or verify the models of a checkpoint."""
    return _BASE_BYTES + _TIMES_WEIGHTS * weights_bytes(models, family)


def available_bytes(proc: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What may still be used: the machine's, or what the container's limit leaves; None where nobody tells.

    Args:
        proc: the kernel's account of memory.
        cgroup: where the limits are mounted (version 2).
    """
    found = []
    try:
        lines = dict(line.split(":", 1) for line in proc.read_text(encoding="utf-8").splitlines() if ":" in line)
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        limit = (cgroup / "memory.max").read_text(encoding="utf-8").strip()
        used = int((cgroup / "memory.current").read_text(encoding="utf-8"))
        counts = dict(line.split() for line in (cgroup / "memory.stat").read_text(encoding="utf-8").splitlines())
        if limit != "max":
            found.append(int(limit) - used + int(counts.get("inactive_file", 0)))  # pages the kernel gives back
    except (OSError, ValueError):
        pass
    return min(found) if found else None


def require_memory(models: str, family: Family, work: str) -> None:
    """Refuse work that would not fit.

    Args:
        models: where the checkpoint comes from.
        family: which one.
        work: what is about to begin, for the sentence.

    Raises:
        TooLittleMemoryError: says how much is needed and how much there is.
    """
    needed, available = needed_bytes(models, family), available_bytes()
    if available is not None and available < needed:
        raise TooLittleMemoryError(
            f"{work} needs about {needed / 2**30:.1f} GiB of memory, and {available / 2**30:.1f} GiB are available. "
            "End other programs, raise the container's limit, or do it on a larger machine and copy the files.",
            needed_bytes=needed,
            available_bytes=available,
        )
