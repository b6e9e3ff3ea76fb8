"""Loads transformers' own models from a checkpoint folder: the references that graphs are compared with."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedModel

from fashioncrop.errors import ModelFileError
from fashioncrop_export.checkpoints import Checkpoint
from fashioncrop_export.quiet import quiet_transformers

Model = TypeVar("Model", bound=PreTrainedModel)

_SHOWN_KEYS = 3


class Originals:
    """The models that one export needs, each loaded once; those of another checkpoint are let go first."""

    def __init__(self) -> None:
        self._checkpoint: Checkpoint | None = None
        self._models: dict[type[PreTrainedModel], PreTrainedModel] = {}

    def load(self, checkpoint: Checkpoint, model_class: type[Model]) -> Model:
        """The pristine model, in eval mode, with transformers' default attention.

        Raises:
            ModelFileError: the weights do not fit the configuration, or are damaged.
        """
        if checkpoint is not self._checkpoint:
            self._models.clear()
            self._checkpoint = checkpoint
        model = self._models.get(model_class)
        if not isinstance(model, model_class):
            model = self._models[model_class] = _load(checkpoint, model_class)
        return model


def _load(checkpoint: Checkpoint, model_class: type[Model]) -> Model:
    try:
        with quiet_transformers():
            loaded: Any = model_class.from_pretrained(
                checkpoint.folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                # Refused below with their names; transformers' own error only points to a table in the log.
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelFileError(f"{checkpoint.folder} cannot be loaded as {model_class.__name__}: {reason}") from error
    model, report = loaded
    if report["missing_keys"]:
        missing = _shown(report["missing_keys"])
        raise ModelFileError(f"{checkpoint.folder} lacks weights that {model_class.__name__} needs: {missing}.")
    if report["mismatched_keys"]:
        mismatched = _shown([f"{key} {list(got)} for {list(want)}" for key, got, want in report["mismatched_keys"]])
        raise ModelFileError(f"{checkpoint.folder} has weights that do not fit its config.json: {mismatched}.")
    pristine: Model = model.eval()
    return pristine


def _shown(keys: Collection[str]) -> str:
    shown = ", ".join(sorted(keys)[:_SHOWN_KEYS])
    return f"{shown} and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else shown


def with_eager_attention(model: Model) -> Model:
    """A copy whose attention is plain matrix products: cleaner graphs, no guards against empty rows.

    A copy, because `eager` changes what transformers' own forward computes where it passes boolean masks
    (GroundingDINO's BERT adds them instead of masking): the reference has to keep the default.
    """
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    return eager


def tokenizer_of(checkpoint: Checkpoint) -> Tokenizer:
    """The checkpoint's tokeniser in the `tokenizers` library's own format, without truncation and padding.

    Raises:
        ModelFileError: there is none, or it cannot be read.
    """
    try:
        with quiet_transformers():
            loaded = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
        tokenizer = Tokenizer.from_str(loaded.backend_tokenizer.to_str())
    except Exception as error:  # tokenizers raises plain Exception for a damaged file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelFileError(f"The tokeniser in {checkpoint.folder} cannot be read: {reason}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def normalised_pixels(checkpoint: Checkpoint, image: NDArray[np.uint8]) -> Tensor:
    """What transformers' own image processor makes of uint8 [batch, height, width, 3] without resizing anything."""
    with quiet_transformers():
        processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            checkpoint.folder, local_files_only=True
        )
        options = {"do_resize": False, "do_pad": False, "do_center_crop": False, "input_data_format": "channels_last"}
        pixels: Tensor = processor(images=list(image), return_tensors="pt", **options)["pixel_values"]
    return pixels
