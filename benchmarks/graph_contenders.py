"""What `graphs.py` lets run against each other, each ready to be run once: original, plain export, this project's."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray
from transformers import (
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
    DepthAnythingForDepthEstimation,
    GroundingDinoForObjectDetection,
)

from fashioncrop._embedded import control
from fashioncrop.model_repository import Role, engine_folder, read_config
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE
from fashioncrop_export.graph_plan import noise_image
from fashioncrop_export.originals import Originals, normalised_pixels
from fashioncrop_export.sources import default_cache, find_checkpoint
from fashioncrop_export.variants import Variant
from plain_exports import PlainDetector, PlainModel, plain_export

Feed = Mapping[str, NDArray[Any]]
EAGER, PLAIN, FP32, INT8 = "transformers, eager", "plain export", "this project, fp32", "this project, int8"
NO_ARENA = "this project, fp32, no arena"
# GroundingDINO's [CLS], [SEP] and full stop; CLIP's start and end of text.
_CLS, _SEP, _STOP = 101, 102, 1012
_START_OF_TEXT, _END_OF_TEXT = 49406, 49407
_SENTENCE_TOKENS = 10


@dataclass(frozen=True)
class Sizes:
    """What the models are given.

    Attributes:
        photo_hw: that the detector sees.
        depth_hw: that depth_estimator sees.
        tokens: of the detector's vocabulary.
        crops: at a time.
    """

    photo_hw: tuple[int, int]
    depth_hw: tuple[int, int]
    tokens: int
    crops: int


def sizes_of(*, photo_hw: tuple[int, int], tokens: int) -> Sizes:
    """Of the detector alone."""
    return Sizes(photo_hw, (0, 0), tokens, 0)


class Memory(StrEnum):
    """How a session manages memory between and during its runs."""

    SERVED = "as served"
    KEPT = "arena kept"
    NO_ARENA = "no arena"


@dataclass(frozen=True)
class Contender:
    """One way to compute a model.

    Attributes:
        name: of the way.
        parts: what has to run for an answer, by name: the text's encoder and the detector, or one graph.
        nodes: of its graphs, constants not counted; None without one.
        file_bytes: of its graphs; None without one.
    """

    name: str
    parts: Mapping[str, Callable[[], object]]
    nodes: int | None = None
    file_bytes: int | None = None


class Subject:
    """One model and all ways to compute it, on one thread.

    Args:
        role: which model; the detector comes with its vocabulary_encoder.
        models: the checkpoint, as export names it.
        repository: holds the engines.
        sizes: what the models are given.
    """

    def __init__(self, role: Role, models: str, repository: Path, sizes: Sizes) -> None:
        self.role = role
        self._repository = repository
        self._sizes = sizes
        self._checkpoint = find_checkpoint(models, FAMILY_OF_ROLE[role], default_cache(), {})
        self._roles = (Role.VOCABULARY_ENCODER, role) if role is Role.GARMENT_DETECTOR else (role,)
        self._feeds = self._all_feeds()

    def contenders(self, folder: Path, *, with_arena: bool) -> Iterator[Contender]:
        """The original first.

        Args:
            folder: where the plain export is written.
            with_arena: also run the graph without ONNX Runtime's memory arena, where it has one that is shrunk.
        """
        module, inputs = self._original()
        yield Contender(EAGER, {"whole": lambda: module(*inputs.values())})
        path = folder / f"{self.role}.onnx"
        path.write_bytes(plain_export(module, inputs))
        session = self._session(path, self.role)
        feed = {name: tensor.numpy() for name, tensor in inputs.items()}
        feed = {each.name: feed[each.name] for each in session.get_inputs()}  # what ended as a constant is no input
        yield self._graphs(PLAIN, [path], {"whole": self._run(session, feed)})
        yield self._ours(FP32, Variant.FP32)
        if with_arena and "memory.enable_memory_arena_shrinkage" in read_config(self._repository, self.role).parameters:
            yield self._ours(NO_ARENA, Variant.FP32, arena=False)
        if (engine_folder(self._repository, self.role) / Variant.INT8.engine_file).is_file():
            yield self._ours(INT8, Variant.INT8)

    def detector_run(self, photo_hw: tuple[int, int], batch: int) -> Callable[[], object]:
        """One run of the detector on so many photos of one size."""
        at_sizes = self.detector_at_sizes(Memory.SERVED)
        return lambda: at_sizes(photo_hw, batch)

    def detector_at_sizes(self, memory: Memory) -> Callable[..., object]:
        """Runs the detector on photos of any height and width: `run((height, width), batch)`."""
        path = engine_folder(self._repository, self.role) / Variant.FP32.engine_file
        session = self._session(path, self.role, arena=memory is not Memory.NO_ARENA)
        config = self._config(self.role) if memory is Memory.SERVED else {}
        options = _settings_of_backend().run_options(config)
        text = {name: array for name, array in self._feeds[self.role].items() if name != "image"}

        def run(photo_hw: tuple[int, int], batch: int = 1) -> object:
            feed = {name: np.repeat(array, batch, axis=0) for name, array in text.items()}
            return session.run(None, {**feed, "image": noise_image((batch, *photo_hw), seed=0)}, options)

        return run

    def _ours(self, name: str, variant: Variant, *, arena: bool = True) -> Contender:
        paths, parts = [], {}
        for role in self._roles:
            own = variant if (self._repository / role / variant.config_file).is_file() else Variant.FP32
            paths.append(engine_folder(self._repository, role) / own.engine_file)
            session = self._session(paths[-1], role, arena=arena)
            parts[role.value] = self._run(session, self._feeds[role], shrinks=arena)
        return self._graphs(name, paths, parts)

    @staticmethod
    def _graphs(name: str, paths: Sequence[Path], parts: Mapping[str, Callable[[], object]]) -> Contender:
        nodes = [node for path in paths for node in onnx.load(str(path), load_external_data=False).graph.node]
        count = sum(node.op_type != "Constant" for node in nodes)
        return Contender(name, parts, count, sum(path.stat().st_size for path in paths))

    def _run(self, session: ort.InferenceSession, feed: Feed, *, shrinks: bool = True) -> Callable[[], object]:
        options = _settings_of_backend().run_options(self._config(self.role) if shrinks else {})
        return lambda: session.run(None, dict(feed), options)

    def _session(self, path: Path, role: Role, *, arena: bool = True) -> ort.InferenceSession:
        """With the served configuration's memory, and one thread."""
        options = _settings_of_backend().session_options(self._config(role))
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not arena:
            options.enable_cpu_mem_arena = False
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def _config(self, role: Role) -> dict[str, Any]:
        return dict(MessageToDict(read_config(self._repository, role), preserving_proto_field_name=True))

    def _all_feeds(self) -> dict[Role, Feed]:
        sizes, side = self._sizes, 224
        if self.role is Role.GARMENT_DETECTOR:
            ids = caption(sizes.tokens)
            encoder = self._session(
                engine_folder(self._repository, Role.VOCABULARY_ENCODER) / Variant.FP32.engine_file,
                Role.VOCABULARY_ENCODER,
            )
            names = [output.name for output in encoder.get_outputs()]
            text = dict(zip(names, encoder.run(names, {"input_ids": ids}), strict=True))
            image = noise_image((1, *sizes.photo_hw), seed=0)
            return {Role.VOCABULARY_ENCODER: {"input_ids": ids}, self.role: {"image": image, **text}}
        if self.role is Role.TEXT_EMBEDDER:
            words = np.arange(_SENTENCE_TOKENS - 2) + 1
            return {self.role: {"input_ids": np.asarray([[_START_OF_TEXT, *words, _END_OF_TEXT]])}}
        shape = (sizes.crops, side, side) if self.role is Role.IMAGE_EMBEDDER else (1, *sizes.depth_hw)
        return {self.role: {"image": noise_image(shape, seed=0)}}

    def _original(self) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
        """The model as transformers has it, and its own inputs."""
        originals, feed = Originals(), self._feeds[self.role]
        if self.role is Role.TEXT_EMBEDDER:
            model: Any = originals.load(self._checkpoint, CLIPTextModelWithProjection)
            ids = torch.from_numpy(feed["input_ids"])
            return PlainModel(model, "input_ids", "text_embeds"), {"input_ids": ids}
        pixels = normalised_pixels(self._checkpoint, feed["image"])
        if self.role is Role.GARMENT_DETECTOR:
            model = originals.load(self._checkpoint, GroundingDinoForObjectDetection)
            ids = torch.from_numpy(self._feeds[Role.VOCABULARY_ENCODER]["input_ids"])
            inputs = {"pixel_values": pixels, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
            return PlainDetector(model), inputs
        if self.role is Role.IMAGE_EMBEDDER:
            model = originals.load(self._checkpoint, CLIPVisionModelWithProjection)
            return PlainModel(model, "pixel_values", "image_embeds"), {"pixel_values": pixels}
        model = originals.load(self._checkpoint, DepthAnythingForDepthEstimation)
        return PlainModel(model, "pixel_values", "predicted_depth"), {"pixel_values": pixels}


def caption(tokens: int) -> NDArray[np.int64]:
    """Phrases of two words, each with its full stop, as the detector reads them: int64 [1, tokens]."""
    inner = [_STOP if place % 3 == 2 else 5 + place for place in range(tokens - 3)]  # noqa: PLR2004 - two words, a stop
    return np.asarray([[_CLS, *inner, _STOP, _SEP]], np.int64)


def _settings_of_backend() -> Any:  # noqa: ANN401 - a module
    """The embedded server's own reading of a configuration."""
    path = Path(control.__file__).parent / "backends" / "onnxruntime" / "session_settings.py"
    spec = importlib.util.spec_from_file_location("settings_of_backend", path)
    if spec is None or spec.loader is None:
        raise ImportError(os.fspath(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
