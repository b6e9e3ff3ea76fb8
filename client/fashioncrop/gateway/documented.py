"""The OpenAPI document, from the models and their docstrings: what a route takes, and every answer that it may give."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.responses import Response

from fashioncrop.gateway.bodies import FORM, JSON, ImageBody
from fashioncrop.gateway.keys import Scope
from fashioncrop.gateway.problems import (
    BAD_REQUEST,
    DEADLINE,
    FAULT,
    FORBIDDEN,
    INVALID,
    MEDIA,
    MEDIA_TYPE,
    OVERLOADED,
    RATE,
    SLOW_BODY,
    TOO_LARGE,
    UNAUTHORIZED,
    UNAVAILABLE,
    Kind,
    Problem,
)

Schema = dict[str, Any]

_REF = "#/components/schemas/{model}"
_SCHEMES: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_SECURITY: list[Schema] = [{name: []} for name in _SCHEMES]
_ATTRIBUTES = re.compile(r"\n\nAttributes:\n(.*?)(?=\n\n\S|\Z)", re.DOTALL)
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
_EVERY = (BAD_REQUEST, FAULT, OVERLOADED, DEADLINE)
_OF_KEYS = (UNAUTHORIZED, FORBIDDEN, RATE, UNAVAILABLE)
_OF_BODIES = (SLOW_BODY, TOO_LARGE, MEDIA, INVALID)
_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "How to authenticate."},
    429: {"Retry-After": "Seconds to wait."},
}


class Library:
    """The models that routes name, each once."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def ref(self, model: type[BaseModel], *, answer: bool = False) -> Schema:
        """A reference to a model's schema, which is taken in.

        Args:
            model: of a request, or of an answer.
            answer: which of the two: an answer's fields are all there.
        """
        schema = model.model_json_schema(mode="serialization" if answer else "validation", ref_template=_REF)
        inside = schema.pop("$defs", {})
        about = {name: _with_attributes(one) for name, one in inside.items()}
        for name, told in {**about, model.__name__: _with_attributes(schema, model)}.items():
            if self.schemas.setdefault(name, told) != told:
                raise ValueError(f"Two models are called {name}.")
        return {"$ref": _REF.format(model=model.__name__)}


_library = Library()


def json_body(model: type[BaseModel]) -> Schema:
    """A body of JSON."""
    return {"required": True, "content": {JSON: {"schema": _library.ref(model)}}}


def image_body(body: ImageBody[Any], *others: type[BaseModel]) -> Schema:
    """A body with one image or several, as JSON or as a form.

    Args:
        body: such a one.
        *others: what else it may be, as JSON.
    """
    models = (*others, body.one, body.many)
    return {
        "required": True,
        "content": {
            JSON: {"schema": {"anyOf": [_library.ref(model) for model in models]}},
            FORM: form_content(body.options),
        },
    }


def form_content(options: type[BaseModel]) -> Schema:
    """A form with a file `image` or several `images`, and the options as fields."""
    fields = _with_attributes(options.model_json_schema(ref_template=_REF), options)
    properties = {name: _in_a_form(schema) for name, schema in fields.get("properties", {}).items()}
    file = {"type": "string", "format": "binary", "description": "The file."}
    parts: tuple[Schema, ...] = ({"image": file}, {"images": {"type": "array", "items": file, "minItems": 1}})
    return {
        "schema": {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {**part, **properties},
                    "required": [*part, *fields.get("required", ())],
                    "additionalProperties": False,
                }
                for part in parts
            ]
        }
    }


def content(*models: type[BaseModel], media: str = JSON) -> Schema:
    """An answer that is one of these."""
    refs = [_library.ref(model, answer=True) for model in models]
    return {media: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}


