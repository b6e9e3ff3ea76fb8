"""What `torch.onnx.export` makes of transformers' own models, for comparison: sizes as traced, nothing rewritten.

GroundingDINO cannot be exported as it is. Four things are replaced, none of which takes time: the masks of the text
(their isin has no ONNX operator), checks of shapes, the canvas of minus infinities that logits are written into, and
linspace, whose constants the exporter writes as doubles.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning
from transformers.models.grounding_dino import modeling_grounding_dino

from fashioncrop_export.text_masks import phrase_masks

_OPSET = 17
"""The exporter's own default."""


class PlainDetector(nn.Module):
    """transformers' forward, from pixels and token ids.

    Args:
        model: is only read.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers' models have no common type
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and boxes."""
        answer = self.model(pixel_values=pixel_values, input_ids=input_ids, attention_mask=attention_mask)
        return answer.logits, answer.pred_boxes


class PlainModel(nn.Module):
    """One output of a model that takes one tensor.

    Args:
        model: is only read.
        takes: the name of the tensor.
        gives: the name of the output.
    """

    def __init__(self, model: Any, takes: str, gives: str) -> None:  # noqa: ANN401 - as PlainDetector
        super().__init__()
        self.model, self.takes, self.gives = model, takes, gives

    def forward(self, tensor: Tensor) -> Tensor:
        """The output."""
        output: Tensor = getattr(self.model(**{self.takes: tensor}), self.gives)
        return output


def plain_export(module: nn.Module, feed: Mapping[str, Tensor]) -> bytes:
    """The graph at the sizes of `feed`.

    Args:
        module: `PlainDetector` or `PlainModel`.
        feed: its inputs in order.
    """
    buffer = BytesIO()
    with torch.no_grad(), warnings.catch_warnings(), exportable():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the exporter's age
        warnings.simplefilter("ignore", TracerWarning)  # sizes become constants, as they are meant to here
        warnings.filterwarnings("ignore", message="Exporting aten::index operator")  # no index here is negative
        warnings.filterwarnings("ignore", message="Constant folding - Only steps=1 can be constant folded")
        torch.onnx.export(
            module.eval(),
            tuple(feed.values()),
            buffer,  # type: ignore[arg-type]  # which the TorchScript exporter takes
            input_names=list(feed),
            opset_version=_OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


@contextmanager
def exportable() -> Iterator[None]:
    """Replaces the four things for as long as the block lasts."""
    with ExitStack() as stack:
        for name, replacement in (
            ("generate_masks_with_special_tokens_and_transfer_map", _masks),
            ("torch_compilable_check", lambda *_arguments, **_options: None),
        ):
            stack.enter_context(patch.object(modeling_grounding_dino, name, replacement))
        stack.enter_context(patch.object(torch, "linspace", _linspace))
        embedding = modeling_grounding_dino.GroundingDinoContrastiveEmbedding
        stack.enter_context(patch.object(embedding, "forward", _token_logits))
        yield


def _masks(input_ids: Tensor, special_tokens: Tensor) -> tuple[Tensor, Tensor]:
    return phrase_masks(input_ids, special_tokens.tolist())


def _linspace(start: float, end: float, steps: int, **options: Any) -> Tensor:  # noqa: ANN401 - as torch's
    step = (end - start) / max(steps - 1, 1)
    return (torch.arange(steps, device=options.get("device")) * step + start).to(torch.float32)


def _token_logits(
    _self: nn.Module, vision_hidden_state: Tensor, text_hidden_state: Tensor, text_token_mask: Tensor
) -> Tensor:
    logits = vision_hidden_state @ text_hidden_state.transpose(-1, -2)
    return logits.masked_fill(~text_token_mask[:, None, :], float("-inf"))
