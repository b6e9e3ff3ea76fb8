"""Checkpoints of the full and of tiny architectures with seeded random weights, in the layout of published ones.

They are for shapes, speed and parity; what they answer means nothing, and their `fashioncrop.json` says so. Plain
initialisation would hide errors (box heads of zero, fusion scaled by 1e-4, a dead last ReLU) and would score every box
alike, so parts are drawn again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from transformers import (
    BertConfig,
    CLIPConfig,
    CLIPModel,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    PreTrainedModel,
    SwinConfig,
)

from fashioncrop.errors import ModelFileError
from fashioncrop_export.checkpoints import MARKER_FILE, Family
from fashioncrop_export.quiet import quiet_transformers
from fashioncrop_export.random_detector import spread_detector
from fashioncrop_export.small_tokenizers import save_byte_pairs, save_wordpiece

Size: TypeAlias = Literal["random", "tiny"]

_SEED = 0
_NAMES = {
    Family.GROUNDING_DINO: "grounding-dino-tiny",
    Family.CLIP: "clip-vit-base-patch32",
    Family.DEPTH_ANYTHING: "Depth-Anything-V2-Small",
}

# What differs from transformers' defaults, which are those of the published models (Swin-T, BERT base, CLIP ViT-B/32)
# but for Depth Anything V2 Small's layers: depth-anything/Depth-Anything-V2-Small-hf, config.json.
_Options: TypeAlias = dict[str, Any]
_SWIN: dict[Size, _Options] = {
    "random": {"depths": [2, 2, 6, 2], "out_indices": [2, 3, 4]},
    "tiny": {
        "embed_dim": 16,
        "depths": [1, 2, 2, 1],
        "num_heads": [1, 2, 2, 4],
        "image_size": 64,
        "out_indices": [2, 3, 4],
    },
}
_BERT: dict[Size, _Options] = {
    "random": {},
    "tiny": {
        "vocab_size": 2048,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
}
_GROUNDING_DINO: dict[Size, _Options] = {
    "random": {},
    "tiny": {
        "num_queries": 100,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
    },
}
_CLIP_TOWER: dict[Size, _Options] = {
    "random": {},
    "tiny": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
}
_DINOV2: dict[Size, _Options] = {
    "random": {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12, "out_indices": [3, 6, 9, 12]},
    "tiny": {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 4, "out_indices": [1, 2, 3, 4]},
}
_DEPTH_ANYTHING: dict[Size, _Options] = {
    "random": {},
    "tiny": {
        "reassemble_hidden_size": 32,
        "neck_hidden_sizes": [8, 8, 16, 16],
        "fusion_hidden_size": 16,
        "head_hidden_size": 8,
    },
}
# Of the photo's edges at the detector, and of the depth map's side.
_EDGES: dict[Size, dict[str, int]] = {
    "random": {"shortest_edge": 800, "longest_edge": 1333},
    "tiny": {"shortest_edge": 224, "longest_edge": 373},
}
_DEPTH_SIDE: dict[Size, int] = {"random": 518, "tiny": 126}
# See random_detector.
_QUERY_BIAS: dict[Size, float] = {"random": -0.41, "tiny": -0.25}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def make_checkpoint(size: Size, family: Family, folder: Path, *, recipe: str) -> None:
    """Write the family's folder, all of it or nothing.

    Args:
        size: the full architecture, or one of a few layers.
        family: which of the three.
        folder: what is there is replaced.
        recipe: written into `fashioncrop.json`, so that a folder made by other code can be told.

    Raises:
        ModelFileError: the folder cannot be written.
    """
    makers = {
        Family.GROUNDING_DINO: _save_grounding_dino,
        Family.CLIP: _save_clip,
        Family.DEPTH_ANYTHING: _save_depth_anything,
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{family.value}-") as beside:
            unfinished = Path(beside) / "checkpoint"
            unfinished.mkdir()
            with quiet_transformers(), torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(_SEED)
                makers[family](size, unfinished)
            cut = ", cut to a few layers" if size == "tiny" else ""
            name = f"{_NAMES[family]} architecture{cut}, random weights, seed {_SEED}"
            marker = {"name": name, "trained": False, "license": "Apache-2.0", "recipe": recipe}
            (unfinished / MARKER_FILE).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
    except OSError as error:
        raise ModelFileError(f"The checkpoint {folder} cannot be written: {error}.") from error


def _save(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size="10GB")


def _save_preprocessing(folder: Path, processor: str, **settings: object) -> None:
    """The file as the published checkpoints have it; transformers itself would name the backend that is installed."""
    content = {
        "image_processor_type": processor,
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        **settings,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def grounding_dino_config(size: Size) -> GroundingDinoConfig:
    """IDEA-Research/grounding-dino-tiny's configuration, or one with few layers and the same interface."""
    return GroundingDinoConfig(
        backbone_config=SwinConfig(**_SWIN[size]),
        text_config=BertConfig(**_BERT[size]),
        disable_custom_kernels=True,
        **_GROUNDING_DINO[size],
    )


def _save_grounding_dino(size: Size, folder: Path) -> None:
    config = grounding_dino_config(size)
    model = GroundingDinoForObjectDetection(config)
    spread_detector(model, query_bias=_QUERY_BIAS[size])
    _save(model, folder)
    _save_preprocessing(folder, "GroundingDinoImageProcessor", size=_EDGES[size], resample=2, do_pad=True, **_IMAGENET)
    save_wordpiece(folder, max_tokens=config.max_text_len)


def _save_clip(size: Size, folder: Path) -> None:
    model = CLIPModel(CLIPConfig(text_config=_CLIP_TOWER[size], vision_config=_CLIP_TOWER[size], projection_dim=512))
    _save(model, folder)
    _save_preprocessing(
        folder,
        "CLIPImageProcessor",
        size={"shortest_edge": 224},
        crop_size={"height": 224, "width": 224},
        do_center_crop=True,
        do_convert_rgb=True,
        resample=3,
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    )
    save_byte_pairs(folder)


def _save_depth_anything(size: Size, folder: Path) -> None:
    side = _DEPTH_SIDE[size]
    backbone = Dinov2Config(image_size=side, reshape_hidden_states=False, **_DINOV2[size])
    config = DepthAnythingConfig(backbone_config=backbone, **_DEPTH_ANYTHING[size])
    model = DepthAnythingForDepthEstimation(config)
    for name, parameter in model.named_parameters():
        if name.startswith(("neck.", "head.")) and parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    # Keeps the last ReLU alive: with a bias of 0 half of all seeds answer 0 everywhere.
    last: Any = model.head.conv3
    torch.nn.init.ones_(last.bias)
    _save(model, folder)
    _save_preprocessing(
        folder,
        "DPTImageProcessor",
        size={"height": side, "width": side},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        resample=3,
        **_IMAGENET,
    )
