"""GroundingDINO's image side as one graph with free height, width, batch and text length.

Written on the weights of transformers' `GroundingDinoForObjectDetection`, whose own forward cannot be exported with
free sizes (isin and searchsorted in the text masks, shape assertions, writes into a canvas, sizes turned into
constants). Nothing of transformers is replaced: the same model object stays a pristine reference.
Photos have no padding here: the whole tensor is the photo.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers import GroundingDinoForObjectDetection
from transformers.models.grounding_dino.modeling_grounding_dino import (
    GroundingDinoDecoderLayer,
    encode_sinusoidal_position_embedding,
)

from fashioncrop_export.deformable_attention import Levels, deformable_attention, deformable_layer, length_of
from fashioncrop_export.fusion_attention import fuse
from fashioncrop_export.swin import swin_feature_maps

# Stands for minus infinity in the logits: the sigmoid is 0, and neither FP16 nor JSON chokes on it.
MASKED_LOGIT = -10000.0
# A proposal outside (0.01, 0.99) gets this logit; the original uses infinity. The sigmoid is exactly 1 either way.
_INVALID_PROPOSAL_LOGIT = 10000.0
_PROPOSAL_RANGE = (0.01, 0.99)
# Side of the smallest proposals as a share of the photo; doubled on each coarser level (Deformable DETR, A.4).
_PROPOSAL_SIZE = 0.05


class GroundingDinoDetector(nn.Module):
    """From pixels and text features to logits and boxes.

    Args:
        model: transformers' model, in eval mode; it is only read.
    """

    def __init__(self, model: GroundingDinoForObjectDetection) -> None:
        super().__init__()
        self.detector = model

    def forward(
        self,
        pixels: Tensor,
        text_features: Tensor,
        text_mask: Tensor,
        text_self_attention_mask: Tensor,
        position_ids: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Detect.

        Args:
            pixels: float32 [batch, 3, height, width], normalised.
            text_features: float32 [batch, tokens, channels].
            text_mask: bool [batch, tokens].
            text_self_attention_mask: bool [batch, tokens, tokens].
            position_ids: int64 [batch, tokens].

        Returns:
            Logits float32 [batch, queries, tokens], and boxes float32 [batch, queries, 4]: centre x, centre y, width,
            height as shares of the photo.
        """
        image, positions, centres, proposals, levels = self.image_tokens(pixels)
        image, text = self.encode(
            image, positions, centres, levels, (text_features, text_mask, text_self_attention_mask, position_ids)
        )
        boxes = self._first_boxes(image, text, text_mask, proposals)
        return self._decode(boxes, image, text, text_mask, levels)

    def image_tokens(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Levels]:
        """What the encoder starts from.

        Returns:
            Features of all levels [batch, image tokens, channels], their position embeddings [1, image tokens,
            channels], centres [1, image tokens, 2], box proposals [image tokens, 4], and the levels' sizes.
        """
        model = self.detector.model
        config = model.config
        backbone_maps = swin_feature_maps(model.backbone.conv_encoder.model, pixels)
        feature_maps = [
            project(feature_map) for project, feature_map in zip(model.input_proj_vision, backbone_maps, strict=False)
        ]
        for level in range(len(feature_maps), config.num_feature_levels):
            source = backbone_maps[-1] if level == len(backbone_maps) else feature_maps[-1]
            feature_maps.append(model.input_proj_vision[level](source))
        positions, centres, proposals, sizes = [], [], [], []
        for level, feature_map in enumerate(feature_maps):
            height, width = feature_map.shape[2], feature_map.shape[3]
            positions.append(self._positions(height, width) + model.level_embed[level])
            level_centres, size_wh = _centres(height, width)
            centres.append(level_centres)
            sizes.append(size_wh)
            sides = torch.full_like(level_centres, _PROPOSAL_SIZE * 2.0**level)
            proposals.append(torch.cat([level_centres, sides], dim=-1))
        image = torch.cat([feature_map.flatten(2).transpose(1, 2) for feature_map in feature_maps], dim=1)
        shapes = [(feature_map.shape[2], feature_map.shape[3]) for feature_map in feature_maps]
        levels = Levels(shapes, torch.stack(sizes))
        return image, torch.cat(positions)[None], torch.cat(centres)[None], torch.cat(proposals), levels

    def _positions(self, height: int, width: int) -> Tensor:
        """Repeat `GroundingDinoSinePositionEmbedding` for a full mask: float32 [height * width, channels]."""
        config = self.detector.config
        half = config.d_model // 2
        y = _sine_positions(height, half, config.positional_embedding_temperature)
        x = _sine_positions(width, half, config.positional_embedding_temperature)
        both = [y[:, None].expand(height, width, half), x[None].expand(height, width, half)]
        return torch.cat(both, dim=-1).reshape(height * width, config.d_model)

    def encode(
        self, image: Tensor, positions: Tensor, centres: Tensor, levels: Levels, text_side: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Image and text through the encoder's layers, which tell each what the other holds."""
        text, text_mask, text_self_attention_mask, position_ids = text_side
        channels = self.detector.config.d_model
        text_positions = encode_sinusoidal_position_embedding(
            position_ids[..., None].to(image.dtype), num_pos_feats=channels
        )
        penalty = (1.0 - text_self_attention_mask[:, None].to(image.dtype)) * torch.finfo(image.dtype).min
        for layer in self.detector.model.encoder.layers:
            image, text = fuse(layer.fusion_layer, image, text, text_mask)
            text, _ = layer.text_enhancer_layer(
                hidden_states=text, attention_masks=penalty, position_embeddings=text_positions
            )
            image = deformable_layer(layer.deformable_layer, image, positions, centres, levels)
        return image, text

    def propose(self, image: Tensor, text: Tensor, text_mask: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor]:
        """What every image token would answer: logits [batch, image tokens, tokens] and box logits [..., 4].

        For losses, which look at all of them.
        """
        objects, proposal_logits = self._objects(image, proposals)
        box_logits = self.detector.model.encoder_output_bbox_embed(objects) + proposal_logits[None]
        return token_logits(objects, text, text_mask), box_logits

    def _objects(self, image: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor]:
        """The image's tokens as possible objects [batch, image tokens, channels]; box logits to start from [..., 4]."""
        model = self.detector.model
        low, high = _PROPOSAL_RANGE
        is_valid = ((proposals > low) & (proposals < high)).all(-1, keepdim=True)
        proposal_logits = torch.where(is_valid, torch.log(proposals / (1 - proposals)), _INVALID_PROPOSAL_LOGIT)
        return model.enc_output_norm(model.enc_output(torch.where(is_valid[None], image, 0.0))), proposal_logits

    def _first_boxes(self, image: Tensor, text: Tensor, text_mask: Tensor, proposals: Tensor) -> Tensor:
        """The two-stage choice: the image tokens that resemble the text most, as boxes [batch, queries, 4].

        The original works out the box of every image token, of which it takes one in twenty.
        """
        objects, proposal_logits = self._objects(image, proposals)
        scores = token_logits(objects, text, text_mask).amax(-1)
        # As many as there are queries; an extremely thin photo has fewer tokens, where the original's top-k fails.
        queries = torch.tensor(self.detector.model.config.num_queries)
        count = torch.minimum(length_of(image.shape[1]).to(torch.int64), queries)
        chosen = torch.topk(scores, count, dim=1)[1]  # type: ignore[arg-type]  # keeps its name in the graph
        objects = objects.gather(1, chosen.unsqueeze(-1).expand(-1, -1, objects.shape[-1]))
        boxes: Tensor = self.detector.model.encoder_output_bbox_embed(objects) + proposal_logits[chosen]
        return boxes.sigmoid()

    def _decode(
        self, boxes: Tensor, image: Tensor, text: Tensor, text_mask: Tensor, levels: Levels
    ) -> tuple[Tensor, Tensor]:
        model, decoder = self.detector.model, self.detector.model.decoder
        learned = model.query_position_embeddings.weight[: boxes.shape[1]]
        queries = learned[None].expand(boxes.shape[0], -1, -1)
        text_penalty = (~text_mask)[:, None, None, :].to(image.dtype) * torch.finfo(image.dtype).min
        for index, layer in enumerate(decoder.layers):
            encoded = encode_sinusoidal_position_embedding(boxes, num_pos_feats=model.config.d_model // 2)
            positions = decoder.reference_points_head(encoded)
            queries = _decoder_layer(layer, queries, positions, boxes, (image, text, text_penalty, levels))
            if index < len(decoder.layers) - 1:
                boxes = (decoder.bbox_embed[index](queries) + box_logits_of(boxes)).sigmoid()
        queries = decoder.layer_norm(queries)
        final_boxes = (self.detector.bbox_embed[-1](queries) + box_logits_of(boxes)).sigmoid()
        return token_logits(queries, text, text_mask), final_boxes


def _decoder_layer(
    layer: GroundingDinoDecoderLayer,
    queries: Tensor,
    positions: Tensor,
    boxes: Tensor,
    context: tuple[Tensor, Tensor, Tensor, Levels],
) -> Tensor:
    """Repeat `GroundingDinoDecoderLayer.forward` on [batch, queries, channels]."""
    image, text, text_penalty, levels = context
    placed = queries + positions
    attended = layer.self_attn(queries=placed, keys=placed, values=queries, output_attentions=True)[0]
    queries = layer.self_attn_layer_norm(queries + attended)
    attended = layer.encoder_attn_text(
        queries=queries + positions, keys=text, values=text, attention_mask=text_penalty, output_attentions=True
    )[0]
    queries = layer.encoder_attn_text_layer_norm(queries + attended)
    attended = deformable_attention(layer.encoder_attn, queries + positions, image, boxes, levels)
    queries = layer.encoder_attn_layer_norm(queries + attended)
    updated: Tensor = layer.final_layer_norm(queries + layer.fc2(layer.activation_fn(layer.fc1(queries))))
    return updated


def token_logits(vision: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
    """Repeat `GroundingDinoContrastiveEmbedding` without its padding to 256 columns: [batch, vision, tokens]."""
    return (vision @ text.transpose(-1, -2)).masked_fill(~text_mask[:, None, :], MASKED_LOGIT)


def box_logits_of(shares: Tensor, eps: float = 1e-5) -> Tensor:
    """The sigmoid's inverse, of shares kept `eps` away from 0 and 1."""
    shares = shares.clamp(eps, 1 - eps)
    return torch.log(shares / (1 - shares))


def _sine_positions(length: int, channels: int, temperature: float) -> Tensor:
    """One axis of `GroundingDinoSinePositionEmbedding`: float32 [length, channels]."""
    places = (torch.arange(length, dtype=torch.float32) + 1) / (length_of(length) + 1e-6) * (2 * math.pi)
    exponents = torch.arange(channels, dtype=torch.float32)
    exponents = 2 * torch.div(exponents, 2, rounding_mode="floor") / channels
    angles = places[:, None] / temperature**exponents
    return torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=-1).flatten(1)


def _centres(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Centre x, y of each cell as shares of the photo, float32 [height * width, 2]; and float32 width, height."""
    size_wh = torch.stack([length_of(width), length_of(height)])
    x = (torch.arange(width, dtype=torch.float32) + 0.5) / size_wh[0]
    y = (torch.arange(height, dtype=torch.float32) + 0.5) / size_wh[1]
    grid = torch.stack([x[None].expand(height, width), y[:, None].expand(height, width)], dim=-1)
    return grid.reshape(height * width, 2), size_wh
