"""From settings to the document of `photo_sizes.py`."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from transformers import GroundingDinoForObjectDetection

from documents import Cell, Findings, Surroundings, Table, document, write_document
from fashioncrop.model_repository import Role
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, Checkpoint
from fashioncrop_export.originals import Originals, normalised_pixels
from fashioncrop_export.photos.feeds import Feeder
from fashioncrop_export.photos.pipeline_code import Caption, Detections, detector_size_hw, from_queries
from fashioncrop_export.photos.sources import verification_scenes
from fashioncrop_export.sources import default_cache, find_checkpoint
from fashioncrop_export.verifying.measures import Agreement, by_place, joined
from figures import Axes, draw_bars
from graph_contenders import Memory, Subject, sizes_of
from model_identities import identities
from processes import busy_share
from serving import OnWords, exported, repository_name
from summaries import Spread, ratios

PACKAGES = ("fashioncrop", "numpy", "onnxruntime", "torch", "transformers")
ASPECTS_WH = ((3, 4), (2, 3), (9, 16), (4, 5), (1, 1), (4, 3), (3, 2), (16, 9))
"""Of phones, cameras and shops, each as often as the other."""
_MIB = 2**20
_MS = 1000
_SIZES = 8
"""Different sizes that photos have in the measurement of memory."""


@dataclass(frozen=True)
class Settings:
    """What to weigh; see the command's options."""

    models: str
    photo_hw: tuple[int, int]
    batches: tuple[int, ...]
    photos: int
    tokens: int
    rounds: int


def weigh(settings: Settings, out: Path, name: str | None, words: OnWords) -> dict[str, Any]:
    """Measure gain and cost, and write what was found.

    Args:
        settings: see `Settings`.
        out: the folder for document and figure.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document.

    Raises:
        FashionCropError: the models cannot be exported.
    """
    start_s = time.monotonic()
    file = name or f"photo-sizes-{repository_name(settings.models)}"
    repository = exported(settings.models, words)
    surroundings = Surroundings(PACKAGES, busy_share())
    torch.set_num_threads(1)
    words("Batches ...")
    gains = _gains(_subject(settings, repository), settings)
    words("Memory ...")
    held = _held(settings, repository)
    feeder = Feeder(repository)
    costs = padding_costs(feeder.identity(Role.GARMENT_DETECTOR).preprocessing)
    agreement = None
    if settings.photos:
        words("Padding, on the original ...")
        checkpoint = find_checkpoint(settings.models, FAMILY_OF_ROLE[Role.GARMENT_DETECTOR], default_cache(), {})
        agreement = _accuracy(checkpoint, feeder, settings.photos)
    best = max((one.median for one in gains.values()), default=0.0)
    findings = Findings(
        question="Whether photos padded to a few sizes and batched cost the detector less than each at its own size",
        settings=asdict(settings),
        conditions=_conditions(settings),
        measured={
            "share_saved_by_batch": {str(batch): asdict(one) for batch, one in gains.items()},
            "pixels_added_by_sizes": costs,
            "padded_agreement": None if agreement is None else _told(agreement),
            "resident_bytes_after_many_sizes": {memory.value: after for memory, after in held.items()},
        },
        table=_table(gains, costs, agreement, held),
        recommendations=[_verdict(best, costs), _about_memory(held)],
        models=[one for one in identities(repository) if one["role"] == Role.GARMENT_DETECTOR],
    )
    content = document("photo_sizes", findings, surroundings, time.monotonic() - start_s)
    write_document(out, file, content)
    bars = {f"saved by batches of {batch}": one.median * 100 for batch, one in gains.items() if batch > 1}
    bars |= {f"added by {sizes}": share * 100 for sizes, share in costs.items()}
    draw_bars(out / f"{file}.svg", Axes("The detector's work: saved by batches, added by padding", "percent", ""), bars)
    return content


