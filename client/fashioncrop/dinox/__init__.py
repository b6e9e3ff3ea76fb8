"""DINO-X, a detector in the cloud, asked instead of the server's own: boxes for the pipeline's `boxes_xyxy`.

The service is DeepDataSpace's REST API, version 2: a task is created with the photo and what to look for, and asked for
until it is done. Its endpoints and fields are those of the vendor's own SDK and examples; the SDK itself is not used,
because it reports each use, the caller's token with it, to a third party.

>>> async with DinoX(DinoXSettings(api_key=SecretStr("..."))) as dinox:  # doctest: +SKIP
...     found = await dinox.detect(photo, ["shirt", "pants"])
...     await client.analyze(photo, boxes_xyxy=found.boxes_xyxy, box_phrases=found.phrases, box_scores=found.scores)
"""

from fashioncrop.dinox.answers import CloudDetections
from fashioncrop.dinox.detector import DinoX
from fashioncrop.dinox.settings import DinoXSettings

__all__ = ["CloudDetections", "DinoX", "DinoXSettings"]
