"""Flags of a typer command, out of the declaration of the settings: name, type, limits and help are written there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_origin

import typer

from fashioncrop.settings._declaration import Settings, flag, inner, limits
from fashioncrop.settings._load import load_settings

_T = TypeVar("_T")
_PARAMETER = "settings"


def with_settings(*names: str) -> Callable[[Callable[..., _T]], Callable[..., _T]]:
    """Give a command the flags of some settings; it is called with `settings: Settings`, where all of them are.

    >>> app = typer.Typer()
    >>> @app.command()
    ... @with_settings("threshold", "timeout_s")
    ... def look(photo: str, *, settings: Settings) -> None:
    ...     print(photo, settings.threshold, settings.timeout_s, settings.base_url)

    Args:
        names: of settings; `--help` lists their flags in this order, after the command's own.

    Raises:
        OptionError: as `load_settings`, when the command is run.
        TypeError: at once: a setting is a secret or unknown, or the command has a parameter of its name.
    """
    for name in names:
        if name not in Settings.model_fields or not flag(name):
            raise TypeError(f"{name} is no setting that has a flag.")

    def decorate(command: Callable[..., _T]) -> Callable[..., _T]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != _PARAMETER]
        if len(own) == len(signature.parameters) or {parameter.name for parameter in own} & set(names):
            raise TypeError(f"{command.__name__} must take `{_PARAMETER}`, and no parameter named as a setting.")

        def run(**arguments: Any) -> _T:  # noqa: ANN401 - typer's
            given = {name: arguments.pop(name) for name in names}
            return command(**arguments, **{_PARAMETER: load_settings(given)})

        run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
        parameters = [*own, *(_parameter(name) for name in names)]
        run.__signature__ = inspect.Signature(parameters, return_annotation=signature.return_annotation)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _parameter(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    kind, default = inner(field), field.default
    low, high = limits(field)
    spelling = flag(name)
    if kind is bool:
        spelling = f"{spelling}/--no-{spelling.removeprefix('--')}"
        default = "yes" if default else "no"
    told = "" if default is None else f"  [default: {default:g}]" if kind is float else f"  [default: {default}]"
    option = typer.Option(spelling, help=f"{field.description}{told}", min=low, max=high, show_default=False)
    accepted: Any = list[str] if get_origin(kind) is tuple else kind
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[accepted | None, option]
    )
