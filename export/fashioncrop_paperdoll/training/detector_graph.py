"""GroundingDINO's forward as it is trained: every layer's answer, and further queries that only training has.

Beside the queries that are served there are groups of others (Chen et al. 2022, Group DETR) and of true boxes moved
a little (Zhang et al. 2022, DINO): the decoder is cheap beside the encoder, and each group is one more lesson a step.
Groups do not see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GroundingDinoForObjectDetection
from transformers.models.grounding_dino.modeling_grounding_dino import (
    GroundingDinoDecoderLayer,
    encode_sinusoidal_position_embedding,
    generate_masks_with_special_tokens_and_transfer_map,
)

from fashioncrop_export.deformable_attention import Levels, deformable_attention
from fashioncrop_export.grounding_dino import GroundingDinoDetector, box_logits_of, token_logits


@dataclass(frozen=True)
class Answer:
    """What one layer says.

    Attributes:
        logits: float32 [batch, queries, tokens].
        boxes_cxcywh: float32 [batch, queries, 4], shares of the photo.
    """

    logits: Tensor
    boxes_cxcywh: Tensor


@dataclass(frozen=True)
class Outputs:
    """All that the losses look at.

    Attributes:
        proposals: the encoder's, one for each image token.
        layers: for each decoder layer, for each group, the answer.
        features: float32 [batch, image tokens, channels] before the encoder.
        image: float32 [batch, image tokens, channels] after the encoder.
        text: float32 [batch, tokens, channels] after the encoder.
        centres: float32 [image tokens, 2], x, y as shares of the photo.
        shapes_hw: height and width of every level.
    """

    proposals: Answer
    layers: list[list[Answer]]
    features: Tensor
    image: Tensor
    text: Tensor
    centres: Tensor
    shapes_hw: list[tuple[int, int]]


class TrainedDetector(nn.Module):
    """Wraps the model; the served graph's own parts compute what they share.

    Args:
        model: is trained in place.
        groups: further groups of queries.
    """

    def __init__(self, model: GroundingDinoForObjectDetection, groups: int) -> None:
        super().__init__()
        self.graph = [GroundingDinoDetector(model)]  # in a list, so that its weights are not counted twice
        queries, channels = model.config.num_queries, model.config.d_model
        self.contents = nn.Parameter(torch.randn(groups, queries, channels) * 0.5)

    def forward(
        self, pixels: Tensor, input_ids: Tensor, given_boxes: list[Tensor] | None = None, free_groups: int = 0
    ) -> Outputs:
        """Detect.

        Args:
            pixels: float32 [batch, 3, height, width], normalised.
            input_ids: int64 [batch, tokens], 0 where there is no token.
            given_boxes: for each group of moved boxes, [batch, queries, 4].
            free_groups: groups that start from the same proposals as the served one.
        """
        graph = self.graph[0]
        model: Any = graph.detector.model
        text, text_side = encode_text(graph.detector, input_ids)
        text_mask = text_side[0]
        features, positions, centres, proposals, levels = graph.image_tokens(pixels)
        image, text = graph.encode(features, positions, centres, levels, (text, *text_side))
        logits, box_logits = graph.propose(image, text, text_mask, proposals)
        chosen = logits.detach().amax(-1).topk(model.config.num_queries, dim=1).indices
        first = box_logits.detach().float().gather(1, chosen[..., None].expand(-1, -1, 4)).sigmoid()
        starts = [first] * (1 + free_groups) + list(given_boxes or [])
        contents = [model.query_position_embeddings.weight, *self.contents[: len(starts) - 1]]
        layers = _decode(
            graph, torch.cat(starts, 1), torch.cat(contents), (image, text, text_mask, levels), len(starts)
        )
        proposed = Answer(logits.float(), box_logits.float().sigmoid())
        return Outputs(proposed, layers, features.float(), image.float(), text.float(), centres[0], levels.shapes_hw)


def encode_text(model: GroundingDinoForObjectDetection, input_ids: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The text's features, and its token mask, self-attention mask and position ids, as transformers makes them."""
    inner: Any = model.model
    attention, position_ids = generate_masks_with_special_tokens_and_transfer_map(
        input_ids,  # type: ignore[arg-type]  # any int64 tensor will do
        inner.special_tokens,
    )
    hidden = inner.text_backbone(
        input_ids, attention[:, None], torch.zeros_like(input_ids), position_ids
    ).last_hidden_state
    return inner.text_projection(hidden), (input_ids != 0, attention, position_ids)


def _decode(
    graph: GroundingDinoDetector,
    boxes: Tensor,
    contents: Tensor,
    context: tuple[Tensor, Tensor, Tensor, Levels],
    groups: int,
) -> list[list[Answer]]:
    model: Any = graph.detector.model
    image, text, text_mask, levels = context
    queries = contents[None].expand(boxes.shape[0], -1, -1)
    penalty = (~text_mask)[:, None, None, :].to(image.dtype) * torch.finfo(image.dtype).min
    layers = []
    for index, layer in enumerate(model.decoder.layers):
        encoded = encode_sinusoidal_position_embedding(boxes, num_pos_feats=model.config.d_model // 2)
        positions = model.decoder.reference_points_head(encoded)
        queries = _decoder_layer(layer, queries, positions, boxes, (image, text, penalty, levels), groups)
        normed = model.decoder.layer_norm(queries)
        start = box_logits_of(boxes)
        answer = (graph.detector.bbox_embed[index](normed).float() + start).sigmoid()
        logits = token_logits(normed, text, text_mask).float()
        layers.append(
            [
                Answer(own_logits, own_boxes)
                for own_logits, own_boxes in zip(logits.chunk(groups, 1), answer.chunk(groups, 1), strict=True)
            ]
        )
        boxes = (model.decoder.bbox_embed[index](queries).float() + start).sigmoid().detach()
    return layers


def _decoder_layer(
    layer: GroundingDinoDecoderLayer,
    queries: Tensor,
    positions: Tensor,
    boxes: Tensor,
    context: tuple[Tensor, Tensor, Tensor, Levels],
    groups: int,
) -> Tensor:
    """The served graph's layer, but for groups that do not attend to each other."""
    image, text, penalty, levels = context
    apart = [each.reshape(-1, each.shape[1] // groups, each.shape[2]) for each in (queries + positions, queries)]
    attended = layer.self_attn(queries=apart[0], keys=apart[0], values=apart[1], output_attentions=True)[0]
    queries = layer.self_attn_layer_norm(queries + attended.reshape(queries.shape))
    attended = layer.encoder_attn_text(
        queries=queries + positions, keys=text, values=text, attention_mask=penalty, output_attentions=True
    )[0]
    queries = layer.encoder_attn_text_layer_norm(queries + attended)
    attended = deformable_attention(layer.encoder_attn, queries + positions, image, boxes, levels)
    queries = layer.encoder_attn_layer_norm(queries + attended)
    updated: Tensor = layer.final_layer_norm(queries + layer.fc2(layer.activation_fn(layer.fc1(queries))))
    return updated
