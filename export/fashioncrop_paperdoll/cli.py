"""The `fashioncrop-paperdoll` command: draw scenes, and train the small models on them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from fashioncrop.errors import FashionCropError
from fashioncrop_paperdoll.coco import write_coco
from fashioncrop_paperdoll.scene import DEMO_SEEDS, TEST_SEEDS, draw_scene
from fashioncrop_paperdoll.training.recipes import RUNS, Model

_INSTALL = "pip install 'fashioncrop[export,training]'"
Width = Annotated[int, typer.Option(min=64, help="Of each picture, in pixels.")]
Height = Annotated[int, typer.Option(min=64, help="Of each picture, in pixels.")]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command()
def photos(
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is not there.")],
    width: Width = 768,
    height: Height = 1024,
) -> None:
    """Draw the pictures of the demo, which no model was trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(DEMO_SEEDS, 1):
        file = folder / f"paperdoll-{index}.png"
        Image.fromarray(draw_scene(seed, width, height).image).save(file)
        sys.stdout.write(f"{file}\n")


@app.command()
def dataset(
    folder: Annotated[Path, typer.Argument(help="Where to; must be empty or not there.")],
    count: Annotated[int, typer.Option(min=1, max=len(TEST_SEEDS), help="How many scenes.")] = 200,
    width: Width = 384,
    height: Height = 512,
) -> None:
    """Draw test scenes as a dataset in COCO's format, with colours and patterns."""
    write_coco(folder, TEST_SEEDS[:count], width, height)


@app.command()
def train(
    model: Annotated[Model, typer.Argument(help="Which model.")],
    folder: Annotated[
        Path, typer.Argument(help="Scenes, state, log and checkpoint; an interrupted training goes on there.")
    ],
    steps: Annotated[int | None, typer.Option(min=1, help="Batches, instead of the shipped model's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, the scenes' order and prompts.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes; 1 on a GPU.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train a small model on drawn scenes; figures go to FOLDER/MODEL/log.jsonl as they come."""
    # torch takes seconds to import, and drawing does not need it.
    from fashioncrop_paperdoll.training.running import start  # noqa: PLC0415

    shipped = RUNS[model]
    recipe = replace(shipped.recipe, seed=seed, steps=steps or shipped.recipe.steps)
    start(replace(shipped, folder=folder / model.value, recipe=recipe, workers=workers, device=device))


@app.command()
def ship(
    folder: Annotated[Path, typer.Argument(help="The training's folder.")],
    model: Annotated[list[Model] | None, typer.Option(help="This model only; may be repeated.")] = None,
) -> None:
    """Put trained checkpoints into the checkout, with their curves, and export the engines that are shipped."""
    from fashioncrop_paperdoll.training import shipping  # noqa: PLC0415 - see train

    for written in shipping.ship(folder, tuple(model or Model)):
        sys.stdout.write(f"{written}\n")


@app.command()
def card(
    accuracy: Annotated[Path, typer.Argument(help="What benchmarks/accuracy.py --models paperdoll --json wrote.")],
) -> None:
    """Write the model card of the shipped checkpoints, with what was measured of them."""
    from fashioncrop_export.shipped import CHECKPOINTS, package_folder  # noqa: PLC0415 - see train
    from fashioncrop_paperdoll.training import model_card  # noqa: PLC0415

    folder = package_folder() / CHECKPOINTS
    text = model_card.render(json.loads(accuracy.read_text(encoding="utf-8")), folder)
    (folder / model_card.CARD_FILE).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{folder / model_card.CARD_FILE}\n")


def main() -> None:
    """Run the command; a named error is its sentence on stderr and exit code 1."""
    try:
        app()
    except FashionCropError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"Training needs {error.name}, which is missing. Run: {_INSTALL}\n")
        sys.exit(1)
