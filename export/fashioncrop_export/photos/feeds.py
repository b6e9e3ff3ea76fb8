"""From a photo or a text to the tensors that each model is given, by the pipeline's own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder
from fashioncrop_export.captions import cut_to, token_ids
from fashioncrop_export.identity import TOKENIZER_FILE, ModelIdentity, read_identity
from fashioncrop_export.photos.pipeline_code import (
    DEFAULT_CROP_PADDING,
    Caption,
    captions,
    crop_box,
    depth_size_hw,
    detector_size_hw,
    embedder_input,
    normalised,
    resized,
)

Feed = Mapping[str, NDArray[Any]]
_END_OF_TEXT = "<|endoftext|>"


class Feeder:
    """Prepares inputs as the engines of a repository want them.

    Args:
        repository: a model repository into which every role needed was exported.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._identities: dict[Role, ModelIdentity] = {}

    def identity(self, role: Role) -> ModelIdentity:
        """What `model.json` says of the role's engine.

        Raises:
            ModelFileError: there is none.
        """
        if role not in self._identities:
            known = read_identity(engine_folder(self._repository, role))
            if known is None:
                raise ModelFileError(
                    f"{engine_folder(self._repository, role)} has no engine that this version wrote. Run: "
                    "fashioncrop-export"
                )
            self._identities[role] = known
        return self._identities[role]

    def captions(self, vocabulary: Sequence[str]) -> tuple[Caption, ...]:
        """The vocabulary as vocabulary_encoder reads it: one caption for each of the detector's runs."""
        phrases = normalised(vocabulary, max_phrases=len(vocabulary))
        limit = self.identity(Role.VOCABULARY_ENCODER).preprocessing["max_tokens"]
        return captions(phrases, self._tokenizer(Role.VOCABULARY_ENCODER), max_tokens=limit)

    def text(self, text: str) -> Feed:
        """A sentence for text_embedder."""
        tokenizer = self._tokenizer(Role.TEXT_EMBEDDER)
        end = tokenizer.token_to_id(_END_OF_TEXT)
        if end is None:
            raise ModelFileError(f"text_embedder's tokeniser has no {_END_OF_TEXT}. Run: fashioncrop-export --force")
        longest = self.identity(Role.TEXT_EMBEDDER).preprocessing["max_tokens"]
        return {"input_ids": cut_to(token_ids(tokenizer, [text], padding_id=end), longest, ending=[end])}

    def detector_image(self, image: Image.Image) -> NDArray[np.uint8]:
        """The photo at the detector's size: uint8 [1, height, width, 3]."""
        preprocessing = self.identity(Role.GARMENT_DETECTOR).preprocessing
        return resized(image, detector_size_hw(image.size, preprocessing), preprocessing)[None]

    def depth_image(self, image: Image.Image) -> NDArray[np.uint8]:
        """The photo at the depth estimator's size: uint8 [1, height, width, 3]."""
        preprocessing = self.identity(Role.DEPTH_ESTIMATOR).preprocessing
        return resized(image, depth_size_hw(image.size, preprocessing), preprocessing)[None]

    def crops(self, image: Image.Image, boxes_xyxy: Sequence[tuple[float, float, float, float]]) -> NDArray[np.uint8]:
        """What the boxes hold, as image_embedder sees it: uint8 [boxes, side, side, 3]."""
        preprocessing = self.identity(Role.IMAGE_EMBEDDER).preprocessing
        boxes = [crop_box(box, DEFAULT_CROP_PADDING, image.size) for box in boxes_xyxy]
        return np.stack([embedder_input(image.crop(box), preprocessing) for box in boxes])

    def whole(self, image: Image.Image) -> NDArray[np.uint8]:
        """The photo itself as image_embedder sees it: uint8 [1, side, side, 3]."""
        return embedder_input(image, self.identity(Role.IMAGE_EMBEDDER).preprocessing)[None]

    def _tokenizer(self, role: Role) -> Tokenizer:
        path = engine_folder(self._repository, role) / TOKENIZER_FILE
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises plain Exception
            raise ModelFileError(f"{path} cannot be read ({error}). Run: fashioncrop-export --force") from error


def garment_like_boxes(size_wh: tuple[int, int]) -> list[tuple[float, float, float, float]]:
    """The photo's middle, upper half, lower half and whole: crops where nobody knows what is in a photo."""
    width, height = size_wh
    return [
        (0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height),
        (0.1 * width, 0.0, 0.9 * width, 0.5 * height),
        (0.1 * width, 0.5 * height, 0.9 * width, float(height)),
        (0.0, 0.0, float(width), float(height)),
    ]
