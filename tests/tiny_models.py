"""The tiny engines that tests of every folder run on: real architectures, a few layers, seeded weights."""

from __future__ import annotations

from pathlib import Path

from fashioncrop_export.exporting import Request, export


def tiny_checkpoints(repository: Path) -> Path:
    """Where the checkpoints of `repository`'s engines are kept: beside it, since Triton would take them for models."""
    return repository.with_name(f"{repository.name}-checkpoints")


def make_tiny_repository(target: Path) -> Path:
    """Write a complete model repository into `target`, which is made if need be; seconds, and less the second time."""
    export(Request(models="tiny", repository=target, cache=tiny_checkpoints(target)))
    return target