def route(
    *kinds: Kind,
    ok: Schema,
    words: str = "The answer.",
    status: int = 200,
    body: Schema | None = None,
    scope: Scope | None = None,
    headers: Mapping[str, Schema] | None = None,
) -> dict[str, Any]:
    """What FastAPI is told of a route.

    Args:
        *kinds: problems of its own, beside those that all routes have.
        ok: content of the answer where all is well; nothing is no content.
        words: about that answer.
        status: of that answer.
        body: what it takes; None takes nothing.
        scope: that a caller's key needs; None needs no key.
        headers: of that answer, by name.
    """
    all_kinds = [*_EVERY, *kinds]
    all_kinds += _OF_KEYS if scope is not None else ()
    all_kinds += _OF_BODIES if body is not None else ()
    by_status: dict[int, list[str]] = {}
    for kind in dict.fromkeys(all_kinds):
        by_status.setdefault(kind.status, []).append(kind.title)
    problem = content(Problem, media=MEDIA_TYPE)
    responses: dict[int | str, Schema] = {status: {"description": words, **({"content": ok} if ok else {})}}
    if headers:
        responses[status]["headers"] = dict(headers)
    for failed, titles in sorted(by_status.items()):
        responses[failed] = {"description": "; or: ".join(titles) + ".", "content": problem}
        if failed in _HEADERS:
            responses[failed]["headers"] = {
                name: {"description": about, "required": True, "schema": {"type": "string"}}
                for name, about in _HEADERS[failed].items()
            }
    extra: Schema = {} if body is None else {"requestBody": body}
    if scope is not None:
        extra["security"] = _SECURITY
    return {"response_class": Response, "status_code": status, "responses": responses, "openapi_extra": extra}


def document_of(app: FastAPI, *, with_keys: bool, max_batch: int) -> Callable[[], Schema]:
    """The function that FastAPI asks for the document.

    Args:
        app: whose.
        with_keys: whether callers need keys.
        max_batch: images that a request may have.
    """

    def made() -> Schema:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            components = schema.setdefault("components", {})
            components["schemas"] = copy.deepcopy(dict(sorted(_library.schemas.items())))
            if with_keys:
                components["securitySchemes"] = _SCHEMES
            else:
                for operation in (one for path in schema["paths"].values() for one in path.values()):
                    operation.pop("security", None)
            _limit_images(schema, max_batch)
            app.openapi_schema = schema
        return app.openapi_schema

    return made


def _limit_images(part: Any, max_batch: int) -> None:  # noqa: ANN401 - any JSON
    """Say of every list of images or queries how many it may have."""
    if isinstance(part, dict):
        for name in ("images", "queries"):
            several = part.get("properties", {}).get(name, {})
            if several.get("type") == "array":
                several["maxItems"] = max_batch
    for inside in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _limit_images(inside, max_batch)


def _in_a_form(schema: Schema) -> Schema:
    """A form has no null and no empty list: what is not sent is not there."""
    rest = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(rest) == 1:
        schema = {**{name: value for name, value in schema.items() if name not in {"anyOf", "default"}}, **rest[0]}
    return {name: value for name, value in schema.items() if name != "minItems"}


def _with_attributes(schema: Schema, model: type[BaseModel] | None = None) -> Schema:
    """The schema with what its docstring says of each attribute at the attribute itself.

    Args:
        schema: of a model.
        model: the same, if what the models above it say of their attributes is to be told as well.
    """
    words = schema.get("description", "")
    found = _ATTRIBUTES.search(words)
    above = [] if model is None else [inspect.cleandoc(base.__doc__ or "") for base in reversed(model.__mro__)]
    told = {name: text for one in (*above, words) for name, text in _attributes(one)}
    properties = {
        name: {"description": told[name], **one} if name in told else one
        for name, one in schema.get("properties", {}).items()
    }
    if not told:
        return schema
    rest = words if found is None else words[: found.start()] + words[found.end() :]
    return {**schema, "description": rest, "properties": properties}


def _attributes(words: str) -> list[tuple[str, str]]:
    """Name of each attribute of a docstring, and what it says of it."""
    found = _ATTRIBUTES.search(words)
    return [] if found is None else [(name, " ".join(text.split())) for name, text in _ATTRIBUTE.findall(found[1])]
