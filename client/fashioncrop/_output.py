"""The output folder: `analysis.json`, crops, the photo with its boxes; each file whole or not there."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from pathlib import Path

from fashioncrop._draw import draw_boxes
from fashioncrop._sources import Photo
from fashioncrop.errors import OutputError
from fashioncrop.results import Analysis


def write_analysis(folder: Path, analysis: Analysis, photo: Photo) -> Analysis:
    """Write everything about one photo; the answer's crops name their files.

    Raises:
        OutputError: the folder cannot be written. What was written before stays.
    """
    garments = []
    try:
        (folder / "crops").mkdir(parents=True, exist_ok=True)
        for garment in analysis.garments:
            file = f"crops/{garment.id:02d}-{_slug(garment.phrase)}.jpg"
            if garment.crop.jpeg is not None:
                _write(folder / file, garment.crop.jpeg)
                garments.append(garment.model_copy(update={"crop": garment.crop.model_copy(update={"file": file})}))
            else:
                garments.append(garment)
        complete = analysis.model_copy(update={"garments": tuple(garments)})
        _write(folder / "analysis.json", complete.model_dump_json(indent=2).encode())
        drawn = io.BytesIO()
        draw_boxes(photo.data, analysis.garments).save(drawn, "JPEG", quality=92)
        _write(folder / "boxes.jpg", drawn.getvalue())
        for left_over in set((folder / "crops").glob("[0-9][0-9]*-*.jpg")) - {
            folder / g.crop.file for g in garments if g.crop.file
        }:
            left_over.unlink()  # of an earlier answer
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}. Choose another folder with "
            "--out, or make room."
        ) from error
    return complete


def write_crops(folder: Path, analysis: Analysis) -> Analysis:
    """Write each garment's crop under the name of its content, so that the same crop is one file; the answer names it.

    Raises:
        OutputError: the folder cannot be written. What was written before stays.
    """
    garments = []
    try:
        for garment in analysis.garments:
            if garment.crop.jpeg is None:
                garments.append(garment)
                continue
            name = hashlib.sha256(garment.crop.jpeg).hexdigest()
            file = f"crops/{name[:2]}/{name}.jpg"
            if not (folder / file).exists():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                # Two photos at a time may have the same crop.
                _write(folder / file, garment.crop.jpeg, writer=f".{threading.get_ident()}")
            garments.append(garment.model_copy(update={"crop": garment.crop.model_copy(update={"file": file})}))
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}. Make room, or choose another "
            "folder with --out."
        ) from error
    return analysis.model_copy(update={"garments": tuple(garments)})


def _write(path: Path, data: bytes, *, writer: str = "") -> None:
    beside = path.with_name(f".{path.name}{writer}.part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _slug(phrase: str) -> str:
    """A file name of any phrase: letters and digits of any script, at most 40."""
    return re.sub(r"[^\w]+", "-", phrase.lower()).strip("-_")[:40] or "garment"
