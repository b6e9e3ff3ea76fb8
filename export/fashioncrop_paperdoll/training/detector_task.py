"""Trains the small GroundingDINO on drawn scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import GroundingDinoForObjectDetection

from fashioncrop_export.small_tokenizers import save_wordpiece
from fashioncrop_paperdoll.palette import COLOURS, PATTERNS
from fashioncrop_paperdoll.training.average_precision import Found, average_precision
from fashioncrop_paperdoll.training.captions import Captions
from fashioncrop_paperdoll.training.checkpoint import save_checkpoint
from fashioncrop_paperdoll.training.detector_graph import Outputs, TrainedDetector
from fashioncrop_paperdoll.training.detector_loss import (
    Targets,
    answer_loss,
    corners,
    match_one_to_one,
    match_tokens,
    mean_text,
    moved_boxes,
)
from fashioncrop_paperdoll.training.detector_model import D_MODEL, MAX_TOKENS, QUERIES, new_detector
from fashioncrop_paperdoll.training.pool import HEIGHT_PX, WIDTH_PX, Pool, Sample
from fashioncrop_paperdoll.training.prompts import DEFAULT_VOCABULARY, SYNONYMS, draw_prompts
from fashioncrop_paperdoll.training.steering import finds_nothing_else
from fashioncrop_paperdoll.training.views import IMAGENET_MEAN, IMAGENET_STD, View, draw_view, normalised
from fashioncrop_paperdoll.training.words import WORDS

FULL_HW = (HEIGHT_PX, WIDTH_PX)
SMALL_HW = (HEIGHT_PX * 3 // 4, WIDTH_PX * 3 // 4)
_FREE_GROUPS, _MOVED_GROUPS = 1, 2
_DENSE_WEIGHT, _POINTED_WEIGHT = 1.0, 1.0
_NOUNS, _COLOURS, _PATTERNS = tuple(SYNONYMS), tuple(COLOURS), tuple(PATTERNS)


class _Looks(nn.Module):
    """Says of every image token, before the encoder, what is drawn there; helps the backbone, then is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [len(_NOUNS) + 1, len(_COLOURS), len(_PATTERNS)]
        self.head = nn.Sequential(nn.LayerNorm(D_MODEL), nn.Linear(D_MODEL, sum(self.sizes)))

    def forward(self, features: Tensor, wanted: Tensor) -> Tensor:
        """Cross entropy; `wanted` is int64 [3, batch, image tokens], -100 where there is nothing to say."""
        said = self.head(features).float().split(self.sizes, -1)
        losses = [
            functional.cross_entropy(each.flatten(0, 1), want.flatten())
            for each, want in zip(said, wanted, strict=True)
        ]
        return losses[0] + 0.5 * losses[1] + 0.5 * losses[2]


