"""The detector's losses, written for prompts that differ from sample to sample.

transformers' own (5.23) offsets class labels by one sample's number of phrases, which is wrong for a batch above two,
and gives its encoder's proposals no gradient. Terms and weights of boxes and costs are GroundingDINO's (Liu et al.
2023): L1 5, GIoU 2. Scores learn the overlap that their box reaches (Zhang et al. 2021, VarifocalNet), which makes
them calibrated as well as ordered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from fashioncrop_paperdoll.training.detector_graph import Answer

_L1_WEIGHT, _GIOU_WEIGHT, _SCORE_WEIGHT = 5.0, 2.0, 2.0
_NEGATIVE_ALPHA, _GAMMA = 0.75, 2.0
_PLAIN_NEGATIVE = 2.0
_TOKENS_EACH = 6
_OUTSIDE, _FAR = 100.0, 1e6  # more than any cost, and more than that


@dataclass(frozen=True)
class Targets:
    """What is to be found, padded to the batch's most garments.

    Attributes:
        boxes_cxcywh: float32 [batch, garments, 4], shares of the photo.
        exists: bool [batch, garments].
        tokens: float32 [batch, garments, tokens], 1 at the tokens of the garment's phrase.
    """

    boxes_cxcywh: Tensor
    exists: Tensor
    tokens: Tensor

    @property
    def count(self) -> float:
        """Garments in the batch, at least 1."""
        return max(float(self.exists.sum()), 1.0)


@dataclass(frozen=True)
class Matches:
    """Which answer is which garment: equally long int64 vectors of batch, answer and garment indices."""

    batch: Tensor
    answer: Tensor
    garment: Tensor


def corners(boxes_cxcywh: Tensor) -> Tensor:
    """Centre and size to x0, y0, x1, y1: float32 [..., 4]."""
    centre, size = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def iou_and_giou(one_xyxy: Tensor, other_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and generalised (Rezatofighi et al. 2019), of boxes that broadcast: [...]."""
    low = torch.maximum(one_xyxy[..., :2], other_xyxy[..., :2])
    high = torch.minimum(one_xyxy[..., 2:], other_xyxy[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).clamp(min=0).prod(-1) for each in (one_xyxy, other_xyxy)]
    union = areas[0] + areas[1] - shared
    low = torch.minimum(one_xyxy[..., :2], other_xyxy[..., :2])
    high = torch.maximum(one_xyxy[..., 2:], other_xyxy[..., 2:])
    hull = (high - low).clamp(min=0).prod(-1)
    iou = shared / (union + 1e-7)
    return iou, iou - (hull - union) / (hull + 1e-7)


@torch.no_grad()
def costs(answer: Answer, targets: Targets) -> Tensor:
    """GroundingDINO's matching cost of every answer for every garment: float32 [batch, answers, garments]."""
    shares = answer.logits.sigmoid()
    positive = 0.25 * (1 - shares) ** 2 * -(shares + 1e-8).log()
    negative = 0.75 * shares**2 * -(1 - shares + 1e-8).log()
    weights = targets.tokens / targets.tokens.sum(-1, keepdim=True).clamp(min=1)
    class_cost = (positive - negative) @ weights.transpose(1, 2)
    _, giou = iou_and_giou(corners(answer.boxes_cxcywh)[:, :, None], corners(targets.boxes_cxcywh)[:, None])
    distance = torch.cdist(answer.boxes_cxcywh, targets.boxes_cxcywh, p=1)
    return _SCORE_WEIGHT * class_cost + _L1_WEIGHT * distance - _GIOU_WEIGHT * giou


def match_one_to_one(answer: Answer, targets: Targets) -> Matches:
    """The assignment of least cost (Carion et al. 2020, DETR)."""
    table = costs(answer, targets).cpu().numpy()
    batch, chosen, garments = [], [], []
    for index, exists in enumerate(targets.exists.sum(-1).tolist()):
        rows, columns = linear_sum_assignment(table[index, :, : int(exists)])
        batch += [index] * len(rows)
        chosen += rows.tolist()
        garments += columns.tolist()
    return Matches(
        *(torch.tensor(each, dtype=torch.long, device=answer.logits.device) for each in (batch, chosen, garments))
    )


@torch.no_grad()
def match_tokens(proposals: Answer, targets: Targets, centres: Tensor) -> Matches:
    """Each garment's cheapest image tokens among those whose centre (float32 [image tokens, 2]) is inside its box.

    A garment too small to hold a centre has its cheapest token outside.
    """
    boxes = corners(targets.boxes_cxcywh)
    inside = (centres[None, :, None] > boxes[:, None, :, :2]) & (centres[None, :, None] < boxes[:, None, :, 2:])
    table = costs(proposals, targets) + _OUTSIDE * (~inside.all(-1)) + _FAR * (~targets.exists)[:, None]
    count = min(_TOKENS_EACH, table.shape[1])
    values, places = table.topk(count, dim=1, largest=False)
    taken = values < _OUTSIDE / 2
    taken[:, 0] = values[:, 0] < _FAR / 2
    wanted = torch.zeros_like(table, dtype=torch.bool).scatter_(1, places, taken)
    best, garment = torch.where(wanted, table, torch.full_like(table, _FAR)).min(-1)
    batch, answer = (best < _FAR / 2).nonzero(as_tuple=True)
    return Matches(batch, answer, garment[batch, answer])


