"""From settings to the document of `pipeline.py`: starts the contenders, measures, writes document and figure."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contender_answers import QUANTISED, STRICT, Tolerance
from contender_servers import COMPILED, DOCUMENTED, OURS, USUAL, Contender, Wanted, contenders
from documents import Findings, Surroundings, document, write_document
from figures import Axes, draw_lines
from model_identities import identities, is_full_size
from processes import busy_share
from run_options import Asked
from sample_photos import SamplePhoto, about
from serving import OnWords, exported, repository_name
from throughput import Measured, Schedule, lines_of, losses_of, measure, table_of, targets_of

PACKAGES = (
    *("fashioncrop", "fastapi", "numpy", "nvidia-pytriton", "onnxruntime", "opencv-python-headless", "pillow"),
    *("torch", "transformers", "tritonclient", "uvicorn"),
)
_NAMES = {"usual": USUAL, "compiled": COMPILED, "documented": DOCUMENTED}


@dataclass(frozen=True)
class Settings:
    """What to compare; see the command's options.

    Attributes:
        models: which models.
        against: `usual`, `compiled`, `documented`.
        variants: further forms of the models to serve.
        clients: levels.
        rounds: how often.
        least_s: of a run.
        least_each: answers of a client.
        queue_delay_ms: of each vision model.
        compile_within_s: limit for torch.compile.
        asked: what every request asks.
    """

    models: str
    against: tuple[str, ...]
    variants: tuple[str, ...]
    clients: Sequence[int]
    rounds: int
    least_s: float
    least_each: int
    queue_delay_ms: float
    compile_within_s: float
    asked: Asked


def compare(
    settings: Settings, photos: Sequence[SamplePhoto], out: Path, name: str | None, words: OnWords
) -> dict[str, Any]:
    """Measure all contenders and write what was found.

    Args:
        settings: see `Settings`.
        photos: to ask about.
        out: the folder for document and figure.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document.

    Raises:
        FashionCropError: a contender does not start, or does not answer the same.
    """
    start_s = time.monotonic()
    surroundings = Surroundings(PACKAGES, busy_share())
    repository = exported(settings.models, words, settings.variants)
    wanted = Wanted(
        repository,
        _checkpoints(settings.models),
        ("", *settings.variants),
        tuple(_NAMES[one] for one in settings.against),
        settings.queue_delay_ms,
    )
    with (
        tempfile.TemporaryDirectory(prefix="fashioncrop-benchmark-") as folder,
        contenders(wanted, settings.asked, Path(folder), words) as started,
    ):
        measured = asyncio.run(_measured(started, photos, settings, words))
    size = "full" if is_full_size(repository) else "small"
    findings = Findings(
        question="Photos a second, and the time of one: ours against what people would use instead",
        settings={**asdict(settings), "photos": [photo.name for photo in photos]},
        conditions=_conditions(settings, photos, measured),
        measured=measured.told(),
        table=table_of(measured),
        targets=targets_of(measured, size, _int8(settings)) if not settings.queue_delay_ms else _pattern_only(measured),
        losses=losses_of(measured),
        warnings=[f"Left out: {one} ({why})." for one, why in measured.left_out.items()],
        models=identities(repository, settings.variants),
    )
    content = document("pipeline", findings, surroundings, time.monotonic() - start_s)
    file = name or f"pipeline-{repository_name(settings.models)}"
    write_document(out, file, content)
    draw_lines(
        out / f"{file}.svg",
        Axes(f"Photos a second ({settings.models})", "clients", "photos a second"),
        lines_of(measured),
    )
    return content


async def _measured(
    started: Sequence[Contender], photos: Sequence[SamplePhoto], settings: Settings, words: OnWords
) -> Measured:
    schedule = Schedule(
        settings.clients, settings.rounds, settings.least_s, settings.least_each, settings.compile_within_s
    )
    try:
        return await measure(started, photos, settings.asked, schedule, _tolerances(started), words)
    finally:
        for contender in started:
            await contender.client.close()


def _tolerances(started: Sequence[Contender]) -> Mapping[str, Tolerance]:
    return {one.name: QUANTISED if one.name.endswith("int8") else STRICT for one in started}


def _int8(settings: Settings) -> str | None:
    return f"{OURS}, int8" if "int8" in settings.variants else None


def _pattern_only(measured: Measured) -> list[Any]:
    """With models that wait on purpose only the pattern can be judged."""
    return [target for target in targets_of(measured, "small", None) if DOCUMENTED in target.says]


def _checkpoints(models: str) -> dict[str, Path]:
    from fashioncrop_export.checkpoints import Family  # noqa: PLC0415 - an extra
    from fashioncrop_export.sources import default_cache, find_checkpoint  # noqa: PLC0415 - likewise

    families = {"detector": Family.GROUNDING_DINO, "embedder": Family.CLIP, "depth": Family.DEPTH_ANYTHING}
    return {name: find_checkpoint(models, family, default_cache(), {}).folder for name, family in families.items()}


def _conditions(settings: Settings, photos: Sequence[SamplePhoto], measured: Measured) -> list[str]:
    sentences = [
        about(photos) + f" {measured.garments:.1f} garments in each on average, at most {settings.asked.max_garments}.",
        (
            f"{settings.rounds} rounds; in each the contenders take turns at every number of clients. Each run lasts "
            f"at least {settings.least_s:g} s and until every client has {settings.least_each} answers. Medians of the "
            "rounds, in brackets the least and the most; ratios are taken round by round; percentiles are over all "
            "rounds."
        ),
        (
            "A client sends its next photo when the last is answered (a closed loop): latencies say nothing of "
            "requests that would have come while the server stalled."
        ),
        "Client, server and models share this machine's processors, with the thread counts that each chooses itself.",
        f"Every contender's answers were compared with ours first ({_tolerance_words(measured)}).",
    ]
    if USUAL in measured.runs or COMPILED in measured.runs:
        sentences.append(
            "The usual service decodes, scores, crops, measures and names colours with this project's own code, and "
            "embeds all crops of a photo in one run; its image processors are transformers' with Pillow."
        )
    if settings.queue_delay_ms:
        sentences.append(
            f"Each vision model waits {settings.queue_delay_ms:g} ms for company before it runs, as if it ran on "
            "another device: what is compared is who waits for whom."
        )
    return sentences


def _tolerance_words(measured: Measured) -> str:
    return (
        "; ".join(
            f"{name}: {told['matched']:.1%} of the garments have a partner, IoU at least {told['least_iou']:.4f}, "
            f"scores within {told['most_score']:.1e}, cosine at least {told['least_cosine']:.5f}, depth within "
            f"{told['most_depth']:.1e}; tolerance {told['tolerance']['name']}"
            for name, told in measured.agreements.items()
        )
        or "there was none to compare with"
    )