class _Points(nn.Module):
    """Says of every image token, after the encoder, which phrase it belongs to; helps image and text to meet."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(D_MODEL, D_MODEL)
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def forward(self, image: Tensor, phrases: Tensor, wanted: Tensor, exists: Tensor) -> Tensor:
        """Binary cross entropy; `wanted` is float32 [batch, image tokens, phrases], `exists` bool [batch, phrases]."""
        logits = (self.project(image).float() @ phrases.transpose(1, 2)) + self.bias
        weight = exists[:, None].expand_as(logits).float()
        loss = functional.binary_cross_entropy_with_logits(logits, wanted, weight, reduction="sum")
        return loss / wanted.sum().clamp(min=1.0)


class DetectorTask:
    """See `loop.Task`.

    Args:
        pool: scenes to learn from.
        validation: scenes to be judged by.
        batch: scenes a step and process.
        small_steps: this many first steps see smaller pictures, which is cheaper.
        focused_steps: after these, scores learn to be probabilities; see `answer_loss`.
        device: of the model.
    """

    def __init__(
        self, pool: Pool, validation: Pool, *, batch: int, small_steps: int, focused_steps: int, device: str = "cpu"
    ) -> None:
        self.pool, self.validation, self.batch = pool, validation, batch
        self.small_steps, self.focused_steps = small_steps, focused_steps
        self.device = torch.device(device)
        model = new_detector()
        self.trained = TrainedDetector(model, _FREE_GROUPS + _MOVED_GROUPS)
        self.modules = nn.ModuleDict(
            {"model": model, "trained": self.trained, "looks": _Looks(), "points": _Points()}
        ).to(self.device)
        self.captions = Captions()

    def loss(self, rng: np.random.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Task`."""
        size_hw = SMALL_HW if step < self.small_steps else FULL_HW
        views = [draw_view(rng, self.pool[int(rng.integers(len(self.pool)))], size_hw) for _ in range(self.batch)]
        prompts = draw_prompts(rng, [view.garments for view in views])
        ids, spans = self.captions.batch([prompt.phrases for prompt in prompts])
        pixels = torch.from_numpy(normalised([view.image for view in views])).to(self.device)
        input_ids = torch.from_numpy(ids).to(self.device)
        labels = [prompt.labels for prompt in prompts]
        targets = _targets(views, labels, spans, input_ids)
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        moved = [moved_boxes(targets, QUERIES, generator) for _ in range(_MOVED_GROUPS)]
        outputs = self.trained(pixels, input_ids, [boxes for boxes, _, _ in moved], _FREE_GROUPS)
        with torch.autocast(self.device.type, enabled=False):
            focused = step < self.focused_steps
            return self._judge(outputs, targets, moved, (views, labels, spans), input_ids != 0, focused=focused)

    def _judge(
        self,
        outputs: Outputs,
        targets: Targets,
        moved: list[Any],
        truth: tuple[Any, ...],
        token_mask: Tensor,
        *,
        focused: bool,
    ) -> tuple[Tensor, dict[str, float]]:
        views, labels, spans = truth
        matches = match_tokens(outputs.proposals, targets, outputs.centres)
        scores, boxes = answer_loss(outputs.proposals, targets, matches, token_mask, relative=True)
        total = scores + boxes
        parts = {"proposal_scores": scores, "proposal_boxes": boxes}
        for index, groups in enumerate(outputs.layers):
            for group, answer in enumerate(groups):
                if group <= _FREE_GROUPS:
                    matches = match_one_to_one(answer, targets)
                    scores, boxes = answer_loss(answer, targets, matches, token_mask, focused=focused)
                else:
                    _, fixed, judged = moved[group - 1 - _FREE_GROUPS]
                    scores, boxes = answer_loss(answer, targets, fixed, token_mask, counts=judged, focused=focused)
                total = total + scores + boxes
                if index == len(outputs.layers) - 1:
                    name = "served" if group == 0 else "free" if group <= _FREE_GROUPS else "moved"
                    parts |= {f"{name}_scores": scores, f"{name}_boxes": boxes}
        drawn = _drawn_at(views, outputs.centres)
        looks = self.modules["looks"](outputs.features, _looks_wanted(views, drawn, self.device))
        exists = torch.tensor([[place < len(own) for place in range(max(map(len, spans)))] for own in spans])
        exists = exists.to(self.device)
        phrases = mean_text(outputs.text, spans, exists.shape[1])
        pointed = _pointed_wanted(views, labels, drawn, exists.shape[1], self.device)
        points = self.modules["points"](outputs.image, phrases, pointed, exists)
        total = total + _DENSE_WEIGHT * looks + _POINTED_WEIGHT * points
        parts |= {"looks": looks, "points": points}
        return total, {name: float(part.detach()) for name, part in parts.items()}

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """AP by the served pipeline's default vocabulary, and whether two nouns steer what is found."""
        samples = list(self.validation)
        truth = [sample.garments for sample in samples]
        found = self._found(model, samples, [DEFAULT_VOCABULARY] * len(samples))
        precision = average_precision(found, truth, DEFAULT_VOCABULARY, FULL_HW)
        rng = np.random.default_rng(0)
        asked = [tuple(str(noun) for noun in rng.choice(_NOUNS, 2, replace=False)) for _ in samples]
        found = self._found(model, samples, asked)
        clean = [finds_nothing_else(*each, FULL_HW) for each in zip(found, truth, asked, strict=True)]
        return {**precision, "steering": float(np.mean(clean))}

    def _found(self, model: nn.Module, samples: Sequence[Sample], asked: Sequence[Sequence[str]]) -> list[Found]:
        wrapped = TrainedDetector(model, 0).eval()  # type: ignore[arg-type]  # the model of this task
        found: list[Found] = []
        for start in range(0, len(samples), 10):
            own = slice(start, start + 10)
            ids, spans = self.captions.batch(asked[own])
            pixels = torch.from_numpy(normalised([sample.image for sample in samples[own]])).to(self.device)
            answer = wrapped(pixels, torch.from_numpy(ids).to(self.device)).layers[-1][0]
            shares = answer.logits.sigmoid()
            for index, places in enumerate(spans):
                phrases = torch.stack([shares[index, :, first:stop].amax(-1) for first, stop in places], -1)
                scores, labels = phrases.max(-1)
                boxes = corners(answer.boxes_cxcywh[index])
                found.append((boxes.cpu().numpy(), scores.cpu().numpy(), labels.cpu().numpy()))
        return found

    def save(self, model: nn.Module, folder: Path) -> None:
        """The checkpoint as the published one is laid out, weights in fp16."""
        if not isinstance(model, GroundingDinoForObjectDetection):
            raise TypeError("the detector's task saves a GroundingDINO")
        save_checkpoint(
            folder,
            model,
            name="paperdoll grounding-dino",
            processor="GroundingDinoImageProcessor",
            preprocessing={
                "size": {"shortest_edge": WIDTH_PX, "longest_edge": HEIGHT_PX},
                "resample": 2,
                "do_pad": True,
                "image_mean": list(IMAGENET_MEAN),
                "image_std": list(IMAGENET_STD),
            },
        )
        save_wordpiece(folder, max_tokens=MAX_TOKENS, words=WORDS)


