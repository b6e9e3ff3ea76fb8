"""Checkpoints of small architectures, laid out as the project's own trained ones: fp16, a marker, a compact tokeniser.

The weights are seeded and drawn as those of the random checkpoints, so that they hide no error; that their marker says
"trained" is part of what is tested.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
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

from fashioncrop_export.checkpoints import MARKER_FILE, Family
from fashioncrop_export.quiet import quiet_transformers
from fashioncrop_export.random_detector import spread_detector
from fashioncrop_export.random_weights import _IMAGENET, _save_preprocessing
from fashioncrop_export.small_tokenizers import save_byte_pairs, save_wordpiece

Options = Mapping[str, Any]
DOMAIN = "drawn scenes"

_SWIN: Options = {
    "image_size": 64,
    "embed_dim": 16,
    "depths": [1, 2, 1, 1],
    "num_heads": [1, 2, 2, 4],
    "window_size": 6,
    "out_indices": [2, 3, 4],
}
_BERT: Options = {
    "vocab_size": 2048,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
}
_DETECTOR: Options = {
    "d_model": 96,
    "num_queries": 50,
    "num_feature_levels": 3,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 192,
    "decoder_ffn_dim": 192,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_n_points": 2,
}
_TOWER: Options = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_DINOV2: Options = {
    "image_size": 84,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 4,
    "mlp_ratio": 2,
    "out_indices": [1, 2, 3, 4],
    "reshape_hidden_states": False,
}
_DEPTH: Options = {
    "reassemble_hidden_size": 32,
    "neck_hidden_sizes": [8, 8, 16, 16],
    "fusion_hidden_size": 16,
    "head_hidden_size": 8,
}


@contextmanager
def _drawing(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_transformers(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        yield


def _save(model: PreTrainedModel, folder: Path, family: Family, *, half: bool) -> None:
    model.to(torch.float16 if half else torch.float32).save_pretrained(folder)  # type: ignore[arg-type]
    marker = {"name": f"paperdoll {family}", "trained": True, "license": "Apache-2.0", "domain": DOMAIN}
    (folder / MARKER_FILE).write_text(json.dumps(marker), encoding="utf-8")


def save_detector(
    folder: Path, *, half: bool = True, swin: Options | None = None, bert: Options | None = None, **changes: object
) -> None:
    """A narrow GroundingDINO."""
    with _drawing(folder):
        config = GroundingDinoConfig(
            backbone_config=SwinConfig(**{**_SWIN, **(swin or {})}),
            text_config=BertConfig(**{**_BERT, **(bert or {})}),
            disable_custom_kernels=True,
            **{**_DETECTOR, **changes},
        )
        model = GroundingDinoForObjectDetection(config)
        spread_detector(model, query_bias=-0.25)
        _save(model, folder, Family.GROUNDING_DINO, half=half)
        edges = {"shortest_edge": 192, "longest_edge": 320}
        _save_preprocessing(folder, "GroundingDinoImageProcessor", size=edges, resample=2, do_pad=True, **_IMAGENET)
        save_wordpiece(folder, max_tokens=config.max_text_len)


def save_clip(folder: Path, *, half: bool = True, text: Options | None = None, vision: Options | None = None) -> None:
    """A CLIP of two short towers whose tokeniser has only the words that it needs."""
    max_tokens = 32
    with _drawing(folder):
        save_byte_pairs(folder, max_tokens=max_tokens, compact=True)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        end = tokenizer.token_to_id("<|endoftext|>")
        ids = {"bos_token_id": tokenizer.token_to_id("<|startoftext|>"), "eos_token_id": end, "pad_token_id": end}
        vocabulary = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": max_tokens}
        config = CLIPConfig(
            text_config={**_TOWER, **vocabulary, **ids, **(text or {})},
            vision_config={**_TOWER, "image_size": 224, "patch_size": 32, **(vision or {})},
            projection_dim=512,
        )
        _save(CLIPModel(config), folder, Family.CLIP, half=half)
        _save_preprocessing(
            folder,
            "CLIPImageProcessor",
            size={"shortest_edge": 224},
            crop_size={"height": 224, "width": 224},
            do_center_crop=True,
            resample=3,
            **_IMAGENET,
        )


def save_depth(folder: Path, *, half: bool = True, **dinov2: object) -> None:
    """A Depth Anything of four thin layers."""
    with _drawing(folder):
        backbone = Dinov2Config(**{**_DINOV2, **dinov2})
        patch = backbone.patch_size
        model = DepthAnythingForDepthEstimation(
            DepthAnythingConfig(backbone_config=backbone, patch_size=patch, **_DEPTH)
        )
        for name, parameter in model.named_parameters():
            if name.startswith(("neck.", "head.")) and parameter.ndim > 1:
                torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        last: Any = model.head.conv3
        torch.nn.init.ones_(last.bias)
        _save(model, folder, Family.DEPTH_ANYTHING, half=half)
        _save_preprocessing(
            folder,
            "DPTImageProcessor",
            size={"height": 84, "width": 84},
            keep_aspect_ratio=True,
            ensure_multiple_of=patch,
            resample=3,
            **_IMAGENET,
        )


def save_all(folder: Path) -> None:
    """All three, as a checkpoint directory."""
    save_detector(folder / Family.GROUNDING_DINO)
    save_clip(folder / Family.CLIP)
    save_depth(folder / Family.DEPTH_ANYTHING)
