"""The flow of one request: decode, detect beside depth, crop, embed, answer. Knows numpy and Pillow, not Triton."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

import crops
import depths
import resizing
from categories import DEFAULT_VOCABULARY
from detections import Detections, from_queries, joined, selected
from errands import Errand, shared
from garments import Garments, Looks, documents_of, look_at
from identity import ENGINES, TEXT_EMBEDDER, read_engine, source_digest, warnings_of
from options import Options, Tensors, read_given_boxes, read_options, read_texts
from photo import Limits, Photo, decode_photo
from problems import Code, ProblemError, refuse
from sentences import SentenceTokenizer
from stopwatch import Stopwatch
from text_features import Encoded, EncodedCaption, KeptFeatures
from vocabulary import captions, normalised

EMBED_BATCH = 16
"""Crops or texts in one request to an embedder; their max_batch_size."""

_NEED_DEPTH = {"analysis", "depth_medians", "depth_map"}
_NEED_CROPS = {"crops", "embeddings"}
_NEED_NO_PHOTO = {"identity", "text_embeddings"}


class CallModel(Protocol):
    """How another model of the server is asked."""

    def __call__(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: tuple[str, ...]
    ) -> dict[str, NDArray[Any]]:
        """The named outputs; raises ProblemError where the model fails."""


@dataclass(frozen=True)
class Settings:
    """The pipeline's own configuration.

    Attributes:
        limits: what a photo may measure.
        kept_vocabularies: how many vocabularies' text features are kept.
        max_vocabulary_phrases: phrases that a vocabulary may have.
        max_vocabulary_passes: detector runs that a vocabulary may need for one photo.
        workers: requests worked on at a time.
        embedding_width: length of an embedding, for the answer without garments.
    """

    limits: Limits
    kept_vocabularies: int
    max_vocabulary_phrases: int
    max_vocabulary_passes: int
    workers: int
    embedding_width: int


class FashionPipeline:
    """Answers requests, several at a time, from any thread."""

    def __init__(self, repository: Path, settings: Settings, call: CallModel, config_name: str | None = "") -> None:
        """Read what export wrote beside the engines; raises where it is missing.

        Args:
            repository: the model repository, where the other models' folders are.
            settings: see `Settings`.
            call: asks another model.
            config_name: see `read_engine`.
        """
        self._engines = {role: read_engine(repository, role, config_name) for role in (*ENGINES, TEXT_EMBEDDER)}
        self._settings = settings
        self._call = call
        self._features = KeptFeatures(settings.kept_vocabularies)
        encoder = self._engines["vocabulary_encoder"]
        self._tokenizer = Tokenizer.from_file(str(encoder.folder / encoder.preprocessing["tokenizer"]))
        self._sentences = SentenceTokenizer(self._engines[TEXT_EMBEDDER])
        about = {
            "pipeline": source_digest(Path(__file__).parent),
            "models": self._identities((*ENGINES, TEXT_EMBEDDER)),
            "vocabulary": DEFAULT_VOCABULARY,
        }
        self._identity = _texts([json.dumps(about)])
        # A decoder takes up to 21 bytes a pixel for a moment, a decoded photo 4, and 1 more while it is looked at.
        self._decoding = BoundedSemaphore(max(settings.workers // 2, 1))
        self._beside = ThreadPoolExecutor(settings.workers, thread_name_prefix="beside")

    def close(self) -> None:
        """Wait for work that is under way."""
        self._beside.shutdown(wait=True)

    def answer(
        self, tensors: Tensors, wanted: frozenset[str], is_cancelled: Callable[[], bool], watch: Stopwatch
    ) -> dict[str, NDArray[Any]]:
        """The wanted outputs for one request, named and shaped as in config.pbtxt.

        Args:
            tensors: the request's inputs.
            wanted: names of outputs; what none of them needs is not computed.
            is_cancelled: asked between stages.
            watch: started when the request arrived.

        Raises:
            ProblemError: the request is wrong, a model failed, or it was cancelled.
        """
        watch.waited()
        _check_subject(tensors, wanted)
        result: dict[str, NDArray[Any]] = {"identity": self._identity}
        if "text_embeddings" in wanted:
            result["text_embeddings"] = self._embed_texts(read_texts(tensors, "texts") or [], watch)
        if not wanted <= _NEED_NO_PHOTO:
            result |= self._answer_photo(tensors, wanted, is_cancelled, watch)
        return {name: result[name] for name in wanted}

    def _answer_photo(
        self, tensors: Tensors, wanted: frozenset[str], is_cancelled: Callable[[], bool], watch: Stopwatch
    ) -> dict[str, NDArray[Any]]:
        def go_on() -> None:
            if is_cancelled():
                raise ProblemError(Code.CANCELLED, "The request was cancelled.")

        go_on()
        options = read_options(tensors)
        phrases = read_texts(tensors, "vocabulary")
        with watch.stage("decode"), self._decoding:
            photo = self._decode(tensors)
        given = read_given_boxes(tensors, photo.size_wh)
        go_on()
        depth = Errand(self._beside, lambda: self._estimate_depth(photo, watch)) if wanted & _NEED_DEPTH else None
        looks = None
        try:
            if given is None:
                vocabulary = list(DEFAULT_VOCABULARY) if phrases is None else phrases
                found = self._detect(photo, vocabulary, options, watch, go_on)
            else:
                found, vocabulary = given[0][given[0].best(options.max_garments)], given[1]
            go_on()
            garments = Garments(photo, found, vocabulary, _crop_boxes(photo, found, options))
            looks = Errand(self._beside, lambda: look_at(garments)) if "analysis" in wanted else None
            result = self._crops(garments, wanted, watch)
            go_on()
            if depth is not None:
                roles = [role for role in ENGINES if self._took_part(role, given is None, "embeddings" in wanted)]
                result |= self._measures(garments, depth, looks, roles, watch)
        finally:
            for errand in (depth, looks):
                if errand is not None:
                    errand.drop()
        return result | {
            "boxes_xyxy": found.boxes_xyxy,
            "scores": found.scores,
            "phrase_ids": found.phrase_ids,
            "phrases": _texts(vocabulary[i] for i in found.phrase_ids),
        }

    def _decode(self, tensors: Tensors) -> Photo:
        data = tensors["image"].reshape(-1)
        if len(data) != 1:
            raise refuse(f"`image` must hold one photo; got {len(data)}. Send one request a photo.")
        value = data[0]
        return decode_photo(value.encode() if isinstance(value, str) else bytes(value), self._settings.limits)

    def _detect(
        self, photo: Photo, vocabulary: list[str], options: Options, watch: Stopwatch, go_on: Callable[[], None]
    ) -> Detections:
        with watch.stage("encode_text"):
            encoded = self._encode_text(vocabulary)
        go_on()
        with watch.stage("detect"):
            preprocessing = self._engines["garment_detector"].preprocessing
            size_hw = resizing.detector_size_hw(photo.size_wh, preprocessing)
            pixels = resizing.resized(photo.image, size_hw, preprocessing)[None]
            parts = []
            for one in encoded:
                answer = self._call("garment_detector", {"image": pixels, **one.tensors}, ("logits", "boxes_cxcywh"))
                parts.append(
                    from_queries(answer["logits"][0], answer["boxes_cxcywh"][0], one.caption.spans, photo.size_wh)
                )
                go_on()
        return selected(
            joined(parts),
            score_threshold=options.score_threshold,
            iou_threshold=options.iou_threshold,
            max_garments=options.max_garments,
        )

    def _encode_text(self, vocabulary: list[str]) -> Encoded:
        phrases = normalised(vocabulary, max_phrases=self._settings.max_vocabulary_phrases)
        engine = self._engines["vocabulary_encoder"]
        outputs = ("text_features", "text_mask", "text_self_attention_mask", "position_ids")

        def encode() -> Encoded:
            packed = captions(phrases, self._tokenizer, max_tokens=engine.preprocessing["max_tokens"])
            if len(packed) > self._settings.max_vocabulary_passes:
                raise refuse(
                    f"The vocabulary needs {len(packed)} runs of the detector, one for every "
                    f"{engine.preprocessing['max_tokens']} tokens; this server takes at most "
                    f"{self._settings.max_vocabulary_passes}. Send fewer or shorter phrases, or raise the pipeline's "
                    "parameter max_vocabulary_passes."
                )
            return tuple(
                EncodedCaption(one, self._call("vocabulary_encoder", {"input_ids": one.input_ids[None]}, outputs))
                for one in packed
            )

        return self._features.get(phrases, encode)

    def _embed_texts(self, texts: list[str], watch: Stopwatch) -> NDArray[np.float32]:
        parts = [np.zeros((0, self._settings.embedding_width), np.float32)]
        if not texts:
            return parts[0]
        with watch.stage("embed_text"):
            ids = self._sentences.ids(texts)
            for start in range(0, len(ids), EMBED_BATCH):
                stacked = ids[start : start + EMBED_BATCH]
                parts.append(self._call("text_embedder", {"input_ids": stacked}, ("embedding",))["embedding"])
        return np.concatenate(parts)

    def _estimate_depth(self, photo: Photo, watch: Stopwatch) -> NDArray[np.float32]:
        with watch.stage("depth"):
            preprocessing = self._engines["depth_estimator"].preprocessing
            size_hw = resizing.depth_size_hw(photo.size_wh, preprocessing)
            pixels = resizing.resized(photo.image, size_hw, preprocessing)[None]
            depth: NDArray[np.float32] = self._call("depth_estimator", {"image": pixels}, ("depth",))["depth"][0]
            return depth

    def _crops(self, garments: Garments, wanted: frozenset[str], watch: Stopwatch) -> dict[str, NDArray[Any]]:
        result: dict[str, NDArray[Any]] = {}
        if not wanted & _NEED_CROPS:
            return result
        with watch.stage("crop"):
            images = [garments.photo.image.crop(box) for box in garments.crop_boxes]
            if "crops" in wanted:
                result["crops"] = _objects(shared(self._beside, crops.jpeg, images))
        if "embeddings" in wanted:
            with watch.stage("embed"):
                preprocessing = self._engines["image_embedder"].preprocessing
                inputs = shared(self._beside, lambda image: resizing.embedder_input(image, preprocessing), images)
                parts = [np.zeros((0, self._settings.embedding_width), np.float32)]
                for start in range(0, len(inputs), EMBED_BATCH):
                    stacked = np.stack(inputs[start : start + EMBED_BATCH])
                    parts.append(self._call("image_embedder", {"image": stacked}, ("embedding",))["embedding"])
                result["embeddings"] = np.concatenate(parts)
        return result

    def _measures(
        self,
        garments: Garments,
        depth: Errand[NDArray[np.float32]],
        looks: Errand[Looks] | None,
        roles: Sequence[str],
        watch: Stopwatch,
    ) -> dict[str, NDArray[Any]]:
        depth_map = depth.result()
        with watch.stage("measure"):
            grid = depths.over_photo(depth_map, garments.photo.size_wh)
            measured = depths.measure(grid, garments.found.boxes_xyxy, garments.photo.size_wh)
            documents = documents_of(garments, measured, looks.result()) if looks is not None else None
        medians = np.asarray([one.median for one in measured], np.float32)
        result: dict[str, NDArray[Any]] = {"depth_medians": medians, "depth_map": depth_map}
        if documents is not None:
            result["analysis"] = self._analysis(garments, documents, roles, watch)
        return result

    def _analysis(
        self, garments: Garments, documents: list[dict[str, Any]], roles: Sequence[str], watch: Stopwatch
    ) -> NDArray[np.object_]:
        photo, identities = garments.photo, self._identities(roles)
        analysis = {
            "photo": {"width": photo.size_wh[0], "height": photo.size_wh[1], "format": photo.format},
            "vocabulary": garments.vocabulary,
            "garments": documents,
            "models": identities,
            "warnings": warnings_of(identities),
            "timings_ms": watch.timings_ms(),
        }
        return _texts([json.dumps(analysis, ensure_ascii=False, allow_nan=False)])

    def _identities(self, roles: Sequence[str]) -> list[dict[str, Any]]:
        return [self._engines[role].identity for role in roles]

    @staticmethod
    def _took_part(role: str, detected: bool, embedded: bool) -> bool:  # noqa: FBT001 - two facts about one request
        if role in {"vocabulary_encoder", "garment_detector"}:
            return detected
        return embedded if role == "image_embedder" else True


def _crop_boxes(photo: Photo, found: Detections, options: Options) -> list[crops.PixelBox]:
    return [
        crops.crop_box((x0, y0, x1, y1), options.crop_padding, photo.size_wh)
        for x0, y0, x1, y1 in found.boxes_xyxy.tolist()
    ]


def _check_subject(tensors: Tensors, wanted: frozenset[str]) -> None:
    """See that what the wanted outputs are made of was sent: a photo, or texts, or nothing.

    With a photo there may be no texts: its caller may want every output without naming any.

    Raises:
        ProblemError: INVALID_ARG; it was not, or both were.
    """
    of_photo = wanted - _NEED_NO_PHOTO
    if "image" in tensors and "texts" in tensors:
        raise refuse("`image` and `texts` were both sent. Send one request for the photo and one for the texts.")
    if of_photo and "image" not in tensors:
        raise refuse(
            f"The photo is missing: {', '.join(sorted(of_photo))} cannot be answered without `image`. Send it, or ask "
            "for text_embeddings or identity alone."
        )
    if "text_embeddings" in wanted and not tensors.keys() & {"image", "texts"}:
        raise refuse("`texts` is missing, of which text_embeddings are made. Send the texts.")


def _texts(texts: Any) -> NDArray[np.object_]:  # noqa: ANN401 - any iterable of str
    return _objects([text.encode("utf-8") for text in texts])


def _objects(values: list[bytes]) -> NDArray[np.object_]:
    """BYTES tensors are numpy object arrays; np.asarray would cut trailing NULs off bytes."""
    result = np.empty(len(values), np.object_)
    result[:] = values
    return result
