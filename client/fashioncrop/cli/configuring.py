"""`fashioncrop config`: every setting, its value and where it came from."""

from __future__ import annotations

import sys

import typer

from fashioncrop.cli.app import AsJson, app, warn
from fashioncrop.settings import Settings, render_config
from fashioncrop.settings.flags import with_settings


@app.command()
@with_settings()
def config(*, as_json: AsJson = False, settings: Settings) -> None:
    """Show every setting, its value and where it came from; secrets are only said to be set."""
    for warning in settings.warnings:
        warn(warning)
    typer.echo(render_config(settings, as_json=as_json, **({} if sys.stdout.isatty() else {"width": 160})))
