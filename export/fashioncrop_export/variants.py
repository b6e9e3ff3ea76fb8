"""The forms in which one model can be served, each a file of its own beside the others.

A variant is picked for the whole server by the name of a configuration: `--model-config-name=int8` makes Triton read
each model's `configs/int8.pbtxt`, and its `config.pbtxt` where there is no such file.
"""

from __future__ import annotations

from enum import StrEnum


class Variant(StrEnum):
    """How a model computes; the value is the configuration's name."""

    FP32 = "fp32"
    INT8 = "int8"
    TENSORRT = "tensorrt"

    @property
    def engine_file(self) -> str:
        """What `default_model_filename` says in the variant's configuration."""
        return _ENGINE_FILES[self]

    @property
    def identity_file(self) -> str:
        """The `model.json` of this variant's engine, beside it."""
        return "model.json" if self is Variant.FP32 else f"model.{self}.json"

    @property
    def config_file(self) -> str:
        """The configuration, in the model's folder; a model that lacks it has no such variant."""
        return "config.pbtxt" if self is Variant.FP32 else f"configs/{self}.pbtxt"


_ENGINE_FILES = {
    Variant.FP32: "model.onnx",
    Variant.INT8: "model.int8.onnx",
    Variant.TENSORRT: "model.plan",
}
