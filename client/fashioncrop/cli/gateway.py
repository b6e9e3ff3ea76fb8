"""`fashioncrop serve`, the gateway, and `fashioncrop keys`, who may ask it. Needs the extra `gateway`."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fashioncrop.cli.analyzing import ANALYSIS_SETTINGS
from fashioncrop.cli.app import AsJson, app, warn, words
from fashioncrop.errors import OptionError
from fashioncrop.gateway.keys import Scope, keys_of
from fashioncrop.settings import Settings
from fashioncrop.settings.flags import with_settings

_OWN_SETTINGS = (
    *("listen", "keys_file", "rate_limit", "cors_origins", "max_body_bytes", "max_photo_pixels", "max_batch"),
    *("max_in_flight", "body_timeout_s", "request_timeout_s", "drain_s", "traces_url", "jobs", "job_keep_s"),
)
_OF_EACH_REQUEST = frozenset({"vocabulary", "threshold", "iou_threshold", "crop_padding", "max_garments"})
_OF_ALL_REQUESTS = tuple(name for name in ANALYSIS_SETTINGS if name not in _OF_EACH_REQUEST)

keys = typer.Typer(help="Who may ask the gateway, and for what.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="keys")


@app.command()
@with_settings(*_OWN_SETTINGS, *_OF_ALL_REQUESTS)
def serve(
    *,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask for no key. Only on this machine: 127.0.0.1, ::1 or localhost.")
    ] = False,
    settings: Settings,
) -> None:
    """Answer over HTTP what the client answers, until told to stop.

    What is searched is the embedded catalogue, where there is one, or the one that FASHIONCROP_CATALOGUE names
    (postgresql://...); it may be filled meanwhile.
    """
    for warning in settings.warnings:
        warn(warning)
    try:
        from fashioncrop.gateway.serving import serve as answer  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise OptionError("The gateway needs more packages. Run pip install 'fashioncrop[gateway]'.") from error
    if no_auth:
        warn("No key is asked for: every program of every user of this machine may ask.")
    answer(
        settings,
        needs_keys=not no_auth,
        on_ready=lambda address: words.print(f"Ready: {address}", markup=False),
    )


@app.command()
@with_settings("job_keep_s", "max_photo_pixels", "traces_url", *_OF_ALL_REQUESTS)
def worker(
    *,
    concurrency: Annotated[int, typer.Option(min=1, max=100, help="Jobs at a time.")] = 4,
    silent_for: Annotated[
        float,
        typer.Option(min=1, help="Seconds after which a silent worker is taken for dead, and its jobs are others'."),
    ] = 30,
    settings: Settings,
) -> None:
    """Answer the jobs that gateways take, until told to stop; on as many hosts as there are."""
    for warning in settings.warnings:
        warn(warning)
    try:
        from fashioncrop.gateway.jobs.worker import work  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise OptionError("Jobs need more packages. Run pip install 'fashioncrop[jobs]'.") from error
    work(
        settings,
        concurrency=concurrency,
        silent_for_s=silent_for,
        on_ready=lambda place: words.print(f"Ready: jobs in {place}", markup=False),
    )


@keys.command("create")
@with_settings("keys_file")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is, for the list and the log.")],
    *,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may ask for; describe costs money. May be repeated. By default analyze."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=36500, help="How long it is good. By default until it is revoked.")
    ] = None,
    settings: Settings,
) -> None:
    """Make a key and print it: it is shown this once only."""
    expires = None if days is None else dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=days)
    record, key = keys_of(settings).create(name, scope or [Scope.ANALYZE], expires=expires)
    words.print(f"Key {record.id} of {record.name}; it is not shown again:", markup=False)
    typer.echo(key)


@keys.command("list")
@with_settings("keys_file")
def list_keys(*, as_json: AsJson = False, settings: Settings) -> None:
    """Show every key: its id, name, scopes and dates."""
    records = keys_of(settings).records()
    if as_json:
        typer.echo(json.dumps([record.model_dump(mode="json", exclude={"sha256"}) for record in records]))
        return
    table = Table()
    for heading in ("id", "name", "scopes", "created", "expires", "revoked"):
        table.add_column(heading)
    for record in records:
        dates = (f"{date:%Y-%m-%d}" if date else "-" for date in (record.created, record.expires, record.revoked))
        table.add_row(record.id, record.name, " ".join(record.scopes), *dates)
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


@keys.command("revoke")
@with_settings("keys_file")
def revoke_key(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `fashioncrop keys list` shows it.")],
    *,
    settings: Settings,
) -> None:
    """End a key; a running gateway notices at once."""
    record = keys_of(settings).revoke(id_)
    words.print(f"Revoked: {record.id} of {record.name}.", markup=False)
