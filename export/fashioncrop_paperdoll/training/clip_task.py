"""Trains the small CLIP on crops of drawn garments and on phrases that describe them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel

from fashioncrop_export.small_tokenizers import save_byte_pairs
from fashioncrop_paperdoll.training.checkpoint import save_checkpoint
from fashioncrop_paperdoll.training.crop_pool import CropPool
from fashioncrop_paperdoll.training.prompts import SYNONYMS
from fashioncrop_paperdoll.training.words import WORDS

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_SIDE_PX, _MAX_TOKENS = 224, 32
_END = "<|endoftext|>"
_EVALUATED = 1500
Words = tuple[str, str, str]


class ClipTask:
    """See `loop.Task`.

    Args:
        pool: crops to learn from.
        validation: crops to be judged by.
        batch: crops a step and process.
        device: of the model.
    """

    def __init__(self, pool: CropPool, validation: CropPool, *, batch: int, device: str = "cpu") -> None:
        self.pool, self.validation, self.batch = pool, validation, batch
        self.device = torch.device(device)
        with tempfile.TemporaryDirectory() as folder:
            save_byte_pairs(Path(folder), words=WORDS, max_tokens=_MAX_TOKENS, compact=True)
            self._tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.modules = nn.ModuleDict({"model": new_clip(self._tokenizer)}).to(self.device)

    def loss(self, rng: np.random.Generator, step: int) -> tuple[Tensor, dict[str, float]]:
        """Every phrase that fits a crop is right for it, not only the one drawn for it (multi-positive InfoNCE)."""
        del step
        chosen = rng.integers(len(self.pool), size=self.batch)
        images = np.stack([self.pool.images[index] for index in chosen])
        if rng.random() < 0.5:
            images = images[:, :, ::-1]
        words = [self.pool.words[index] for index in chosen]
        said = [_draw_said(rng, each) for each in words]
        model: Any = self.modules["model"]
        vision = self.embed_images(model, images)
        text = self.embed_texts(model, [phrase for phrase, _ in said])
        fits = torch.tensor([[_fits(each, crop) for _, each in said] for crop in words], dtype=torch.float32)
        fits = fits.to(self.device)
        logits = (vision @ text.T).float() * model.logit_scale.exp().clamp(max=100)
        by_crop = -(fits / fits.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
        by_text = -(fits / fits.sum(0) * logits.log_softmax(0)).sum(0).mean()
        right = fits.gather(1, logits.argmax(1, keepdim=True)).mean()
        return (by_crop + by_text) / 2, {"right": float(right)}

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Phrase to crop, and crop to phrase, over held-out crops."""
        images, words = self.validation.images[:_EVALUATED], self.validation.words[:_EVALUATED]
        vision = torch.cat(
            [self.embed_images(model, images[start : start + 250]) for start in range(0, len(images), 250)]
        )
        captions = sorted(set(words))
        text = self.embed_texts(model, [caption(each) for each in captions])
        likeness = vision @ text.T
        said = [captions[index] for index in likeness.argmax(1).tolist()]
        shown = [words[index] for index in likeness.argmax(0).tolist()]
        hundreds = []
        for start in range(0, len(words) - 99, 100):
            own = words[start : start + 100]
            columns = torch.tensor([captions.index(each) for each in own])
            best = likeness[start : start + 100][:, columns].argmax(0).tolist()
            hundreds.append(np.mean([own[found] == wanted for found, wanted in zip(best, own, strict=True)]))
        return {
            "crop to caption": _share(a == b for a, b in zip(said, words, strict=True)),
            "noun": _share(a[0] == b[0] for a, b in zip(said, words, strict=True)),
            "colour": _share(a[1] == b[1] for a, b in zip(said, words, strict=True)),
            "pattern": _share(a[2] == b[2] for a, b in zip(said, words, strict=True)),
            "caption to crop": _share(a == b for a, b in zip(shown, captions, strict=True)),
            "caption to crop of 100": round(float(np.mean(hundreds)), 4),
        }

    def embed_images(self, model: nn.Module, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [n, side, side, 3] -> unit vectors float32 [n, 512]."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2).float() / 255
        pixels = functional.interpolate(pixels, size=(_SIDE_PX, _SIDE_PX), mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(each, device=self.device)[None, :, None, None] for each in (_MEAN, _STD))
        clip: Any = model  # nn.Module's attributes have no types
        pooled = clip.vision_model(pixel_values=(pixels - mean) / std).pooler_output
        return functional.normalize(clip.visual_projection(pooled).float(), dim=-1)

    def embed_texts(self, model: nn.Module, texts: Sequence[str]) -> Tensor:
        """Texts -> unit vectors float32 [n, 512]."""
        ids = [self._tokenizer.encode(text).ids for text in texts]
        end = self._tokenizer.token_to_id(_END)
        padded = np.full((len(ids), max(map(len, ids))), end)
        for row, own in enumerate(ids):
            padded[row, : len(own)] = own
        clip: Any = model
        pooled = clip.text_model(input_ids=torch.from_numpy(padded).to(self.device)).pooler_output
        return functional.normalize(clip.text_projection(pooled).float(), dim=-1)

    def save(self, model: nn.Module, folder: Path) -> None:
        """The checkpoint as the published one is laid out, weights in fp16."""
        if not isinstance(model, CLIPModel):
            raise TypeError("the CLIP task saves a CLIP")
        save_checkpoint(
            folder,
            model,
            name="paperdoll clip",
            processor="CLIPImageProcessor",
            preprocessing={
                "size": {"shortest_edge": _SIDE_PX},
                "crop_size": {"height": _SIDE_PX, "width": _SIDE_PX},
                "do_center_crop": True,
                "do_convert_rgb": True,
                "resample": 3,
                "image_mean": list(_MEAN),
                "image_std": list(_STD),
            },
        )
        save_byte_pairs(folder, words=WORDS, max_tokens=_MAX_TOKENS, compact=True)


def new_clip(tokenizer: Tokenizer) -> CLIPModel:
    """An untrained CLIP whose patches are those of ViT-B/32, everything else smaller."""
    end, start = tokenizer.token_to_id(_END), tokenizer.token_to_id("<|startoftext|>")
    tower = {"hidden_size": 96, "intermediate_size": 288, "num_attention_heads": 4}
    config = CLIPConfig(
        text_config={
            **tower,
            "num_hidden_layers": 2,
            "vocab_size": tokenizer.get_vocab_size(),
            "max_position_embeddings": _MAX_TOKENS,
            "bos_token_id": start,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        vision_config={**tower, "num_hidden_layers": 3, "image_size": _SIDE_PX, "patch_size": 32},
        projection_dim=512,
        logit_scale_init_value=math.log(1 / 0.07),
    )
    model = CLIPModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embedding" in name:
                parameter.normal_(0, 0.1 if "token" in name else 0.05)
            elif name.endswith("weight") and parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.xavier_uniform_(model.vision_model.embeddings.patch_embedding.weight.view(96, -1))
    return model


def caption(words: Words) -> str:
    """The phrase that describes a garment wholly: "red striped skirt"."""
    noun, colour, pattern = words
    return " ".join([colour, *([pattern] if pattern != "plain" else []), noun])


def _draw_said(rng: np.random.Generator, words: Words) -> tuple[str, tuple[str, str | None, str | None]]:
    """A phrase that fits, and what it says: noun, and colour and pattern where it says them."""
    noun, colour, pattern = words
    says_colour, says_pattern = rng.random() < 0.85, rng.random() < 0.75
    shown = str(rng.choice(SYNONYMS[noun])) if rng.random() < 0.15 else noun
    parts = [
        *([colour] if says_colour else []),
        *([pattern] if says_pattern and (pattern != "plain" or rng.random() < 0.3) else []),
        shown,
    ]
    lead = str(rng.choice(["", "a ", "a photo of a "], p=[0.5, 0.3, 0.2]))
    return lead + " ".join(parts), (noun, colour if says_colour else None, pattern if says_pattern else None)


def _fits(said: tuple[str, str | None, str | None], words: Words) -> bool:
    return said[0] == words[0] and said[1] in (None, words[1]) and said[2] in (None, words[2])


def _share(hits: object) -> float:
    return round(float(np.mean(list(hits))), 4)  # type: ignore[call-overload]  # any iterable of truths