def answer_loss(
    answer: Answer,
    targets: Targets,
    matches: Matches,
    token_mask: Tensor,
    *,
    counts: Tensor | None = None,
    relative: bool = False,
    focused: bool = True,
) -> tuple[Tensor, Tensor]:
    """Loss of scores, and of boxes.

    Args:
        answer: of one layer.
        targets: what is to be found.
        matches: which answer stands for which garment; all others stand for nothing.
        token_mask: bool [batch, tokens].
        counts: bool [batch, answers]; others are not judged. All by default.
        relative: several answers a garment: the best of them is right, the others as far as they overlap as well.
        focused: mistakes that are nearly none count nearly nothing. That is how a detector learns, but not what a
            score should mean: it ends where one chance in twenty is a score of 0.35. Otherwise every mistake counts,
            and a find that is wrong twice as much as one that is missed, so that 0.35 is an even chance.
    """
    at = (matches.batch, matches.answer)
    wanted_boxes = targets.boxes_cxcywh[matches.batch, matches.garment]
    iou, giou = iou_and_giou(corners(answer.boxes_cxcywh[at]), corners(wanted_boxes))
    quality = iou.detach().clamp(min=0.01).sqrt()
    if relative:
        slots = targets.exists.shape[1]
        group = matches.batch * slots + matches.garment
        best = torch.zeros(targets.exists.numel(), device=quality.device).scatter_reduce(0, group, quality, "amax")
        quality = (quality / best[group]) ** 4 * best[group]
    wanted = torch.zeros_like(answer.logits)
    wanted[at] = targets.tokens[matches.batch, matches.garment] * quality[:, None]
    shares = answer.logits.detach().sigmoid()
    negative = _NEGATIVE_ALPHA * shares**_GAMMA if focused else torch.full_like(shares, _PLAIN_NEGATIVE)
    weight = torch.where(wanted > 0, torch.ones_like(wanted), negative)
    weight = weight * token_mask[:, None]
    if counts is not None:
        weight = weight * counts[..., None]
    score_loss = functional.binary_cross_entropy_with_logits(answer.logits, wanted, weight, reduction="sum")
    matched = max(len(matches.batch), 1)
    distance = (answer.boxes_cxcywh[at] - wanted_boxes).abs().sum() / matched
    box_loss = _L1_WEIGHT * distance + _GIOU_WEIGHT * (1 - giou).sum() / matched
    lessons = matched / 2 if relative else targets.count
    return _SCORE_WEIGHT * score_loss / lessons, box_loss


def moved_boxes(targets: Targets, slots: int, generator: torch.Generator) -> tuple[Tensor, Matches, Tensor]:
    """True boxes moved a little, and moved too far: what the decoder has to put right, and to refuse.

    Returns:
        Boxes float32 [batch, slots, 4], the matches of the first kind, and bool [batch, slots]: which slots are judged.
    """
    batch, garments = targets.exists.shape
    device = targets.exists.device
    boxes = torch.rand(batch, slots, 4, generator=generator, device=device) * 0.5 + 0.25
    judged = torch.zeros(batch, slots, dtype=torch.bool, device=device)
    count = min(garments, slots // 2)
    true = targets.boxes_cxcywh[:, :count]
    for start, least, most in ((0, 0.0, 0.5), (count, 0.7, 1.4)):
        size = torch.rand(true.shape, generator=generator, device=device) * (most - least) + least
        sign = torch.randint(0, 2, true.shape, generator=generator, device=device) * 2 - 1
        edges = corners(true) + sign * size * true[..., 2:].repeat(1, 1, 2) / 2
        low = torch.minimum(edges[..., :2], edges[..., 2:]).clamp(0, 0.98)
        high = torch.maximum(torch.maximum(edges[..., :2], edges[..., 2:]).clamp(0, 1), low + 0.02)
        boxes[:, start : start + count] = torch.cat([(low + high) / 2, high - low], -1)
        judged[:, start : start + count] = targets.exists[:, :count]
    where = targets.exists[:, :count].nonzero()
    return boxes, Matches(where[:, 0], where[:, 1], where[:, 1]), judged


def mean_text(text: Tensor, spans: Sequence[Sequence[tuple[int, int]]], phrases: int) -> Tensor:
    """One vector a phrase, the mean of its tokens': float32 [batch, phrases, channels]."""
    weights = torch.zeros(text.shape[0], phrases, text.shape[1], device=text.device)
    for sample, own in enumerate(spans):
        for phrase, (start, stop) in enumerate(own):
            weights[sample, phrase, start:stop] = 1.0 / (stop - start)
    return weights @ text.float()
