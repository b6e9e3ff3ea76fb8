"""Reading requests: JSON or forms, one image or many, and what is asked of them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_core import from_json
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from fashioncrop.gateway.photos import ImageInput, Sent, Strict, Upload
from fashioncrop.gateway.problems import BAD_REQUEST, INVALID, MEDIA, ProblemError, Wrong

JSON = "application/json"
FORM = "multipart/form-data"
_SMALL_BYTES = 65_536
"""Read where it is: a thread would take longer."""
_MAX_FIELDS = 2000
_MORE_FILES = 100
_MAX_FIELD_BYTES = 2**20
_MAX_ERRORS = 20

_Model = TypeVar("_Model", bound=BaseModel)
_Options = TypeVar("_Options", bound=Strict)


@dataclass(frozen=True)
class Asked(Generic[_Options]):
    """A request about images.

    Attributes:
        options: what is asked.
        images: of what, in order.
        is_batch: whether the answer is a list, even of one.
    """

    options: _Options
    images: Sequence[Sent]
    is_batch: bool


class ImageBody(Generic[_Options]):
    """A body with one image or a batch of them, and options that hold for all.

    Args:
        options: what may be asked.
        name: the schemas' names begin with it.
    """

    def __init__(self, options: type[_Options], name: str) -> None:
        self.options = options
        _, _, attributes = inspect.cleandoc(options.__doc__ or "").partition("\n\n")
        self.one: type[Strict] = create_model(
            f"{name}Image", __base__=options, __doc__=f"One image.\n\n{attributes}", image=(ImageInput, ...)
        )
        self.many: type[Strict] = create_model(
            f"{name}Images",
            __base__=options,
            __doc__=f"A batch of images; the answer has a result for each, in their order.\n\n{attributes}",
            images=(list[ImageInput], Field(min_length=1)),
        )

    async def read(self, request: Request, *, max_batch: int) -> Asked[_Options]:
        """Read the request.

        Raises:
            ProblemError: it is not as documented.
        """
        media = media_type(request)
        if media == JSON:
            return self.asked(await read_json(request), max_batch=max_batch)
        if media == FORM:
            asked = await self._from_form(request, max_batch)
            check_batch(len(asked.images), max_batch)
            return asked
        raise wrong_media(JSON, FORM)

    def asked(self, document: object, *, max_batch: int) -> Asked[_Options]:
        """A request in JSON.

        Raises:
            ProblemError: it is not as documented.
        """
        is_batch = isinstance(document, dict) and "images" in document
        checked: Any = validated(self.many if is_batch else self.one, document)
        images: Sequence[Sent] = checked.images if is_batch else [checked.image]
        check_batch(len(images), max_batch)
        return Asked(checked, images, is_batch)

    async def _from_form(self, request: Request, max_batch: int) -> Asked[_Options]:
        # One more than is taken is counted and told; a form with many more is not read to its end.
        form = await _form(request, max_files=max_batch + _MORE_FILES)
        try:
            images = [await _file(value) for name in ("image", "images") for value in form.getlist(name)]
            is_batch = "images" in form
            if not images or (is_batch and "image" in form) or (not is_batch and len(images) > 1):
                raise ProblemError(INVALID, "A form must have one file `image`, or one or more files `images`.")
            return Asked(from_form(self.options, form, besides={"image", "images"}), images, is_batch)
        finally:
            await form.close()


class _InMemory(MultiPartParser):
    """Starlette's, which keeps files where the whole request may be kept anyway: a disk is slower and fills up."""

    spool_max_size = 2**31


async def _form(request: Request, *, max_files: int) -> FormData:
    async with contextlib.aclosing(request.stream()) as stream:
        parser = _InMemory(
            request.headers, stream, max_files=max_files, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
        )
        try:
            return await parser.parse()
        except MultiPartException as error:
            raise ProblemError(BAD_REQUEST, f"The form cannot be read: {error.message.rstrip('.')}.") from None


async def read_model(request: Request, model: type[_Model]) -> _Model:
    """A JSON body.

    Raises:
        ProblemError: it is not as documented.
    """
    if media_type(request) != JSON:
        raise wrong_media(JSON)
    return validated(model, await read_json(request))


