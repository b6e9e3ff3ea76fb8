"""Where a measurement was made, without which its figures say little."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "fashioncrop",
    "numpy",
    "nvidia-pytriton",
    "onnxruntime",
    "onnxruntime-gpu",
    "opencv-python-headless",
    "pillow",
    "pycocotools",
    "tokenizers",
    "tritonclient",
)
_GIT_WITHIN_S = 10


def environment(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Machine, versions and commit as JSON values; what cannot be told is None, a missing package is left out.

    Args:
        packages: names of distributions whose versions matter.
    """
    versions = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cpu_model": cpu_model(),
        "cpu_cores": os.cpu_count(),
        "cpu_cores_allowed": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": versions,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_is_clean": None if (status := _git("status", "--porcelain")) is None else not status,
    }


def load_average() -> list[float]:
    """Processes that ran or waited over the last 1, 5 and 15 minutes: what else the machine was busy with."""
    return [round(value, 2) for value in os.getloadavg()]


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """The processor's name, as the kernel tells it."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == "model name")
    return next(names, None) or platform.processor() or None


def _git(*words: str) -> str | None:
    """What git says of the checkout that this file is in; None without git or outside of one."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(
            [git, *words],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=_GIT_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
