"""What export takes from the served pipeline's own code, so that a photo is prepared and judged here as it is there.

That code is in the model repository, which is Triton's layout and not a Python package.
"""

from __future__ import annotations

import sys

from fashioncrop.model_repository import PIPELINE, shipped_repository

sys.path.append(str(shipped_repository() / PIPELINE / "1"))

from categories import DEFAULT_VOCABULARY, category_of
from crops import crop_box
from detections import Detections, from_queries, ious, selected
from options import DEFAULT_CROP_PADDING, DEFAULT_IOU_THRESHOLD, DEFAULT_MAX_GARMENTS, DEFAULT_SCORE_THRESHOLD
from photo import Limits, decode_photo
from problems import ProblemError
from resizing import depth_size_hw, detector_size_hw, embedder_input, resized
from vocabulary import Caption, Span, captions, normalised

__all__ = [
    "DEFAULT_CROP_PADDING",
    "DEFAULT_IOU_THRESHOLD",
    "DEFAULT_MAX_GARMENTS",
    "DEFAULT_SCORE_THRESHOLD",
    "DEFAULT_VOCABULARY",
    "Caption",
    "Detections",
    "Limits",
    "ProblemError",
    "Span",
    "captions",
    "category_of",
    "crop_box",
    "decode_photo",
    "depth_size_hw",
    "detector_size_hw",
    "embedder_input",
    "from_queries",
    "ious",
    "normalised",
    "resized",
    "selected",
]