async def read_json(request: Request) -> Any:  # noqa: ANN401 - any JSON
    """The body as JSON has it.

    Raises:
        ProblemError: it is no JSON.
    """
    body = await request.body()
    try:
        return from_json(body) if len(body) <= _SMALL_BYTES else await asyncio.to_thread(from_json, body)
    except ValueError as error:
        raise ProblemError(BAD_REQUEST, f"The body is not JSON: {error}. Send JSON in UTF-8.") from None


def validated(model: type[_Model], document: object) -> _Model:
    """A document as a model.

    Raises:
        ProblemError: it is not as documented.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise not_as_documented(error, document) from None


def from_form(options: type[_Model], form: FormData, *, besides: set[str]) -> _Model:
    """A form's fields as a model; texts become numbers and lists where the model has such.

    Raises:
        ProblemError: a field is unknown, is there twice, or has another kind of value.
    """
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(form):
        if name in besides:
            continue
        values = form.getlist(name)
        if any(isinstance(value, UploadFile) for value in values):
            raise ProblemError(INVALID, f"The form's part {name!r} must be a field, not a file.")
        kinds = _kinds(options.model_fields[name].annotation) if name in options.model_fields else {str}
        if list in kinds:
            has_texts = name in options.model_fields and str in _kinds_inside(options.model_fields[name].annotation)
            fields[name] = values if has_texts else [_plain(str(value)) for value in values]
        elif len(values) > 1:
            raise ProblemError(INVALID, f"The form's field {name!r} is there more than once.")
        else:
            fields[name] = values[0] if str in kinds else _plain(str(values[0]))
    return validated(options, fields)


def check_batch(count: int, max_batch: int, what: str = "images") -> None:
    """Refuse more at once than are taken.

    Raises:
        ProblemError: there are more.
    """
    if count > max_batch:
        raise ProblemError(INVALID, f"The request has {count} {what}; at most {max_batch} are taken at once.")


def media_type(request: Request) -> str:
    """The body's, without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def wrong_media(*taken: str) -> ProblemError:
    """The body is of another kind than those."""
    return ProblemError(MEDIA, f"Send {' or '.join(taken)}, and say so in the header Content-Type.")


def not_as_documented(error: ValidationError, document: object) -> ProblemError:
    """What is wrong with a body, without its values: a key may be among them."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    told = {(_pointer(one["loc"], document, is_missing=one["type"] == "missing"), one["msg"]) for one in found}
    wrong = [Wrong(pointer=pointer, detail=words) for pointer, words in sorted(told)[:_MAX_ERRORS]]
    first = f"{wrong[0].pointer or 'The body'}: {wrong[0].detail}"
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return ProblemError(INVALID, f"The request is not as documented. {first}{more}.", errors=wrong)


def _pointer(location: Sequence[int | str], document: Any, *, is_missing: bool) -> str:  # noqa: ANN401 - any JSON
    """The JSON pointer of a place in the document; pydantic's own names for kinds of values are left out."""
    parts = []
    for depth, part in enumerate(location, start=1):
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            if not (is_missing and depth == len(location)):
                continue
        parts.append("/" + str(part).replace("~", "~0").replace("/", "~1"))
    return "".join(parts)


def _kinds(annotation: Any) -> set[Any]:  # noqa: ANN401 - a type
    """The kinds of values that a type takes, without what is inside of them."""
    if get_origin(annotation) in {Annotated, Union, UnionType}:
        return {kind for option in get_args(annotation) for kind in _kinds(option)}
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    return {get_origin(annotation) or annotation}


def _kinds_inside(annotation: Any) -> set[Any]:  # noqa: ANN401 - a type
    """The kinds of values that lists of a type take."""
    if get_origin(annotation) in {Annotated, Union, UnionType}:
        return {kind for option in get_args(annotation) for kind in _kinds_inside(option)}
    return {kind for inside in get_args(annotation) for kind in _kinds(inside)}


def _plain(text: str) -> Any:  # noqa: ANN401 - any JSON
    """A number or a truth as JSON writes them; a text that is neither, which then is of the wrong kind."""
    try:
        return from_json(text)
    except ValueError:
        return text


async def _file(value: UploadFile | str) -> Sent:
    if isinstance(value, str):
        raise ProblemError(INVALID, "An image in a form must be a file: a part with a file name.")
    return Upload(_named(value.filename or ""), await value.read())


def _named(file_name: str) -> str:
    """Fit to be shown: the last part of what a browser calls the file."""
    name = file_name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or "upload"
    return "".join(letter if letter.isprintable() else "_" for letter in name)[:100]