def padding_costs(preprocessing: dict[str, Any]) -> dict[str, float]:
    """How much more there is to look at in the mean of `ASPECTS_WH`, by the sizes that photos are padded to.

    Args:
        preprocessing: the detector's, with its shortest and longest edge.
    """
    own = [detector_size_hw((width * 100, height * 100), preprocessing) for width, height in ASPECTS_WH]
    short, long = int(preprocessing["shortest_edge"]), int(preprocessing["longest_edge"])
    photo = max(short * 4 // 3, 1)
    offered = {
        "one size, a square": [(long, long)],
        "two sizes, lying and standing": [(short, long), (long, short)],
        "five sizes, also 4:3 and square": [
            (short, long),
            (long, short),
            (short, photo),
            (photo, short),
            (short, short),
        ],
    }
    return {name: _added(own, sizes) for name, sizes in offered.items()}


def _added(own: Sequence[tuple[int, int]], sizes: Sequence[tuple[int, int]]) -> float:
    shares = []
    for height, width in own:
        fitting = [tall * wide for tall, wide in sizes if tall >= height and wide >= width]
        shares.append(min(fitting) / (height * width) - 1)
    return float(np.mean(shares))


def _gains(subject: Subject, settings: Settings) -> dict[int, Spread]:
    """Which share of a photo's processor time each batch saves, round by round."""
    runs = {batch: subject.detector_run(settings.photo_hw, batch) for batch in {1, *settings.batches}}
    for run in runs.values():
        run()
    taken: dict[int, list[float]] = {batch: [] for batch in runs}
    for _ in range(settings.rounds):
        for batch, run in runs.items():
            before = time.process_time()
            run()
            taken[batch].append((time.process_time() - before) / batch)
    shares = {batch: ratios(taken[batch], taken[1]) for batch in sorted(taken)}
    return {batch: Spread(1 - one.median, 1 - one.most, 1 - one.least, one.rounds) for batch, one in shares.items()}


def _held(settings: Settings, repository: Path) -> dict[Memory, list[int]]:
    """What a process has grown by after each of `_SIZES` sizes, by how memory is managed.

    Each in a process of its own: what an earlier one gave back would hide what the next one takes.
    """
    held: dict[Memory, list[int]] = {}
    for memory in Memory:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            held[memory] = alone.submit(_grown, settings, repository, memory).result()
    return held


def _grown(settings: Settings, repository: Path, memory: Memory) -> list[int]:
    subject = _subject(settings, repository)
    process = psutil.Process(os.getpid())
    height, width = settings.photo_hw
    run = subject.detector_at_sizes(memory)
    run((32, 32))
    # What loading has freed would be taken first, and nothing would seem to grow.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = process.memory_info().rss
    grown = []
    for step in range(_SIZES):  # from low and wide to high and narrow
        share = 0.5 + step / _SIZES
        run((int(height * share), int(width * (1.5 - share))))
        grown.append(int(process.memory_info().rss - before))
    return grown


def _subject(settings: Settings, repository: Path) -> Subject:
    sizes = sizes_of(photo_hw=settings.photo_hw, tokens=settings.tokens)
    return Subject(Role.GARMENT_DETECTOR, settings.models, repository, sizes)


def _accuracy(checkpoint: Checkpoint, feeder: Feeder, photos: int) -> Agreement:
    """The original on photos alone, and on the same photos in the corner of a square whose rest is masked."""
    model: Any = Originals().load(checkpoint, GroundingDinoForObjectDetection)
    scenes = verification_scenes(photos)
    (caption,) = feeder.captions(scenes.vocabulary)
    parts = []
    for scene in scenes:
        pixels = normalised_pixels(checkpoint, feeder.detector_image(scene.image))
        height, width = pixels.shape[2:]
        side = max(int(feeder.identity(Role.GARMENT_DETECTOR).preprocessing["longest_edge"]), height, width)
        mask = torch.zeros(1, side, side, dtype=torch.int64)
        mask[:, :height, :width] = 1
        padded = torch.nn.functional.pad(pixels, (0, side - width, 0, side - height))
        alone = _detections(model, pixels, torch.ones_like(mask[:, :height, :width]), caption, scene.image.size)
        parts.append(by_place(alone, _detections(model, padded, mask, caption, scene.image.size)))
    return joined(parts)


def _detections(
    model: Any,  # noqa: ANN401 - transformers' models have no common type
    pixels: torch.Tensor,
    mask: torch.Tensor,
    caption: Caption,
    size_wh: tuple[int, int],
) -> Detections:
    ids = torch.from_numpy(caption.input_ids[None])
    with torch.inference_mode():
        answer = model(pixel_values=pixels, pixel_mask=mask, input_ids=ids, attention_mask=torch.ones_like(ids))
    logits: NDArray[np.float32] = answer.logits[0, :, : ids.shape[1]].numpy()
    return from_queries(logits, answer.pred_boxes[0].numpy(), caption.spans, size_wh)


def _told(agreement: Agreement) -> dict[str, float]:
    return {
        "expected": agreement.expected,
        "found": agreement.found,
        "surplus": agreement.surplus,
        "mean_iou": float(agreement.ious.mean()) if len(agreement.ious) else 0.0,
        "mean_score_difference": float(agreement.score_differences.mean()) if len(agreement.ious) else 0.0,
    }


def _table(
    gains: dict[int, Spread],
    costs: dict[str, float],
    agreement: Agreement | None,
    held: dict[Memory, list[int]],
) -> Table:
    saved = [
        (f"processor time saved by batches of {batch}", str(_percent(one))) for batch, one in gains.items() if batch > 1
    ]
    added = [(f"pixels added by {sizes}", f"{share:.0%}") for sizes, share in costs.items()]
    changed: list[tuple[Cell, ...]] = []
    if agreement is not None:
        told = _told(agreement)
        changed = [
            ("garments of the photo alone that are found in the square", f"{agreement.found} of {agreement.expected}"),
            ("mean overlap of the same garment's boxes", told["mean_iou"]),
            ("mean difference of its scores", told["mean_score_difference"]),
        ]
    memory: list[tuple[Cell, ...]] = [
        (f"MiB more than before, after {_SIZES} sizes, {kind.value}", round(after[-1] / _MIB))
        for kind, after in held.items()
    ]
    sections: tuple[Sequence[tuple[Cell, ...]], ...] = (saved, added, changed, memory)
    return Table(("measured", "value"), tuple(tuple(section) for section in sections if section))


def _percent(share: Spread) -> str:
    return f"{share.median:.0%} ({share.least:.0%} to {share.most:.0%})"


def _verdict(best: float, costs: dict[str, float]) -> str:
    least = min(costs.values())
    if best <= least:
        return (
            f"Leave every photo its own size: batches save at most {best:.0%} of the work, padding adds at least "
            f"{least:.0%}."
        )
    return f"Padding could pay: batches save up to {best:.0%} of the work, padding adds as little as {least:.0%}."


def _about_memory(held: dict[Memory, list[int]]) -> str:
    served, kept = held[Memory.SERVED][-1] / _MIB, held[Memory.KEPT][-1] / _MIB
    return f"After {_SIZES} sizes {served:.0f} MiB are held as served, and {kept:.0f} where the arena is not shrunk."


def _conditions(settings: Settings) -> list[str]:
    height, width = settings.photo_hw
    return [
        f"One thread, processor time, {settings.rounds} rounds in turn; {height}x{width} and {settings.tokens} tokens.",
        f"Padding is counted in pixels, for photos of {', '.join(f'{w}:{h}' for w, h in ASPECTS_WH)} in equal number.",
        "Photos of one aspect ratio need no padding, and are of one size by themselves.",
    ]
