"""A checkpoint that is not what it has to be is refused with a sentence that says what was expected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionModelWithProjection,
    DepthAnythingForDepthEstimation,
    GroundingDinoForObjectDetection,
)

from fashioncrop.errors import ModelFileError
from fashioncrop_export.checkpoints import Family, directory_checkpoint
from fashioncrop_export.originals import Originals, tokenizer_of
from fashioncrop_export.preprocessing import crop_hw, read_photo_preprocessing
from fashioncrop_export.sources import find_checkpoint

pytestmark = pytest.mark.export

GROUNDING_DINO, CLIP, DEPTH = Family


@pytest.fixture
def directory(checkpoints: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(checkpoints, tmp_path / "models"))


def edit_json(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def renamed(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


FOLDER_FAULTS: dict[str, tuple[Family, Callable[[Path], Any], str]] = {
    "no folder": (CLIP, shutil.rmtree, r"has no folder clip/; a checkpoint directory holds grounding-dino/, clip/"),
    "no config": (DEPTH, lambda folder: (folder / "config.json").unlink(), r"config.json cannot be read"),
    "config is a list": (DEPTH, lambda folder: (folder / "config.json").write_text("[]"), r"is not a JSON object"),
    "config is damaged": (
        DEPTH,
        lambda folder: (folder / "config.json").write_text('{"a"'),
        r"config.json is not JSON",
    ),
    "other model": (
        CLIP,
        lambda folder: edit_json(folder / "config.json", model_type="siglip"),
        r"of another model: expected model_type clip, got siglip",
    ),
    "other projection": (
        CLIP,
        lambda folder: edit_json(folder / "config.json", projection_dim=768),
        r"expected projection_dim 512, got 768",
    ),
    "wider than the interface": (
        GROUNDING_DINO,
        lambda folder: edit_json(folder / "config.json", d_model=512),
        r"config\.json: expected d_model as a multiple of 32 and at most 256, got 512\.",
    ),
    "a width that norm groups do not divide": (
        GROUNDING_DINO,
        lambda folder: edit_json(folder / "config.json", d_model=100),
        r"expected d_model as a multiple of 32 and at most 256, got 100",
    ),
    "other positions, one stage": (
        GROUNDING_DINO,
        lambda folder: edit_json(folder / "config.json", position_embedding_type="learned", two_stage=False),
        r"expected position_embedding_type sine, got learned; expected two_stage True, got False\.",
    ),
    "other backbone": (
        GROUNDING_DINO,
        lambda folder: edit_json(folder / "config.json", backbone_config={"model_type": "resnet"}),
        r"expected a Swin without absolute position embeddings as backbone_config",
    ),
    "smaller crops": (
        CLIP,
        lambda folder: edit_json(folder / "config.json", vision_config={"image_size": 64, "patch_size": 8}),
        r"expected image_size 224 in vision_config \(the patches may be of any size\), got 64",
    ),
    "no weights": (DEPTH, lambda folder: (folder / "model.safetensors").unlink(), r"has no model\.safetensors"),
    "pickled weights": (DEPTH, renamed("pytorch_model.bin"), r"only pickled weights \(pytorch_model\.bin\), which run"),
    "weights of torch's": (
        CLIP,
        renamed("clip.pt"),
        r"only pickled weights \(clip\.pt\), which run code when they are",
    ),
    "a training's state": (DEPTH, renamed("last.ckpt"), r"only pickled weights \(last\.ckpt\), which run code"),
    "truncated weights": (
        GROUNDING_DINO,
        lambda folder: truncate(folder / "model.safetensors"),
        r"is truncated or damaged: expected \d+ bytes, got \d+",
    ),
    "weights are no safetensors": (
        GROUNDING_DINO,
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x02}q\x00." * 100),
        r"is not a safetensors file, or is truncated",
    ),
    "empty weights": (
        DEPTH,
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        r"is not a safetensors file, or is truncated",
    ),
    "no tokeniser": (
        GROUNDING_DINO,
        lambda folder: (folder / "tokenizer.json").unlink(),
        r"has no tokeniser: expected tokenizer\.json or a vocabulary file",
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
def test_a_folder_is_refused_before_it_is_loaded(directory: Path, fault: str) -> None:
    family, spoil, message = FOLDER_FAULTS[fault]
    spoil(directory / family)
    with pytest.raises(ModelFileError, match=message):
        find_checkpoint(str(directory), family, directory / "unused", {})


def drop(name: str) -> Callable[[Path], None]:
    def change(weights: dict[str, Any]) -> None:
        del weights[name]

    return lambda folder: edit_weights(folder, change)


def cut(name: str) -> Callable[[Path], None]:
    def change(weights: dict[str, Any]) -> None:
        weights[name] = weights[name][:-1].clone()

    return lambda folder: edit_weights(folder, change)


WEIGHT_FAULTS: dict[str, tuple[Family, type[Any], Callable[[Path], None], str]] = {
    "missing": (
        CLIP,
        CLIPVisionModelWithProjection,
        drop("visual_projection.weight"),
        r"lacks weights that CLIPVisionModelWithProjection needs: visual_projection\.weight\.",
    ),
    "missing in the detector": (
        GROUNDING_DINO,
        GroundingDinoForObjectDetection,
        drop("model.level_embed"),
        r"lacks weights that GroundingDinoForObjectDetection needs: model\.level_embed\.",
    ),
    "another shape": (
        DEPTH,
        DepthAnythingForDepthEstimation,
        cut("head.conv1.weight"),
        r"has weights that do not fit its config\.json: head\.conv1\.weight \[7, 16, 3, 3\] for \[8, 16, 3, 3\]\.",
    ),
}


@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
def test_weights_that_do_not_fit_are_named(directory: Path, fault: str) -> None:
    family, model_class, spoil, message = WEIGHT_FAULTS[fault]
    spoil(directory / family)
    checkpoint = directory_checkpoint(directory, family)
    with pytest.raises(ModelFileError, match=message):
        Originals().load(checkpoint, model_class)


def test_a_damaged_tokeniser_is_named(directory: Path) -> None:
    (directory / CLIP / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelFileError, match=r"The tokeniser in .*clip cannot be read"):
        tokenizer_of(directory_checkpoint(directory, CLIP))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": None}, r"expected size with height and width, got None"),
        ({"size": {"shortest_edge": 518}}, r"expected size with height and width, got \{'shortest_edge': 518\}"),
        ({"size": 518}, r"expected size with height and width, got 518"),
        ({"resample": 17}, r"expected resample as one of Pillow's numbers, got 17"),
        ({"image_mean": [0.5]}, r"expected image_mean with 3 numbers, got \[0\.5\]"),
        ({"image_std": None}, r"expected image_std with 3 numbers, got None"),
        ({"rescale_factor": "1/255"}, r"expected rescale_factor as a number, got 1/255"),
    ],
)
def test_preprocessing_that_says_too_little_is_refused(directory: Path, changes: dict[str, Any], message: str) -> None:
    edit_json(directory / DEPTH / "preprocessor_config.json", **changes)
    with pytest.raises(ModelFileError, match=message):
        read_photo_preprocessing(directory_checkpoint(directory, DEPTH), ("height", "width"))


def test_the_older_form_of_sizes_is_understood(directory: Path) -> None:
    # As in openai/clip-vit-base-patch32.
    path = directory / CLIP / "preprocessor_config.json"
    edit_json(path, size=224, crop_size=224, rescale_factor=None)
    photo = read_photo_preprocessing(directory_checkpoint(directory, CLIP), ("shortest_edge",))
    assert photo.size == {"shortest_edge": 224}
    assert crop_hw(photo) == [224, 224]
    assert photo.rescale_factor == 1 / 255
    assert photo.resample == "bicubic"


def test_a_directory_says_itself_whether_it_was_trained(directory: Path) -> None:
    made_here = directory_checkpoint(directory, CLIP)
    assert (made_here.trained, made_here.source) == (False, "directory")
    (directory / CLIP / "fashioncrop.json").unlink()
    somebodys = directory_checkpoint(directory, CLIP)
    assert (somebodys.trained, somebodys.license, somebodys.name) == (True, "unknown", "models/clip")
    assert (made_here.domain, somebodys.domain) == (None, None)
    (directory / CLIP / "fashioncrop.json").write_text('{"domain": "drawn scenes"}')
    assert directory_checkpoint(directory, CLIP).domain == "drawn scenes"
    assert made_here.version == somebodys.version == made_here.digests["model.safetensors"][7:19]


def test_a_name_that_is_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ModelFileError, match="takes full, random, tiny, paperdoll or a directory; tinny is none of them"
    ):
        find_checkpoint("tinny", CLIP, tmp_path, {})
