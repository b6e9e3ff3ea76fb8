"""Writes a trained model in the layout of published checkpoints."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from fashioncrop_export.checkpoints import MARKER_FILE


def save_checkpoint(
    folder: Path, model: PreTrainedModel, *, name: str, processor: str, preprocessing: Mapping[str, object]
) -> None:
    """Configuration, fp16 weights, preprocessing, and the marker that says what it is; a tokeniser is the caller's."""
    folder.mkdir(parents=True, exist_ok=True)
    stored: Any = copy.deepcopy(model)  # transformers' decorators hide what `to` takes
    stored.to("cpu", torch.float16).save_pretrained(folder)
    content = {
        "image_processor_type": processor,
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        **preprocessing,
    }
    marker = {"name": name, "trained": True, "license": "Apache-2.0", "domain": "drawn scenes"}
    for file, entries in (("preprocessor_config.json", content), (MARKER_FILE, marker)):
        (folder / file).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
