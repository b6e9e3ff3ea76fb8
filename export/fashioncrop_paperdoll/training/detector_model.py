"""A GroundingDINO of about two million parameters, and how it has to start to learn from nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

from fashioncrop_paperdoll.training.words import WORDPIECES

D_MODEL = 96
QUERIES = 60
MAX_TOKENS = 256

# The logit of every token before anything is learnt, as a focal loss wants it (Lin et al. 2017, section 4.1):
# the last norms' outputs have no mean over channels, so constant biases a and b move all logits by D_MODEL * a * b.
_TEXT_NORM_SCALE, _TEXT_NORM_BIAS = 0.2, -0.08
_VISION_NORM_BIAS = 0.5


def detector_config() -> GroundingDinoConfig:
    """The architecture of grounding-dino-tiny, each part smaller."""
    return GroundingDinoConfig(
        backbone_config=SwinConfig(  # type: ignore[call-arg]  # out_indices is taken by the base class
            image_size=224,
            embed_dim=24,
            depths=[1, 2, 2, 1],
            num_heads=[1, 2, 4, 8],
            window_size=7,
            mlp_ratio=3.0,
            drop_path_rate=0.0,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=WORDPIECES,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=MAX_TOKENS,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        num_queries=QUERIES,
        d_model=D_MODEL,
        encoder_layers=2,
        decoder_layers=3,
        encoder_ffn_dim=2 * D_MODEL,
        decoder_ffn_dim=2 * D_MODEL,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_n_points=2,
        decoder_n_points=4,
        num_feature_levels=4,
        max_text_len=MAX_TOKENS,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        fusion_droppath=0.0,
        fusion_dropout=0.0,
        disable_custom_kernels=True,
    )


def new_detector() -> GroundingDinoForObjectDetection:
    """An untrained detector, from torch's current random state.

    transformers' initialisation is for fine-tuning: with a deviation of 0.02, a fusion scaled by 1e-4 and no prior for
    the logits it hardly learns from nothing.
    """
    model = GroundingDinoForObjectDetection(detector_config())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _initialise(name, parameter)
        inner: Any = model.model  # nn.Module's attributes have no types
        text_norm = inner.encoder.layers[-1].text_enhancer_layer.layer_norm_after
        text_norm.weight.fill_(_TEXT_NORM_SCALE)
        text_norm.bias.fill_(_TEXT_NORM_BIAS)
        for norm in (inner.enc_output_norm, inner.decoder.layer_norm):
            norm.bias.fill_(_VISION_NORM_BIAS)
    return model


def _initialise(name: str, parameter: nn.Parameter) -> None:
    if name.endswith(("vision_param", "text_param")):
        parameter.fill_(0.5)
    elif "word_embeddings" in name:
        parameter.normal_(0, 0.1)
    elif "text_backbone" in name and "position_embeddings.weight" in name:
        parameter.normal_(0, 0.03)
    elif "token_type_embeddings" in name:
        parameter.zero_()
    elif "query_position_embeddings" in name:
        parameter.normal_(0, 0.5)
    elif name.endswith("weight") and parameter.ndim in (2, 4) and not _keeps_its_start(name):
        nn.init.xavier_uniform_(parameter)


def _keeps_its_start(name: str) -> bool:
    """Sampling starts as a fixed star, and boxes where they were proposed."""
    return (
        "sampling_offsets" in name
        or "attention_weights" in name
        or ("bbox_embed" in name and "layers.2" in name)
        or "embeddings.weight" in name
    )
