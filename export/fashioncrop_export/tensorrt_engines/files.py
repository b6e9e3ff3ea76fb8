"""The names of a TensorRT engine's files, beside `model.onnx`."""

from __future__ import annotations

from fashioncrop.plans import FINGERPRINT_FILE, PLAN_FILE

GRAPH_FILE = "model.tensorrt.onnx"
"""The graph that the engine is built from: precision written in, constants plain."""
TIMING_CACHE_FILE = "tensorrt-{version}-{compute_capability}.timing"
"""In the cache folder: what TensorRT measured of kernels, so that the next engine is built faster."""

__all__ = ["FINGERPRINT_FILE", "GRAPH_FILE", "PLAN_FILE", "TIMING_CACHE_FILE"]
