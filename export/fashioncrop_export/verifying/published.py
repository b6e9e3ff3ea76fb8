"""Figures that others published of the original checkpoints, against what the engines here answer.

All are of one photo, `val2017/000000039769.jpg` of COCO (two cats on a sofa), which is what model cards and
transformers' own tests look at. Of Depth Anything V2 Small no figure was found published: transformers' tests have
figures of its first version and of the metric models only.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open

from fashioncrop.errors import PhotoError
from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.checkpoints import WEIGHTS_FILE, Checkpoint
from fashioncrop_export.identity import ENGINE_FILE
from fashioncrop_export.photos.feeds import Feeder
from fashioncrop_export.photos.pipeline_code import DEFAULT_IOU_THRESHOLD, from_queries, selected
from fashioncrop_export.photos.sources import read_photo
from fashioncrop_export.verifying.report import PublishedFigure
from fashioncrop_export.verifying.runners import OnnxRunner

PHOTO_URL = "http://images.cocodataset.org/val2017/000000039769.jpg"
PHOTO_DIGEST = "dea9e7ef97386345f7cff32f9055da4982da5471c48d575146c796ab4563b04e"
_FETCH_WITHIN_S = 30
_MOST_BYTES = 2**20
_GROUNDING_DINO, _CLIP = "IDEA-Research/grounding-dino-tiny", "openai/clip-vit-base-patch32"
_DEPTH_ANYTHING = "depth-anything/Depth-Anything-V2-Small-hf"
_DETECTOR_TEST = "transformers, tests/models/grounding_dino/test_modeling_grounding_dino.py"
_CLIP_TEST = "transformers, tests/models/clip/test_modeling_clip.py"
# Of GroundingDINO for "a cat." at a threshold of 0.35.
CAT_SCORES = (0.4526, 0.4082)
FIRST_CAT_XYXY = (344.8143, 23.1796, 637.4004, 373.8295)
# Of CLIP for "a photo of a cat" and "a photo of a dog": cosines times the model's own scale.
CAT_AND_DOG = (24.5701, 19.3049)
# transformers' test reads a PNG of the photo; a JPEG decoder may differ from it by a grey level.
_SCORE_TOLERANCE, _PIXEL_TOLERANCE, _LOGIT_TOLERANCE = 0.005, 0.5, 0.05


def fetch_photo(folder: Path) -> Path:
    """The photo, downloaded into `folder` unless it is there already.

    Raises:
        PhotoError: it cannot be downloaded, or is another.
    """
    path = folder / PHOTO_URL.rsplit("/", 1)[1]
    if not path.is_file():
        try:
            with urllib.request.urlopen(PHOTO_URL, timeout=_FETCH_WITHIN_S) as answer:
                data = answer.read(_MOST_BYTES)
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except (OSError, http.client.HTTPException) as error:
            raise PhotoError(f"{PHOTO_URL} cannot be downloaded: {error}. Name it: --published-photo FILE") from error
    return path


def read_published_photo(path: Path) -> Image.Image:
    """The photo, decoded.

    Raises:
        PhotoError: it cannot be read, or is another photo.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise PhotoError(f"{path} cannot be read: {error.strerror}.") from error
    if digest != PHOTO_DIGEST:
        raise PhotoError(
            f"{path} is not {PHOTO_URL}: expected sha256:{PHOTO_DIGEST}, got sha256:{digest}. Remove it, or name the "
            "right one: --published-photo FILE"
        )
    return read_photo(path)


def published_figures(
    repository: Path, photo: Callable[[], Image.Image], checkpoints: Mapping[Role, Checkpoint]
) -> Iterator[PublishedFigure]:
    """Compare what applies: figures of checkpoints that are not here are left out.

    Args:
        repository: holds the FP32 engines.
        photo: decodes the photo; a PhotoError is told in the figures.
        checkpoints: of the roles that are here.
    """
    feeder = Feeder(repository)
    try:
        image, why = photo(), ""
    except PhotoError as error:
        image, why = None, str(error)
    names = {role: checkpoint.name for role, checkpoint in checkpoints.items()}
    if {names.get(Role.GARMENT_DETECTOR), names.get(Role.VOCABULARY_ENCODER)} == {_GROUNDING_DINO}:
        scores, box = (None, None) if image is None else _cats(repository, feeder, image)
        what = 'scores for "a cat." above 0.35'
        yield PublishedFigure(_GROUNDING_DINO, what, _DETECTOR_TEST, CAT_SCORES, scores, _SCORE_TOLERANCE, why)
        what = "the first cat's x0, y0, x1, y1"
        yield PublishedFigure(_GROUNDING_DINO, what, _DETECTOR_TEST, FIRST_CAT_XYXY, box, _PIXEL_TOLERANCE, why)
    if {names.get(Role.IMAGE_EMBEDDER), names.get(Role.TEXT_EMBEDDER)} == {_CLIP}:
        got = None if image is None else _similarities(repository, feeder, image, checkpoints[Role.IMAGE_EMBEDDER])
        what = "logits of a cat and of a dog"
        yield PublishedFigure(_CLIP, what, _CLIP_TEST, CAT_AND_DOG, got, _LOGIT_TOLERANCE, why)
    if names.get(Role.DEPTH_ESTIMATOR) == _DEPTH_ANYTHING:
        note = "No figure of this checkpoint was found published."
        yield PublishedFigure(_DEPTH_ANYTHING, "depth", "-", (), None, 0.0, note)


def _cats(repository: Path, feeder: Feeder, image: Image.Image) -> tuple[tuple[float, ...], tuple[float, ...]]:
    (caption,) = feeder.captions(["a cat"])
    text = _engine(repository, Role.VOCABULARY_ENCODER)({"input_ids": caption.input_ids[None]})
    answer = _engine(repository, Role.GARMENT_DETECTOR)({"image": feeder.detector_image(image), **text})
    every = from_queries(answer["logits"][0], answer["boxes_cxcywh"][0], caption.spans, image.size)
    cats = selected(every, score_threshold=0.35, iou_threshold=DEFAULT_IOU_THRESHOLD, max_garments=10)
    first = tuple(float(value) for value in cats.boxes_xyxy[0]) if len(cats) else ()
    return tuple(float(score) for score in cats.scores), first


def _similarities(repository: Path, feeder: Feeder, image: Image.Image, checkpoint: Checkpoint) -> tuple[float, ...]:
    seen = _engine(repository, Role.IMAGE_EMBEDDER)({"image": feeder.whole(image)})["embedding"][0]
    embed = _engine(repository, Role.TEXT_EMBEDDER)
    texts = [embed(feeder.text(f"a photo of a {animal}"))["embedding"][0] for animal in ("cat", "dog")]
    with safe_open(checkpoint.folder / WEIGHTS_FILE, framework="numpy") as weights:
        scale = float(np.exp(weights.get_tensor("logit_scale")))
    return tuple(float(scale * (seen @ text)) for text in texts)


def _engine(repository: Path, role: Role) -> OnnxRunner:
    return OnnxRunner(engine_folder(repository, role) / ENGINE_FILE)
