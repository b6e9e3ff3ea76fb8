"""A Triton model that takes a photo and says how large it is: what is left is the way of its pixels into a model.

The benchmark serves it twice: `encoded_photo` takes the file and decodes it, `raw_pixels` takes the pixels as a tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from photo import Limits, decode_photo

_LIMITS = Limits(max_bytes=2**26, max_pixels=64_000_000)


class TritonPythonModel:
    """The name that Triton's Python backend looks for."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """`[width, height]` for each request."""
        responses = []
        for request in requests:
            image = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
            if image.dtype == np.object_:
                image = np.asarray(decode_photo(image.reshape(-1)[0], _LIMITS).image)
            size_wh = np.asarray([image.shape[1], image.shape[0]], np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("size_wh", size_wh)]))
        return responses
