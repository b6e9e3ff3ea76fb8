"""`results.parquet`: the rows of `results.jsonl` as a table with a fixed schema, a row for each photo."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fashioncrop.batching.journal import Row, read_rows
from fashioncrop.errors import OptionError, OutputError

TABLE_FILE = "results.parquet"
_ROWS_EACH = 256


def check_installed() -> None:
    """Raise before any work is done where a table cannot be written.

    Raises:
        OptionError: the extra `batch` is not installed.
    """
    _pyarrow()


def write_table(results: Path, table: Path) -> None:
    """Write the table, whole or not at all; memory is that of a few hundred rows.

    Args:
        results: the `results.jsonl`.
        table: the file to write.

    Raises:
        OutputError: a file cannot be read or written.
        OptionError: the extra `batch` is not installed.
    """
    arrow, parquet = _pyarrow()
    schema = _schema(arrow)
    beside = table.with_suffix(".part")
    rows = read_rows(results)
    try:
        with parquet.ParquetWriter(beside, schema, compression="zstd") as writer:
            while chunk := list(islice(_flat(rows), _ROWS_EACH)):
                writer.write_table(arrow.Table.from_pylist(chunk, schema=schema))
        beside.replace(table)
    except OSError as error:
        raise OutputError(f"{table} cannot be written: {error.strerror or error}. Make room and resume.") from error
    finally:
        beside.unlink(missing_ok=True)


def _flat(rows: Iterator[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        content = row.model_dump()
        analysis = content.pop("analysis")
        if analysis is None:
            yield content
            continue
        photo = analysis["photo"]
        timings = analysis["timings_ms"]
        yield {
            **content,
            "width": photo["width"],
            "height": photo["height"],
            "format": photo["format"],
            "warnings": list(analysis["warnings"]),
            "models": [{name: model[name] for name in ("role", "name", "version")} for model in analysis["models"]],
            "request_ms": timings.get("request"),
            "cached": analysis["cached"],
            "dollars": analysis["cost"]["dollars"] if analysis["cost"] else None,
            "garments": [_garment(garment) for garment in analysis["garments"]],
        }


def _garment(garment: dict[str, Any]) -> dict[str, Any]:
    category, crop = garment["category"], garment["crop"]
    return {
        **{name: garment[name] for name in ("id", "phrase", "score", "description", "description_problem")},
        **{name: list(garment[name]) for name in ("box_xyxy", "flags")},
        "embedding": garment["embedding"],
        "category_id": category["id"] if category else None,
        "category": category["name"] if category else None,
        "crop_file": crop["file"],
        "crop_url": crop["url"],
        "depth_median": garment["depth"]["median"],
        "depth_order": garment["depth"]["order"],
        "colours": list(garment["colours"]),
    }


def _schema(arrow: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    text, number, texts = arrow.string(), arrow.float32(), arrow.list_(arrow.string())
    description = arrow.struct(
        {
            **dict.fromkeys(("type", "pattern", "material", "sleeve", "neckline", "length", "fit", "sentence"), text),
            "colours": texts,
            "details": texts,
        }
    )
    garment = arrow.struct(
        {
            "id": arrow.int32(),
            "phrase": text,
            "score": number,
            "description": description,
            "description_problem": text,
            "box_xyxy": arrow.list_(number),
            "flags": texts,
            "embedding": arrow.list_(number),
            "category_id": arrow.int32(),
            "category": text,
            "crop_file": text,
            "crop_url": text,
            "depth_median": number,
            "depth_order": arrow.int32(),
            "colours": arrow.list_(arrow.struct({"hex": text, "name": text, "share": number})),
        }
    )
    return arrow.schema(
        {
            "source": text,
            "error_kind": text,
            "error": text,
            "width": arrow.int32(),
            "height": arrow.int32(),
            "format": text,
            "warnings": texts,
            "models": arrow.list_(arrow.struct(dict.fromkeys(("role", "name", "version"), text))),
            "request_ms": arrow.float64(),
            "cached": arrow.bool_(),
            "dollars": arrow.float64(),
            "garments": arrow.list_(garment),
        }
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise OptionError(
            "A Parquet table needs pyarrow. Run pip install 'fashioncrop[batch]', or pass --no-parquet."
        ) from error
    return pa, parquet
