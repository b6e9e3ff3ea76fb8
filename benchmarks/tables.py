"""Makes BENCHMARKS.md of the documents in benchmarks/results: nothing in it is written by hand.

python benchmarks/tables.py            # write it
python benchmarks/tables.py --check    # exit code 1 where it is not what the documents say
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from command import new_command, run_command
from documents import Cell, cell, read_documents, table_of
from fashioncrop.errors import OutputError

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "BENCHMARKS.md"
_ORDER = ("accuracy", "pipeline", "overhead", "models", "scale", "soak")
_FLAT = str.maketrans({"|": "\\|", "\n": " "})

app = new_command()


@app.command()
def run(
    *,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where the documents and figures are.")] = RESULTS,
    page: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = PAGE,
    check: Annotated[bool, typer.Option("--check", help="Only look whether the page is what it has to be.")] = False,
) -> None:
    """Write BENCHMARKS.md from the documents of all benchmarks."""
    drawn = {path.stem for path in results.glob("*.svg")}
    text = page_of(read_documents(results), _link(results, page), drawn)
    if check:
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            typer.echo(f"{page} is not what {results} says. Run: python benchmarks/tables.py", err=True)
            raise typer.Exit(1)
        return
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{page} cannot be written: {error.strerror}. Choose another: --page FILE.") from error


def page_of(documents: Mapping[str, Mapping[str, Any]], figures: str, drawn: Collection[str]) -> str:
    """The whole page.

    Args:
        documents: by file name without ending.
        figures: the folder of the figures, as the page links to it.
        drawn: names of the documents that have one.
    """
    in_order = sorted(documents.items(), key=lambda item: (_rank(item[1]["benchmark"]), item[0]))
    parts = [_INTRODUCTION]
    if not in_order:
        parts.append("Nothing has been measured yet.\n")
    else:
        parts += [_promises(dict(in_order)), _losses(dict(in_order))]
        parts += [
            _section(name, content, f"{figures}/{name}.svg" if name in drawn else None) for name, content in in_order
        ]
    return "\n".join(part for part in parts if part)


_INTRODUCTION = """# Benchmarks

Made by `python benchmarks/tables.py` from the documents in `benchmarks/results/`; nothing here is written by hand.
Each number holds for the machine, the models and the photos named beside it, and for no other. Measure on your own:
`make bench` (minutes) or `make bench-full` (hours).
"""


def _promises(documents: Mapping[str, Mapping[str, Any]]) -> str:
    rows: list[tuple[Cell, ...]] = [
        (target["says"], target["wanted"], target["got"], "yes" if target["is_met"] else "**no**", f"[{name}](#{name})")
        for name, content in documents.items()
        for target in content["targets"]
    ]
    if not rows:
        return ""
    return "## What was promised\n\n" + _markdown(("promise", "wanted", "measured", "met", "from"), [rows])


def _losses(documents: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        f"- {_flat(sentence)} ([{name}](#{name}))"
        for name, content in documents.items()
        for sentence in content["losses"]
    ]
    return "## Where it loses\n\n" + ("\n".join(lines) if lines else "Nowhere in these measurements.") + "\n"


def _section(name: str, content: Mapping[str, Any], figure: str | None) -> str:
    table = table_of(content)
    parts = [
        f"## {name}\n\n{content['question']}.\n",
        _list([f"**{warning}**" for warning in content["warnings"]]),
        _markdown(table.columns, [list(section) for section in table.sections]),
        "" if figure is None else f"![{content['question']}]({figure})\n",
        _list(content["recommendations"]),
        "Conditions:\n",
        _list([*content["conditions"], *_machine(content), *_models(content)]),
    ]
    return "\n".join(part for part in parts if part)


def _machine(content: Mapping[str, Any]) -> list[str]:
    told = content["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in told["packages"].items())
    commit = f"commit {told['git_commit'][:12]}" if told["git_commit"] else "no commit"
    if told["git_is_clean"] is False:
        commit += " with changes"
    before, after = told["load_average_before"][0], told["load_average_after"][0]
    machine = (
        f"{told['cpu_model']}, {told['cpu_cores_allowed']} of {told['cpu_cores']} cores, "
        f"{told['memory_bytes'] / 2**30:.0f} GiB of memory, {told['system']}, Python {told['python']}; load average "
        f"{before} before and {after} after, {told['busy_share_before']:.0%} of the processors busy before it began."
    )
    return [machine, f"{content['finished'][:10]}, {content['seconds']:.0f} s, {commit}; {packages}."]


def _models(content: Mapping[str, Any]) -> list[str]:
    named = [
        f"{one['role']}: {one['name']} {one['version'][:12]}{'' if one['trained'] else ', random weights'}"
        for one in content["models"]
    ]
    threads = sorted({one.get("threads", 0) for one in content["models"]})
    told = " and ".join("as many as there are cores" if count == 0 else str(count) for count in threads)
    return [f"Models: {'; '.join(named)}.", f"Threads of each model, as configured: {told}."] if named else []


def _markdown(columns: tuple[str, ...], sections: list[list[tuple[Cell, ...]]]) -> str:
    lines = [f"| {' | '.join(map(_flat, columns))} |", f"|{'---|' * len(columns)}"]
    for section in sections:
        lines += [f"| {' | '.join(_flat(cell(value)) for value in row)} |" for row in section]
    return "\n".join(lines) + "\n"


def _list(sentences: list[str]) -> str:
    return "".join(f"- {_flat(sentence)}\n" for sentence in sentences)


def _flat(text: str) -> str:
    """On one line, and no bar that would end a cell."""
    return text.translate(_FLAT)


def _rank(benchmark: str) -> int:
    return _ORDER.index(benchmark) if benchmark in _ORDER else len(_ORDER)


def _link(results: Path, page: Path) -> str:
    """The folder of the figures as seen from the page."""
    place, folder = results.resolve(), page.resolve().parent
    return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else place.as_posix()


if __name__ == "__main__":
    run_command(app)
