"""How answers become JSON: written once, by the models' own serialisers, and joined for a batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, create_model
from starlette.responses import Response

from fashioncrop.gateway.bodies import JSON
from fashioncrop.gateway.problems import Problem, document
from fashioncrop.gateway.work import Result

_T = TypeVar("_T")


def batch_model(name: str, field: str, model: type[BaseModel]) -> type[BaseModel]:
    """The schema of a batch's answer: for each image its index and either `field` or `problem`."""
    fields: dict[str, Any] = {"index": (int, ...), field: (model | None, None), "problem": (Problem | None, None)}
    words = "What became of one image.\n\nAttributes:\n    index: of the image in the request, from 0."
    result: Any = create_model(f"{name}Result", __doc__=words, **fields)
    return create_model(name, __doc__="A result for each image, in their order.", results=(list[result], ...))


def batch_json(results: Sequence[Result[_T]], field: str, write: Callable[[_T], bytes]) -> bytes:
    """A batch's answer.

    Args:
        results: in the images' order.
        field: name of the value in each.
        write: the value as JSON.
    """
    parts = []
    for index, result in enumerate(results):
        if result.problem is not None:
            parts.append(json.dumps({"index": index, "problem": document(result.problem)}).encode())
        elif result.value is not None:
            parts.append(b'{"index":%d,"%b":%b}' % (index, field.encode(), write(result.value)))
    return b'{"results":[' + b",".join(parts) + b"]}"


def model_json(model: BaseModel) -> bytes:
    """A model as JSON."""
    return model.__pydantic_serializer__.to_json(model)


def json_answer(body: BaseModel | bytes, status: int = 200) -> Response:
    """An answer of JSON."""
    return Response(body if isinstance(body, bytes) else model_json(body), status, media_type=JSON)
