"""From settings to the figures of every measure, as one document that JSON can say."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from accuracy_table import told
from asking import Collected, Plan, Seen, ask_about_all
from coco_dataset import read_coco
from depth_measures import TOLD_APART, depth_figures
from detection_measures import MAX_GARMENTS, SAME_IOU, SCORE_THRESHOLD, Tally, average_precision, summed
from documents import Surroundings
from environment import PACKAGES
from fashioncrop import AsyncClient, ModelIdentity
from fashioncrop.model_repository import Role, engine_folder
from meaning_measures import captions_of, colour_figures, text_to_crop_figures
from processes import busy_share
from serving import OnWords, Serving, served
from settings import Folders, Settings
from steering_measures import steering_figures, terms_of
from taxonomy import Taxonomy, choose_taxonomy
from truths import Dataset, DatasetError

FORMAT = 1
"""Of the document; goes up when a key changes its meaning or goes."""
_TIMEOUT_S = 600.0
"""A request; full-size models on a slow processor take a minute."""
_REACHED_WITHIN_S = 10.0
_TEXTS = 256
"""In one request; the pipeline takes no more."""
_MOST_NAMED = 100
"""Unusable photos that are named; the number is of all."""

OnPhoto = Callable[[int, int], None]
"""Is told how many photos are done, of how many."""


def measure(settings: Settings, *, words: OnWords, on_photo: OnPhoto) -> dict[str, Any]:
    """Every measure on one dataset.

    Args:
        settings: what to measure on what.
        words: is told what goes on.
        on_photo: see `OnPhoto`.

    Raises:
        FashionCropError: the dataset cannot be used, or the server cannot be started or does not answer.
    """
    start_s = time.monotonic()
    surroundings = Surroundings(PACKAGES, busy_share())
    dataset = _dataset(settings)
    taxonomy = choose_taxonomy(dataset, settings.vocabulary)
    indices = _sample(len(dataset), settings.limit, settings.seed)
    with _serving(settings, words) as serving:
        asked_s = time.monotonic()
        figures = asyncio.run(_figures(serving, dataset, taxonomy, indices, settings, on_photo))
        asking_s = time.monotonic() - asked_s
    figures["settings"] = _settings(settings, taxonomy)
    figures["warnings"] += surroundings.warnings()
    return {
        "benchmark": "accuracy",
        "format": FORMAT,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(asking_s, 1),
        "seconds_with_export_and_start": round(time.monotonic() - start_s, 1),
        "environment": surroundings.told(),
        **figures,
        **told(figures),
    }


def _dataset(settings: Settings) -> Dataset:
    if isinstance(settings.data, Folders):
        return read_coco(settings.data.annotations, settings.data.images)
    from drawn_scenes import DrawnScenes  # noqa: PLC0415 - needs OpenCV

    return DrawnScenes(settings.data)


def _sample(count: int, limit: int | None, seed: int) -> list[int]:
    """Indices of the photos to ask about, in the dataset's order."""
    if limit is None or limit >= count:
        return list(range(count))
    chosen = np.random.default_rng(seed).choice(count, limit, replace=False)
    return sorted(int(index) for index in chosen)


@contextmanager
def _serving(settings: Settings, words: OnWords) -> Iterator[Serving]:
    if settings.models is None:
        yield Serving(str(settings.url), None)
        return
    with served(settings.models, words) as serving:
        yield serving


async def _figures(
    serving: Serving,
    dataset: Dataset,
    taxonomy: Taxonomy,
    indices: Sequence[int],
    settings: Settings,
    on_photo: OnPhoto,
) -> dict[str, Any]:
    async with AsyncClient(serving.url, timeout_s=_REACHED_WITHIN_S) as client:
        version = await client.check()
    plan = Plan(taxonomy, terms_of(dataset, taxonomy), settings.seed)
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        on_photo(done, len(indices))

    async with AsyncClient(serving.url, timeout_s=_TIMEOUT_S) as client:
        collected = await ask_about_all(client, dataset, indices, plan, one_more)
    seen = collected.in_order()
    if not seen:
        name, reason = collected.unusable[0]
        raise DatasetError(f"None of the {len(indices)} photos can be measured. The first: {name} {reason}")
    if not any(len(one.answered[0]) for one in seen):
        raise DatasetError("No annotation is left in the photos that were measured. Take more of them: --limit.")
    measures, left_out = _measures(seen, taxonomy, plan)
    measures["text_to_crop"], left_out["text_to_crop"] = await _text_to_crop(serving, dataset, collected)
    return {
        "server": {"version": version, "own": serving.repository is not None},
        "models": _models(collected, serving),
        "warnings": sorted(collected.warnings),
        "dataset": _about(dataset, taxonomy, indices, collected, settings),
        "measures": measures,
        "left_out": {name: reason for name, reason in left_out.items() if reason is not None},
    }


