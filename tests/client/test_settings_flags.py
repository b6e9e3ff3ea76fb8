"""Flags out of the declaration, on a small command."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from fashioncrop.errors import OptionError
from fashioncrop.settings import Settings, effective
from fashioncrop.settings._declaration import flag
from fashioncrop.settings.flags import with_settings
from settings_samples import SECRETS, forget_settings, write_settings

WITH_FLAG = [name for name in Settings.model_fields if name not in SECRETS]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings(monkeypatch, tmp_path)
    monkeypatch.setenv("COLUMNS", "300")


def small_app(seen: list[Any]) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.command()
    @with_settings(*WITH_FLAG)
    def look(
        photos: Annotated[list[str], typer.Argument(help="Photos.")],
        *,
        settings: Settings,
        out: Annotated[Path | None, typer.Option(help="A folder.")] = None,
    ) -> None:
        """Look at photos."""
        seen.extend([photos, settings, out])

    @app.command()
    def other() -> None:
        """Have no settings."""

    return app


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def look(seen: list[Any]) -> Callable[..., Result]:
    app = small_app(seen)
    return lambda *arguments: CliRunner().invoke(app, ["look", *arguments])


def test_help_says_of_every_setting_what_the_declaration_says(look: Callable[..., Result]) -> None:
    done = look("--help")
    assert done.exit_code == 0
    words = " ".join(done.output.split())
    assert "Look at photos." in words
    assert "--out <path> A folder." in words
    for name in WITH_FLAG:
        assert str(Settings.model_fields[name].description) in words
        assert len(re.findall(rf"{flag(name)}(?![a-z-])", words)) >= 1
    for told in (
        "--cache / --no-cache",
        "[default: yes]",
        "[default: 120] [x>=0.1]",
        "own, 0.35. [0<=x<=1]",
        "--mode <auto|hybrid|vision|off>",
        "[default: auto]",
    ):
        assert told in words
    assert not [name for name in SECRETS if name.replace("_", "-") in words]


def test_nothing_given_is_the_default(look: Callable[..., Result], seen: list[Any]) -> None:
    assert look("a", "b").exit_code == 0
    assert seen == [["a", "b"], Settings(), None]
    assert {source for _, _, source in effective(seen[1])} == {"default"}


def test_flags_of_every_kind_are_read_and_win(look: Callable[..., Result], seen: list[Any]) -> None:
    write_settings({"threshold": 0.1, "iou_threshold": 0.2, "caching": True})
    flags = ("--threshold", "0.5", "--max-garments", "7", "--no-cache", "--mode", "vision", "--cache-dir", "/kept")
    words = ("--vocabulary", "shirt. bag", "--vocabulary", "hat", "--timeout", "9", "--url", "host:1", "--out", "o")
    assert look("a", *flags, *words).exit_code == 0
    wanted = {
        "threshold": 0.5,
        "iou_threshold": 0.2,
        "max_garments": 7,
        "caching": False,
        "mode": "vision",
        "cache_dir": Path("/kept"),
        "vocabulary": ("shirt", "bag", "hat"),
        "timeout_s": 9,
        "url": "host:1",
    }
    assert {name: getattr(seen[1], name) for name in wanted} == wanted
    assert seen[2] == Path("o")
    sources = {name: source for name, _, source in effective(seen[1])}
    assert (sources["threshold"], sources["timeout_s"], sources["iou_threshold"]) == (
        "--threshold",
        "--timeout",
        str(Path("fashioncrop.toml").absolute()),
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--threshold", "2"),
        ("--threshold", "high"),
        ("--threshold", "nan"),
        ("--timeout", "0"),
        ("--max-garments", "0"),
        ("--mode", "on"),
    ],
)
def test_a_flag_outside_its_limits_is_wrong_usage(look: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    done = look("a", *arguments)
    assert done.exit_code == 2
    assert arguments[0] in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--vocabulary", " , "), "^--vocabulary must hold a phrase"),
        (("--base-url", "host"), "^--base-url must be a URL"),
        (("--url", ""), "^--url must be a text that is not empty"),
    ],
)
def test_what_only_the_declaration_knows_is_a_sentence(
    look: Callable[..., Result], arguments: tuple[str, ...], words: str
) -> None:
    done = look("a", *arguments)
    assert isinstance(done.exception, OptionError)
    assert re.search(words, str(done.exception))


def test_a_command_that_cannot_have_them_is_told_at_once() -> None:
    def without(photo: str) -> None:
        del photo

    def twice(threshold: float, settings: Settings) -> None:
        del threshold, settings

    for command in (without, twice):
        with pytest.raises(TypeError, match="must take `settings`, and no parameter named as a setting"):
            with_settings("threshold")(command)
    for name in ("openai_api_key", "unheard"):
        with pytest.raises(TypeError, match=f"{name} is no setting that has a flag"):
            with_settings(name)
