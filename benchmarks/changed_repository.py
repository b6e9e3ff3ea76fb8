"""A model repository with the engines of another and configurations of its own, to try settings without exporting."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import read_config

CONFIG_FILE = "config.pbtxt"


@dataclass(frozen=True)
class Change:
    """What one model's configuration is to say instead; None leaves it.

    Attributes:
        instances: processes that serve the model.
        max_batch_size: requests or items in one run.
        queue_delay_us: how long the server waits for more requests to run together.
        parameters: values by name, such as `intra_op_thread_count`.
    """

    instances: int | None = None
    max_batch_size: int | None = None
    queue_delay_us: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def linked_repository(source: Path, folder: Path) -> Path:
    """Make `folder` a repository with the models of `source`: configurations copied, all else by link.

    Raises:
        ModelFileError: `source` has no models, or `folder` cannot be written.
    """
    models = [path.parent for path in source.glob(f"*/{CONFIG_FILE}")]
    if not models:
        raise ModelFileError(f"{source} has no model with a {CONFIG_FILE}. Make its engines: fashioncrop-export")
    try:
        for model in models:
            own = folder / model.name
            own.mkdir(parents=True)
            for entry in model.iterdir():
                if entry.name == CONFIG_FILE:
                    shutil.copy2(entry, own)
                else:
                    (own / entry.name).symlink_to(entry.resolve())
    except OSError as error:
        raise ModelFileError(f"The model repository {folder} cannot be written: {error}.") from error
    return folder


def change(repository: Path, model: str, wanted: Change) -> None:
    """Rewrite the model's configuration in `repository`, which must be a `linked_repository`.

    Raises:
        ModelFileError: it has no such model.
    """
    config = read_config(repository, model)
    if wanted.instances is not None:
        for group in config.instance_group:
            group.count = wanted.instances
    if wanted.max_batch_size is not None:
        config.max_batch_size = wanted.max_batch_size
    if wanted.queue_delay_us is not None:
        config.dynamic_batching.max_queue_delay_microseconds = wanted.queue_delay_us
    for name, value in wanted.parameters.items():
        config.parameters[name].string_value = value
    write_config(repository, model, config)


def write_config(repository: Path, model: str, config: model_config_pb2.ModelConfig) -> None:
    """Write a configuration as the server reads it."""
    (repository / model / CONFIG_FILE).write_text(text_format.MessageToString(config), encoding="utf-8")
