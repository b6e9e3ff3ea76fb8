"""Which of a model's engines the server has loaded: the one that its configuration names.

`--model-config-name=int8` makes Triton read every model's `configs/int8.pbtxt`, and its `config.pbtxt` where there is
no such file. A model is not told that name, so it is read from the command line of the server, this process's parent.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

USUAL_FILE = "model.onnx"
_OPTION = "--model-config-name"
_FILE_NAME = re.compile(r'^\s*default_model_filename\s*:\s*"([^"]+)"', re.MULTILINE)
_SIDECARS = {"model.plan": "model.tensorrt.json"}


def config_name_of_server(command_line: Path | None = None) -> str | None:
    """The name that the server was started with; empty without one, None where the parent is no Triton server.

    Args:
        command_line: the parent's, as Linux shows it.
    """
    path = command_line or Path(f"/proc/{os.getppid()}/cmdline")
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return None
    if Path(words[0]).name != "tritonserver":
        return None
    name = ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, separator, value = word.partition("=")
        if option == _OPTION:
            name = value if separator else following
    return name


def served_file(model: Path, config_name: str) -> str:
    """The engine's file name by the configuration that Triton reads.

    Args:
        model: the model's folder.
        config_name: see `config_name_of_server`.
    """
    config = model / "configs" / f"{config_name}.pbtxt"
    if not config_name or not config.is_file():
        return USUAL_FILE
    found = _FILE_NAME.search(config.read_text(encoding="utf-8"))
    return found[1] if found else USUAL_FILE


def variants(model: Path, folder: Path) -> list[str]:
    """Engines in `folder` beside the usual one that some configuration of the model names."""
    names = {served_file(model, path.stem) for path in (model / "configs").glob("*.pbtxt")}
    return sorted(name for name in names - {USUAL_FILE} if (folder / name).is_file())


def engine_digest(engine: Path, source_digest: str) -> str:
    """`sha256:` and the digest of an engine that was made of the usual one.

    Args:
        engine: the file.
        source_digest: of the usual engine beside it, by its model.json.

    Raises:
        FileNotFoundError, ValueError: it is missing, or was made of another one; the message says what to do.
    """
    again = "run fashioncrop-export with its --variant"
    try:
        with engine.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise FileNotFoundError(f"{engine} cannot be read ({error.strerror}); {again}") from error
    sidecar = engine.with_name(_SIDECARS.get(engine.name, f"{engine.stem}.json"))
    if sidecar.is_file():
        made_of = json.loads(sidecar.read_text(encoding="utf-8")).get("source_digest")
        if made_of != source_digest:
            raise ValueError(f"{engine} was made of another {USUAL_FILE} than the one beside it; {again}")
    return digest
