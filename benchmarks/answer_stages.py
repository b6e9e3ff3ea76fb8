"""Where one answer's time went: inside the models, or outside them, stage by stage.

The pipeline tells how long its stages took and the server how long each model's request did; the rest is subtraction.
Depth is estimated beside detection, so its time counts only where the answer waited for it.

::

    request ─┬─ network and client                             request - total
             └─ total ─┬─ queue, decode, measure               as told
                       ├─ encode_text ─┬─ vocabulary_encoder   inside
                       ├─ detect ──────┼─ garment_detector     inside
                       │               ├─ waiting, copies      its request - inside
                       │               └─ before and after     detect - its request: resize, scores, the way there
                       ├─ crop                                 as told
                       ├─ embed ───────── image_embedder       likewise
                       └─ waiting for depth, rest              what is left
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from summaries import Spread, spread
from triton_statistics import ModelTimes

ENCODER, DETECTOR, EMBEDDER, DEPTH = "vocabulary_encoder", "garment_detector", "image_embedder", "depth_estimator"
_NOTHING = ModelTimes(0, 0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Stages:
    """Milliseconds of one answer.

    Attributes:
        request: as the caller saw it.
        inside: time inside each model that the answer waited for.
        outside: time outside the models by stage; with `inside` it adds up to `request`.
        beside: time inside the depth estimator, whether or not the answer waited for it.
    """

    request: float
    inside: Mapping[str, float]
    outside: Mapping[str, float]
    beside: float

    @property
    def outside_ms(self) -> float:
        """All that was not inside a model."""
        return sum(self.outside.values())


def stages_of(timings_ms: Mapping[str, float], models: Mapping[str, ModelTimes]) -> Stages:
    """Take one answer apart.

    Args:
        timings_ms: what the pipeline told, and `request`.
        models: what was added to each model's times by this request alone.
    """
    told = {name: timings_ms.get(name, 0.0) for name in ("queue", "decode", "encode_text", "detect", "crop", "embed")}
    encoder, detector = models.get(ENCODER, _NOTHING), models.get(DETECTOR, _NOTHING)
    embedder, depth = models.get(EMBEDDER, _NOTHING), models.get(DEPTH, _NOTHING)
    path = told["encode_text"] + told["detect"] + told["crop"] + told["embed"]
    depth_wait = max(timings_ms.get("depth", 0.0) - path, 0.0)
    depth_inside = min(depth_wait, depth.infer_ms)
    named = told["queue"] + told["decode"] + path + depth_wait + timings_ms.get("measure", 0.0)
    inside = {
        ENCODER: encoder.infer_ms,
        DETECTOR: detector.infer_ms,
        EMBEDDER: embedder.infer_ms,
        DEPTH: depth_inside,
    }
    outside = {
        "network, serialisation, client": timings_ms["request"] - timings_ms["total"],
        "waiting for a worker": told["queue"],
        "decode": told["decode"],
        "text: tokens and the way to the encoder": told["encode_text"] - encoder.infer_ms,
        "detector: queue and copies in the server": detector.request_ms - detector.infer_ms,
        "detector: resize, the way there, scores": told["detect"] - detector.request_ms,
        "crops as JPEG": told["crop"],
        "embedder: queue and copies in the server": embedder.request_ms - embedder.infer_ms,
        "embedder: resize, the way there": told["embed"] - embedder.request_ms,
        "waiting for depth outside its model": depth_wait - depth_inside,
        "measure: depth, flags, colours": timings_ms.get("measure", 0.0),
        "rest": timings_ms["total"] - named,
    }
    return Stages(timings_ms["request"], inside, outside, depth.infer_ms)


def is_alone(models: Mapping[str, ModelTimes], most_embedded: int) -> bool:
    """Whether nobody else asked the models meanwhile, such as the supervisor, which asks each from time to time.

    Args:
        models: what was added to each model's times.
        most_embedded: requests to the embedder that one answer may need.
    """
    most = {ENCODER: 1, DETECTOR: 1, DEPTH: 1, EMBEDDER: most_embedded}
    asked = {name: models.get(name, _NOTHING).requests for name in most}
    return asked[DETECTOR] == asked[DEPTH] == 1 and all(asked[name] <= limit for name, limit in most.items())


@dataclass(frozen=True)
class Summary:
    """Medians over many answers, in milliseconds.

    Attributes:
        request: as the caller saw it.
        inside: by model.
        outside: by stage.
        outside_ms: all stages.
        outside_share: of the answer's time, answer by answer.
        beside: inside the depth estimator.
    """

    request: Spread
    inside: Mapping[str, Spread]
    outside: Mapping[str, Spread]
    outside_ms: Spread
    outside_share: Spread
    beside: Spread


def summary_of(answers: Sequence[Stages]) -> Summary:
    """Medians, stage by stage.

    Raises:
        ValueError: there are no answers.
    """
    if not answers:
        raise ValueError("there are no answers to take apart")
    return Summary(
        request=spread([one.request for one in answers]),
        inside={name: spread([one.inside[name] for one in answers]) for name in answers[0].inside},
        outside={name: spread([one.outside[name] for one in answers]) for name in answers[0].outside},
        outside_ms=spread([one.outside_ms for one in answers]),
        outside_share=spread([one.outside_ms / one.request for one in answers]),
        beside=spread([one.beside for one in answers]),
    )
