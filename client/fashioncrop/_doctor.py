"""What is wrong with a set-up, and what to do about it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from fashioncrop import plans
from fashioncrop._client import AsyncClient, find_server_url
from fashioncrop._embedded.installation import find_installation
from fashioncrop._embedded.state import default_state_folder
from fashioncrop.errors import FashionCropError
from fashioncrop.model_repository import (
    PIPELINE,
    Role,
    default_repository,
    engine_folder,
    read_config,
    shipped_repository,
)

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where Triton keeps its tensors
_LEAST_SHARED_MEMORY_BYTES = 512 * 2**20
_LEAST_DISK_BYTES = 4 * 2**30


class Outcome(StrEnum):
    """How a check ended."""

    WELL = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        subject: what was looked at.
        outcome: see `Outcome`.
        words: what was found, and what to do where something is wrong.
    """

    subject: str
    outcome: Outcome
    words: str


def examine(url: str | None = None, repository: Path | None = None) -> list[Finding]:
    """Look at the installation, the model repository and the server; never raises."""
    chosen = (repository or default_repository()).resolve()
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("embedded server", _installation),
        ("shared memory", _shared_memory),
        ("disk", lambda: _disk(chosen)),
        ("model configurations", lambda: _configurations(chosen)),
        ("engines", lambda: _engines(chosen)),
        *([("TensorRT engines", lambda: _plans(chosen))] if plans.plans_in(chosen) else []),
        ("server", lambda: _server(url)),
    ]
    findings = []
    for subject, check in checks:
        try:
            finding = check()
        except FashionCropError as error:
            finding = Finding(subject, Outcome.WRONG, str(error))
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding too
            finding = Finding(subject, Outcome.WRONG, f"cannot be looked at: {type(error).__name__}: {error}")
        if url is not None and finding.outcome is Outcome.WRONG and subject != "server":
            finding = replace(finding, outcome=Outcome.WARNING)  # another machine serves; this one need not
        findings.append(finding)
    return findings


def _python() -> Finding:
    return Finding(
        "python",
        Outcome.WELL,
        f"fashioncrop {importlib.metadata.version('fashioncrop')}, Python {platform.python_version()} {sys.executable}",
    )


def _installation() -> Finding:
    installation = find_installation()
    version = importlib.metadata.version("nvidia-pytriton")
    return Finding("embedded server", Outcome.WELL, f"nvidia-pytriton {version}, {installation.server}")


def _shared_memory() -> Finding:
    free = shutil.disk_usage(_SHARED_MEMORY).free
    if free < _LEAST_SHARED_MEMORY_BYTES:
        return Finding(
            "shared memory",
            Outcome.WARNING,
            f"{_SHARED_MEMORY} has {free >> 20} MiB free; large photos need 512. In Docker: --shm-size=2g.",
        )
    return Finding("shared memory", Outcome.WELL, f"{_SHARED_MEMORY} has {free >> 20} MiB free")


def _disk(repository: Path) -> Finding:
    there = next(folder for folder in (repository, *repository.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < _LEAST_DISK_BYTES:
        return Finding(
            "disk",
            Outcome.WARNING,
            f"{free >> 20} MiB free beside {repository}; full-size engines need 4 GiB to be made.",
        )
    return Finding("disk", Outcome.WELL, f"{free >> 30} GiB free")


def _configurations(repository: Path) -> Finding:
    for model in (PIPELINE, *Role):
        if read_config(repository, model) != read_config(shipped_repository(), model):
            return Finding(
                "model configurations",
                Outcome.WARNING,
                f"{repository / model / 'config.pbtxt'} differs from the one that came with this package.",
            )
    return Finding("model configurations", Outcome.WELL, f"{repository}")


def _engines(repository: Path) -> Finding:
    missing, random, narrow = [], [], {}
    for role in Role:
        try:
            about = json.loads((engine_folder(repository, role) / "model.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            missing.append(role)
            continue
        if not about["trained"]:
            random.append(role)
        elif about.get("domain"):
            narrow[role] = about["domain"]
    if missing:
        return Finding(
            "engines",
            Outcome.WRONG,
            f"{repository} has no engine for {', '.join(missing)}. Run: fashioncrop-export --models full",
        )
    if random:
        return Finding("engines", Outcome.WARNING, f"random weights, answers mean nothing: {', '.join(random)}")
    if narrow:
        domains = ", ".join(sorted(set(narrow.values())))
        return Finding(
            "engines",
            Outcome.WARNING,
            f"trained on {domains} only, photographs mean little to them: {', '.join(narrow)}",
        )
    return Finding("engines", Outcome.WELL, f"all {len(Role)} are there")


def _plans(repository: Path) -> Finding:
    machine, folders = plans.this_machine(), plans.plans_in(repository)
    for folder in folders:
        words = plans.problem(folder, machine)
        if words is not None:
            return Finding("TensorRT engines", Outcome.WRONG, words)
    if machine.gpu is None:
        words = f"{len(folders)} are whole; whether they fit is not known here, where no GPU is"
        return Finding("TensorRT engines", Outcome.WARNING, words)
    return Finding("TensorRT engines", Outcome.WELL, f"{len(folders)} are whole and built for {machine.gpu}")


def _server(url: str | None) -> Finding:
    async def ask() -> str:
        async with AsyncClient(find_server_url(url), timeout_s=5) as client:
            version = await client.check()
            return f"Triton {version} at {client.url} serves {PIPELINE}"

    running = default_state_folder().running()
    words = asyncio.run(ask())
    if url is None and running is not None and running.problem is not None:
        return Finding("server", Outcome.WARNING, f"{words}; {running.phase}: {running.problem}")
    return Finding("server", Outcome.WELL, words)
