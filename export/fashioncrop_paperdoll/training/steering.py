"""Does a detector in training find only what it is asked for?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fashioncrop_paperdoll.scene import Garment
from fashioncrop_paperdoll.training.average_precision import Found
from fashioncrop_paperdoll.training.detector_loss import iou_and_giou

THRESHOLD = 0.35
"""The served pipeline's default."""
_SAME_IOU = 0.5


def finds_nothing_else(
    found: Found, garments: Sequence[Garment], asked: Sequence[str], size_hw: tuple[int, int]
) -> bool:
    """Is every box above the threshold on something asked for, or on no garment at all?

    Args:
        found: in one photo.
        garments: its truth.
        asked: the nouns of the prompt.
        size_hw: of the photo in pixels, to which the truth's boxes refer.
    """
    boxes, scores, _ = found
    sure = torch.from_numpy(boxes[scores > THRESHOLD])
    if not len(sure) or not garments:
        return True
    height, width = size_hw
    true = torch.tensor([garment.box_xyxy for garment in garments]) / torch.tensor([width, height, width, height])
    shared, _ = iou_and_giou(sure[:, None], true[None].float())
    wanted = torch.from_numpy(np.isin([garment.noun for garment in garments], list(asked)))
    on_wanted = (shared * wanted).amax(-1)
    on_other = (shared * ~wanted).amax(-1)
    return not bool(((on_other >= _SAME_IOU) & (on_other > on_wanted)).any())
