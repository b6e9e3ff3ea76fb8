"""The `fashioncrop-export` command."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, Self

import typer
from rich.console import Console

from fashioncrop.errors import FashionCropError
from fashioncrop.model_repository import Role, default_repository
from fashioncrop_export.checkpoints import FAMILY_OF_ROLE, Family
from fashioncrop_export.exporting import Exported, Request, Stage, export
from fashioncrop_export.machine.memory import require_memory
from fashioncrop_export.sources import default_cache
from fashioncrop_export.variants import Variant

if TYPE_CHECKING:  # it imports onnx, which is slow and rarely needed here
    from fashioncrop_export.tensorrt_engines.exporting import ExportedEngine

_INSTALL = "pip install 'fashioncrop[export]'"
_CALIBRATION_SCENES = 8
_MOST_PHOTOS = 64

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _parse_revisions(values: list[str]) -> dict[Family, str]:
    revisions = {}
    for value in values:
        family, separator, revision = value.partition("=")
        if not separator or not revision or family not in list(Family):
            known = ", ".join(Family)
            raise typer.BadParameter(f"{value!r} is not CHECKPOINT=REVISION with one of {known}.")
        revisions[Family(family)] = revision
    return revisions


@app.command()
def run(  # noqa: PLR0913 - one option, one argument
    models: Annotated[
        str,
        typer.Option(
            metavar="full|random|tiny|paperdoll|DIR",
            help="Published checkpoints, the same architectures with random weights, a few layers of them, the small "
            "ones that come with the project (trained on drawn scenes), or a directory that holds grounding-dino/, "
            "clip/ and depth-anything/.",
        ),
    ],
    only: Annotated[list[Role] | None, typer.Option(help="Export this model only; may be repeated.")] = None,
    repository: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Triton model repository to write into.", show_default="the project's"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where random weights are kept.",
            show_default="$FASHIONCROP_CACHE or ~/.cache/fashioncrop/checkpoints",
        ),
    ] = None,
    revision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECKPOINT=REVISION",
            help="Hub revision instead of the pinned one, clip=main for instance; may be repeated. For --models full.",
        ),
    ] = None,
    variant: Annotated[
        list[Variant] | None,
        typer.Option(
            help="Also make this form of each model; may be repeated. int8 is for processors; tensorrt builds engines, "
            "on the GPU that serves."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Photos that show how large values become, for tensorrt.",
            show_default=f"{_CALIBRATION_SCENES} drawn scenes",
        ),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Export even what is up to date or comes with the project.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the result as JSON.")] = False,
) -> None:
    """Make the engines that Triton serves, and prove that they compute what the original models do.

    `fashioncrop-export verify` compares them with the original models on photos.
    """
    revisions = _parse_revisions(revision or [])
    if revisions and models != "full":
        raise typer.BadParameter("--revision is for --models full.")
    request = Request(
        models=models,
        repository=repository or default_repository(),
        cache=cache or default_cache(),
        roles=tuple(dict.fromkeys(only)) if only else tuple(Role),
        revisions=revisions,
        force=force,
        variants=tuple(variant or ()),
    )
    wants_tensorrt = Variant.TENSORRT in (variant or ())
    if calibration is not None and not wants_tensorrt:
        raise typer.BadParameter("--calibration is for --variant tensorrt.")

    with _Progress() as progress:

        def on_stage(role: Role, stage: Stage) -> None:
            if stage == "load":  # before anything is; what is up to date needs no memory
                require_memory(models, FAMILY_OF_ROLE[role], f"Exporting {role}")
            progress(role, stage)

        results = export(request, on_stage)
        engines = _export_tensorrt(request, calibration, progress) if wants_tensorrt else []
    if as_json:
        documents = [*map(_to_json, results), *map(_engine_to_json, engines)]
        sys.stdout.write(json.dumps(documents, indent=2) + "\n")
        return
    for result in results:
        status = result.status if result.variant is Variant.FP32 else f"{result.variant} {result.status}"
        sys.stdout.write(f"{result.role}\t{status}\t{result.seconds:.1f} s\t{result.identity.digest}\n")
    for engine in engines:
        digest = engine.fingerprint["digest"]
        sys.stdout.write(f"{engine.role}\t{Variant.TENSORRT} {engine.status}\t{engine.seconds:.1f} s\t{digest}\n")


def _export_tensorrt(request: Request, calibration: Path | None, progress: _Progress) -> list[ExportedEngine]:
    # onnx and the pipeline's own code: only where an engine is asked for.
    from fashioncrop_export.photos.sources import PhotoFolder, calibration_scenes  # noqa: PLC0415
    from fashioncrop_export.tensorrt_engines.exporting import EngineRequest, export_engines  # noqa: PLC0415

    photos = calibration_scenes(_CALIBRATION_SCENES) if calibration is None else PhotoFolder(calibration, _MOST_PHOTOS)
    wanted = EngineRequest(request.models, request.repository, request.cache, photos, request.roles, request.force)
    return export_engines(wanted, progress.tell)


class _Progress:
    """One line a model on stderr; on a terminal also what is going on now."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status = self._console.status("")
        self._stages: list[tuple[Stage, float]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self._status.stop()

    def tell(self, role: Role, words: str, seconds: float) -> None:
        """What is going on with a TensorRT engine, and for how long; no words when it is done."""
        if words:
            self._status.update(f"{role}: {words}, {seconds:.0f} s")
            self._status.start()
        else:
            self._status.stop()
            self._console.print(f"{role}: {Variant.TENSORRT} done in {seconds:.1f} s", soft_wrap=True)

    def __call__(self, role: Role, stage: Stage) -> None:
        now = time.monotonic()
        if stage in ("up to date", "installed"):
            self._stages.clear()
            self._console.print(f"{role}: {stage}", soft_wrap=True)
        elif stage == "done":
            ends = [begin for _, begin in self._stages[1:]] + [now]
            parts = [f"{name} {end - begin:.1f} s" for (name, begin), end in zip(self._stages, ends, strict=True)]
            total = now - self._stages[0][1]
            self._stages.clear()
            self._console.print(f"{role}: done in {total:.1f} s ({', '.join(parts)})", soft_wrap=True)
        else:
            self._stages.append((stage, now))
            self._status.update(f"{role}: {stage}")
            if stage == "checkpoint":
                self._status.stop()  # a download draws its own bars
            else:
                self._status.start()


def _engine_to_json(result: ExportedEngine) -> dict[str, object]:
    return {
        "role": result.role.value,
        "variant": Variant.TENSORRT.value,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "fingerprint": result.fingerprint,
    }


def _to_json(result: Exported) -> dict[str, object]:
    return {
        "role": result.role.value,
        "variant": result.variant.value,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "identity": result.identity.to_json(),
    }


def _stop(signal_number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that half-written files are removed on the way out.
    sys.exit(128 + signal_number)


def main() -> None:
    """Run the command; a named error is its sentence on stderr and exit code 1."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        if sys.argv[1:2] == ["verify"]:
            from fashioncrop_export.verifying.command import app as verify  # noqa: PLC0415 - slow, and rarely asked for

            verify(sys.argv[2:], prog_name="fashioncrop-export verify")
        app()
    except FashionCropError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"The exporter needs {error.name}, which is missing. Run: {_INSTALL}\n")
        sys.exit(1)
