"""text_embedder: CLIP's text side with its projection, from token ids to a unit vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModelWithProjection

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role
from fashioncrop_export.captions import cut_to, token_ids
from fashioncrop_export.checkpoints import Checkpoint
from fashioncrop_export.graph_plan import Array, Arrays, Case, GraphPlan, Quantisation, Tolerance
from fashioncrop_export.originals import Originals, tokenizer_of, with_eager_attention

# Configurations from before transformers #24773 name this id; there the end-of-text token is the largest in the text.
_LEGACY_END_ID = 2
_END_OF_TEXT = "<|endoftext|>"


class TextEmbedder(nn.Module):
    """Token ids to a unit vector.

    There is no attention mask: attention is causal and the vector is read at the first end-of-text token.

    Args:
        model: a copy of transformers' model with eager attention.
    """

    def __init__(self, model: CLIPTextModelWithProjection) -> None:
        super().__init__()
        self.text_model = model.text_model
        self.text_projection = model.text_projection
        self.end_id = model.text_model.eos_token_id

    def forward(self, input_ids: Tensor) -> Tensor:
        """int64 [batch, tokens] -> float32 [batch, width], L2 norm 1."""
        places = torch.arange(input_ids.shape[1])
        penalty = torch.where(places > places[:, None], torch.finfo(torch.float32).min, 0.0)[None, None]
        embedded = self.text_model.embeddings(input_ids=input_ids)
        hidden = self.text_model.encoder(inputs_embeds=embedded, attention_mask=penalty).last_hidden_state
        # int32, because ONNX Runtime's ArgMax takes no int64; the first of several maxima wins in both.
        ids = input_ids.to(torch.int32)
        is_end = ids if self.end_id == _LEGACY_END_ID else (ids == self.end_id).to(torch.int32)
        index = is_end.argmax(-1)[:, None, None].expand(-1, 1, hidden.shape[-1])
        pooled = hidden.gather(1, index)[:, 0]
        # The norm is per token, so it may follow the choice of the token.
        return functional.normalize(self.text_projection(self.text_model.final_layer_norm(pooled)), dim=-1)


def plan(checkpoint: Checkpoint, originals: Originals) -> GraphPlan:
    """Prepare the export of this model."""
    model = originals.load(checkpoint, CLIPTextModelWithProjection)
    tokenizer = tokenizer_of(checkpoint)
    padding_id = tokenizer.token_to_id(_END_OF_TEXT)
    if padding_id is None:
        raise ModelFileError(f"The tokeniser in {checkpoint.folder} has no {_END_OF_TEXT}.")
    _check_end(checkpoint, model, padding_id, largest_id=max(tokenizer.get_vocab().values()))
    longest = model.config.max_position_embeddings

    def ids(*texts: str) -> Array:
        return cut_to(token_ids(tokenizer, texts, padding_id=padding_id), longest, ending=[padding_id])

    def reference(case: Case, _pinned: Array | None) -> Arrays:
        with torch.inference_mode():
            embeds = model(input_ids=torch.from_numpy(case.feed["input_ids"])).text_embeds
        return {"embedding": functional.normalize(embeds, dim=-1).numpy()}

    return GraphPlan(
        role=Role.TEXT_EMBEDDER,
        module=TextEmbedder(with_eager_attention(model)),
        example={"input_ids": torch.from_numpy(ids("a red skirt", "a person in a blue coat"))},
        inputs={"input_ids": ("batch", "tokens")},
        outputs={"embedding": ("batch", model.text_projection.out_features)},
        cases=(
            Case("one text", {"input_ids": ids("a watch")}),
            Case("three texts, two padded", {"input_ids": ids("shoe", "a black leather belt", "hat and scarf")}),
            Case("as long as may be", {"input_ids": ids("red " * longest)}),
        ),
        reference=reference,
        tolerances={"embedding": Tolerance(relative=1e-4)},
        quantisation=Quantisation(Tolerance(relative=0.1), frozenset({"text_projection"})),
        preprocessing={"max_tokens": longest, "tokenizer": "tokenizer.json"},
    )


def _check_end(
    checkpoint: Checkpoint, model: CLIPTextModelWithProjection, tokenizers_id: int, *, largest_id: int
) -> None:
    """Refuse a model that would not find the end of what its tokeniser writes: it would read every text elsewhere."""
    models_id = model.text_model.eos_token_id
    if models_id == _LEGACY_END_ID and tokenizers_id != largest_id:
        raise ModelFileError(
            f"{checkpoint.folder}: with eos_token_id {_LEGACY_END_ID} a text is read at its largest id, so the "
            f"tokeniser's {_END_OF_TEXT} has to be the largest: expected {largest_id}, got {tokenizers_id}. Say its id "
            "as eos_token_id in text_config."
        )
    if models_id not in (_LEGACY_END_ID, tokenizers_id):
        raise ModelFileError(
            f"{checkpoint.folder}: expected an eos_token_id of {tokenizers_id} in text_config, the tokeniser's "
            f"{_END_OF_TEXT}, got {models_id}."
        )