def _targets(
    views: Sequence[View],
    labels: Sequence[Sequence[int]],
    spans: Sequence[Sequence[tuple[int, int]]],
    input_ids: Tensor,
) -> Targets:
    wanted = [[place for place, label in enumerate(own) if label >= 0] for own in labels]
    most = max(1, *map(len, wanted))
    boxes = np.full((len(views), most, 4), 0.5, np.float32)
    exists = np.zeros((len(views), most), bool)
    tokens = np.zeros((len(views), most, input_ids.shape[1]), np.float32)
    for sample, (view, own) in enumerate(zip(views, wanted, strict=True)):
        for slot, place in enumerate(own):
            start, stop = spans[sample][labels[sample][place]]
            boxes[sample, slot] = view.boxes_cxcywh[place]
            exists[sample, slot] = True
            tokens[sample, slot, start:stop] = 1
    device = input_ids.device
    return Targets(*(torch.from_numpy(each).to(device) for each in (boxes, exists, tokens)))


def _drawn_at(views: Sequence[View], centres: Tensor) -> NDArray[np.int64]:
    """Which garment of the view is drawn at each image token's centre, -1 for none: int64 [batch, image tokens]."""
    height, width = views[0].labels.shape
    places = centres.cpu().numpy()
    rows = np.minimum((places[:, 1] * height).astype(int), height - 1)
    columns = np.minimum((places[:, 0] * width).astype(int), width - 1)
    result = np.full((len(views), len(places)), -1)
    for sample, view in enumerate(views):
        of_label = np.full(256, -1)
        for own, index in enumerate(view.indices):
            of_label[index + 1] = own
        result[sample] = of_label[view.labels[rows, columns]]
    return result


def _looks_wanted(views: Sequence[View], drawn: NDArray[np.int64], device: torch.device) -> Tensor:
    wanted = np.full((3, *drawn.shape), -100)
    wanted[0] = len(_NOUNS)
    for sample, view in enumerate(views):
        # The last row is what -1, nothing, points to.
        rows = [
            [_NOUNS.index(garment.noun), _COLOURS.index(garment.colour), _PATTERNS.index(garment.pattern)]
            for garment in view.garments
        ]
        table = np.asarray([*rows, [len(_NOUNS), -100, -100]])
        wanted[:, sample] = table[drawn[sample]].T
    return torch.from_numpy(wanted).to(device)


def _pointed_wanted(
    views: Sequence[View],
    labels: Sequence[Sequence[int]],
    drawn: NDArray[np.int64],
    phrases: int,
    device: torch.device,
) -> Tensor:
    wanted = np.zeros((*drawn.shape, phrases), np.float32)
    for sample in range(len(views)):
        table = np.asarray([*labels[sample], -1])
        phrase = table[drawn[sample]]
        tokens = np.flatnonzero(phrase >= 0)
        wanted[sample, tokens, phrase[tokens]] = 1
    return torch.from_numpy(wanted).to(device)
