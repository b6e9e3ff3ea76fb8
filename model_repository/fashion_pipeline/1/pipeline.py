"""The flow of one request: decode, detect beside depth, crop, embed, answer. Knows numpy and Pillow, not Triton."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

import crops
import depths
import resizing
from categories import DEFAULT_VOCABULARY, category_of
from colours import garment_colours
from detections import Detections, from_queries, joined, selected
from identity import ENGINES, TEXT_EMBEDDER, read_engine, source_digest, warnings_of
from options import Options, Tensors, read_given_boxes, read_options, read_texts
from photo import Limits, Photo, decode_photo
from problems import Code, ProblemError, refuse
from quality import Quality, assess
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
        # A decoder takes up to 21 bytes a pixel for a moment, a decoded photo 4.
        self._decoding = BoundedSemaphore(max(settings.workers // 2, 1))
        self._beside = ThreadPoolExecutor(settings.workers, thread_name_prefix="depth")

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
        result: dict[str, NDArray[Any]] = {"identity": self._identity}
        if "text_embeddings" in wanted:
            result["text_embeddings"] = self._embed_texts(read_texts(tensors, "texts") or [], watch)
        if wanted <= _NEED_NO_PHOTO:
            return {name: result[name] for name in wanted}

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
        depth_map: Future[NDArray[np.float32]] | None = None
        if wanted & _NEED_DEPTH:
            depth_map = self._beside.submit(self._estimate_depth, photo, watch)
        try:
            if given is None:
                vocabulary = list(DEFAULT_VOCABULARY) if phrases is None else phrases
                found = self._detect(photo, vocabulary, options, watch, go_on)
            else:
                found, vocabulary = given[0][given[0].best(options.max_garments)], given[1]
            go_on()
            result |= self._crops(photo, found, options, wanted, watch)
            go_on()
            if depth_map is not None:
                map_ = depth_map.result()
                roles = [role for role in ENGINES if self._took_part(role, given is None, "embeddings" in wanted)]
                result |= self._depths_and_analysis(photo, found, vocabulary, map_, options, roles, watch)
        finally:
            if depth_map is not None:
                depth_map.cancel()
        result |= {
            "boxes_xyxy": found.boxes_xyxy,
            "scores": found.scores,
            "phrase_ids": found.phrase_ids,
            "phrases": _texts(vocabulary[i] for i in found.phrase_ids),
        }
        return {name: result[name] for name in wanted}

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

    def _crops(
        self, photo: Photo, found: Detections, options: Options, wanted: frozenset[str], watch: Stopwatch
    ) -> dict[str, NDArray[Any]]:
        result: dict[str, NDArray[Any]] = {}
        if not wanted & _NEED_CROPS:
            return result
        with watch.stage("crop"):
            images = [photo.image.crop(box) for box in _crop_boxes(photo, found, options)]
            if "crops" in wanted:
                result["crops"] = _objects([crops.jpeg(image) for image in images])
        if "embeddings" in wanted:
            with watch.stage("embed"):
                preprocessing = self._engines["image_embedder"].preprocessing
                inputs = [resizing.embedder_input(image, preprocessing) for image in images]
                parts = [np.zeros((0, self._settings.embedding_width), np.float32)]
                for start in range(0, len(inputs), EMBED_BATCH):
                    stacked = np.stack(inputs[start : start + EMBED_BATCH])
                    parts.append(self._call("image_embedder", {"image": stacked}, ("embedding",))["embedding"])
                result["embeddings"] = np.concatenate(parts)
        return result

    def _depths_and_analysis(
        self,
        photo: Photo,
        found: Detections,
        vocabulary: list[str],
        depth_map: NDArray[np.float32],
        options: Options,
        roles: list[str],
        watch: Stopwatch,
    ) -> dict[str, NDArray[Any]]:
        with watch.stage("measure"):
            measured = depths.measure(depths.over_photo(depth_map, photo.size_wh), found.boxes_xyxy, photo.size_wh)
            medians = [depth.median for depth in measured]
            quality = assess(photo.image, found.boxes_xyxy, medians)
            boxes = _crop_boxes(photo, found, options)
            garments = [
                self._garment(photo, found, vocabulary, index, measured[index], quality[index], boxes[index])
                for index in range(len(found))
            ]
        identities = self._identities(roles)
        analysis = {
            "photo": {"width": photo.size_wh[0], "height": photo.size_wh[1], "format": photo.format},
            "vocabulary": vocabulary,
            "garments": garments,
            "models": identities,
            "warnings": warnings_of(identities),
            "timings_ms": watch.timings_ms(),
        }
        return {
            "analysis": _texts([json.dumps(analysis, ensure_ascii=False, allow_nan=False)]),
            "depth_medians": np.asarray(medians, np.float32),
            "depth_map": depth_map,
        }

    def _identities(self, roles: Sequence[str]) -> list[dict[str, Any]]:
        return [self._engines[role].identity for role in roles]

    @staticmethod
    def _garment(
        photo: Photo,
        found: Detections,
        vocabulary: list[str],
        index: int,
        depth: depths.Depth,
        quality: Quality,
        box: crops.PixelBox,
    ) -> dict[str, Any]:
        x0, y0, x1, y1 = (float(value) for value in found.boxes_xyxy[index])
        phrase = vocabulary[found.phrase_ids[index]]
        category = category_of(phrase)
        return {
            "id": index,
            "phrase": phrase,
            "phrase_id": int(found.phrase_ids[index]),
            "category": category
            and {"id": category.id, "name": category.name, "supercategory": category.supercategory},
            "score": float(found.scores[index]),
            "box_xyxy": [x0, y0, x1, y1],
            "crop_box_xyxy": list(box),
            "depth": asdict(depth),
            "colours": [asdict(colour) for colour in garment_colours(photo.image, (x0, y0, x1, y1))],
            "flags": list(quality.flags),
            "overlapped_by": list(quality.overlapped_by),
        }

    @staticmethod
    def _took_part(role: str, detected: bool, embedded: bool) -> bool:  # noqa: FBT001 - two facts about one request
        if role in {"vocabulary_encoder", "garment_detector"}:
            return detected
        return embedded if role == "image_embedder" else True


def _crop_boxes(photo: Photo, found: Detections, options: Options) -> list[crops.PixelBox]:
    return [
        crops.crop_box((float(x0), float(y0), float(x1), float(y1)), options.crop_padding, photo.size_wh)
        for x0, y0, x1, y1 in found.boxes_xyxy
    ]


def _texts(texts: Any) -> NDArray[np.object_]:  # noqa: ANN401 - any iterable of str
    return _objects([text.encode("utf-8") for text in texts])


def _objects(values: list[bytes]) -> NDArray[np.object_]:
    """BYTES tensors are numpy object arrays; np.asarray would cut trailing NULs off bytes."""
    result = np.empty(len(values), np.object_)
    result[:] = values
    return result