def _measures(
    seen: Sequence[Seen], taxonomy: Taxonomy, plan: Plan
) -> tuple[dict[str, dict[str, Any] | None], dict[str, str | None]]:
    """Figures by measure, None for one that is left out; and why, None for one that is not."""
    precision, by_category = average_precision([one.answered for one in seen], sorted(taxonomy.names))
    tallied = summed(one.at_default for one in seen)
    steering = [one.steering for one in seen if one.steering is not None]
    colours = [colour for one in seen for colour in one.colours]
    orders = [one.depth for one in seen if one.depth is not None]
    measures: dict[str, dict[str, Any] | None] = {
        "detection": {
            **asdict(precision),
            "per_category": {
                taxonomy.names[key]: asdict(one) for key, one in by_category.items() if one.truths or one.found
            },
        },
        "default_threshold": {
            **_rates(sum(tallied.values(), Tally())),
            "not_judged": sum(one.not_judged for one in seen),
            "per_category": {taxonomy.names[key]: _rates(tally) for key, tally in sorted(tallied.items())},
        },
        "steering": steering_figures(steering) if plan.terms else None,
        "colours": colour_figures(colours) if colours else None,
        "depth_order": depth_figures(orders) if orders else None,
    }
    reasons = {
        "steering": "Only one category is annotated.",
        "colours": "The annotations name no colour of a plain garment.",
        "depth_order": "Only drawn scenes know the depth of every pixel.",
    }
    return measures, {name: reason for name, reason in reasons.items() if measures[name] is None}


def _rates(tally: Tally) -> dict[str, Any]:
    return {**asdict(tally), "precision": tally.precision, "recall": tally.recall, "f1": tally.f1}


async def _text_to_crop(
    serving: Serving, dataset: Dataset, collected: Collected
) -> tuple[dict[str, Any] | None, str | None]:
    rounds = collected.crops.rounds()
    captions = captions_of(rounds)
    if not dataset.has_colours or len(captions) < 2:  # noqa: PLR2004 - one caption is never confused
        return None, "The annotations describe no two garments differently."
    async with AsyncClient(serving.url, timeout_s=_TIMEOUT_S) as client:
        embedded = [
            await client.embed_texts(captions[start : start + _TEXTS]) for start in range(0, len(captions), _TEXTS)
        ]
    return text_to_crop_figures(rounds, dict(zip(captions, np.concatenate(embedded), strict=True))), None


def _models(collected: Collected, serving: Serving) -> list[dict[str, Any]]:
    """Every model that took part; text_embedder, which no answer names, from its own file."""
    models = set(collected.models)
    if serving.repository is not None:
        file = engine_folder(serving.repository, Role.TEXT_EMBEDDER) / "model.json"
        models.add(ModelIdentity.model_validate_json(file.read_bytes()))
    return [model.model_dump(mode="json") for model in sorted(models, key=lambda model: (model.role, model.digest))]


def _about(
    dataset: Dataset, taxonomy: Taxonomy, indices: Sequence[int], collected: Collected, settings: Settings
) -> dict[str, Any]:
    counts = sum((Counter(one.left_out) for one in collected.seen.values()), Counter[int]())
    names = {dataset.categories[place]: count for place, count in sorted(counts.items())}
    where = settings.data
    return {
        "kind": "coco" if isinstance(where, Folders) else "scenes",
        "name": _shown(where.annotations) if isinstance(where, Folders) else "drawn test scenes",
        **dataset.notes,
        "photos_in_dataset": len(dataset),
        "photos_asked": len(indices),
        "photos": len(collected.seen),
        "photos_unusable": len(collected.unusable),
        "unusable": [{"name": name, "reason": reason} for name, reason in collected.unusable[:_MOST_NAMED]],
        "categories": len(taxonomy.names),
        "categories_left_out": list(taxonomy.left_out),
        "annotations": sum(len(one.answered[0]) for one in collected.seen.values()),
        "annotations_left_out": sum(counts.values()),
        "annotations_left_out_by_category": names,
    }


def _shown(path: Path) -> str:
    """The file with its folder: enough to tell datasets apart, and no more of somebody's disk."""
    return str(Path(path.resolve().parent.name) / path.name)


def _settings(settings: Settings, taxonomy: Taxonomy) -> dict[str, Any]:
    return {
        "models": settings.models,
        "limit": settings.limit,
        "seed": settings.seed,
        "vocabulary": "default" if taxonomy.vocabulary is None else "dataset",
        "phrases": None if taxonomy.vocabulary is None else list(taxonomy.vocabulary),
        "score_threshold": SCORE_THRESHOLD,
        "max_garments": MAX_GARMENTS,
        "iou": SAME_IOU,
        "depth_told_apart": TOLD_APART,
    }
