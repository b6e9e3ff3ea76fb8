"""What `benchmarks/search.py` measures is what it says: the vectors, the exact answers, the copy, the document."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import search_run
from planted import reachable_folder
from search_run import Figures, Measured
from summaries import latencies
from vector_data import cases, make_vectors
from vector_stores import Built, CatalogueStore, PlainScan, catalogue_of, lance_of, shares

COUNT, WIDTH, QUERIES = 600, 64, 12
DATA = make_vectors(COUNT, WIDTH, QUERIES, 3)
CASES = cases(DATA)


@pytest.fixture(scope="module")
def catalogue() -> Iterator[tuple[CatalogueStore, Built]]:
    with reachable_folder() as folder, catalogue_of(DATA, folder / "catalogue") as made:
        yield made


def test_vectors_are_spread_as_is_said() -> None:
    again = make_vectors(COUNT, WIDTH, QUERIES, 3)
    assert np.array_equal(again.vectors, DATA.vectors)
    assert np.array_equal(again.colours, DATA.colours)
    assert not np.array_equal(make_vectors(COUNT, WIDTH, QUERIES, 4).vectors, DATA.vectors)
    for rows in (DATA.vectors, DATA.queries):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    same = DATA.categories[:, None] == DATA.categories[None, :]
    similarities = DATA.vectors @ DATA.vectors.T
    assert similarities[same].mean() > similarities[~same].mean() + 0.1, "a category is a cluster"
    assert (DATA.colours.sum(axis=1) >= 1).all()
    pictures = (DATA.queries[~DATA.is_text] @ DATA.vectors.T).max(axis=1)
    texts = (DATA.queries[DATA.is_text] @ DATA.vectors.T).max(axis=1)
    assert texts.max() < pictures.min() + 0.2
    assert texts.mean() < pictures.mean(), "texts stand apart"


def test_filters_are_of_the_query_and_let_little_and_much_through() -> None:
    through = shares(DATA, CASES)
    assert through["no filter"] == 1
    assert through["rare category"] < through["own category"] < 1
    by_name = {case.name: case for case in CASES}
    own = [wanted.category for wanted in by_name["own category"].wanted]
    assert own == DATA.own_category.tolist()
    others = [wanted.category for wanted in by_name["another category"].wanted]
    assert all(one != other for one, other in zip(own, others, strict=True))


def test_the_exact_answers_are_the_exact_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vector_data._ROWS", 37)
    for case in CASES:
        for index, (wanted, found) in enumerate(zip(case.wanted, DATA.nearest(case, 10), strict=True)):
            passing = np.flatnonzero(DATA.passes(wanted))
            scores = DATA.vectors[passing] @ DATA.queries[index]
            assert found == set(passing[np.argsort(-scores)[:10]].tolist()), case.name
    plain = PlainScan(DATA)
    for case in CASES:
        scanned = [set(plain.find(DATA.queries[i], case.wanted[i])[:10]) for i in range(QUERIES)]
        assert scanned == DATA.nearest(case, 10)


def test_the_catalogue_holds_what_was_copied_and_answers_as_the_scan(
    catalogue: tuple[CatalogueStore, Built],
) -> None:
    store, built = catalogue
    assert built.disk_bytes > built.index_bytes > COUNT * WIDTH * 2  # type: ignore[operator]
    assert store.memory_bytes() > 2**20
    exactly = store.exactly()
    for case in CASES:
        truths = DATA.nearest(case, 10)
        for one in (store, exactly):
            answers = [one.find(DATA.queries[index], case.wanted[index])[:10] for index in range(QUERIES)]
            recall = [
                len(truth & set(answer)) / max(len(truth), 1) for truth, answer in zip(truths, answers, strict=True)
            ]
            assert np.mean(recall) >= 0.98, (one.name, case.name)
            for answer, wanted in zip(answers, case.wanted, strict=True):
                assert DATA.passes(wanted)[answer].all()
    exactly.close()


def test_lance_is_asked_the_same(tmp_path: Path) -> None:
    pytest.importorskip("lancedb", reason="the extra bench-search")
    with lance_of(DATA, tmp_path / "lance") as (store, built):
        assert built.disk_bytes > COUNT * WIDTH * 4
        for case in CASES:
            truths = DATA.nearest(case, 10)
            answers = [store.find(DATA.queries[index], case.wanted[index])[:10] for index in range(QUERIES)]
            recall = [
                len(truth & set(answer)) / max(len(truth), 1) for truth, answer in zip(truths, answers, strict=True)
            ]
            assert np.mean(recall) >= 0.9, case.name
            for answer, wanted in zip(answers, case.wanted, strict=True):
                assert DATA.passes(wanted)[answer].all()


def figures(recall: float, p95_s: float) -> Figures:
    return Figures(recall, recall, latencies([p95_s] * 10))


def test_promises_are_judged_at_a_million_by_the_worst_filter() -> None:
    small = Measured("catalogue", 1000, None, 0, {"no filter": figures(0.5, 1)})
    good = Measured("catalogue", 10**6, None, 0, {"no filter": figures(0.99, 0.01), "b": figures(0.985, 0.049)})
    bad = Measured("catalogue", 10**6, None, 0, {"no filter": figures(0.99, 0.01), "b": figures(0.97, 0.051)})
    assert search_run._targets([small]) == []
    assert [target.is_met for target in search_run._targets([good])] == [True, True]
    assert [target.is_met for target in search_run._targets([bad])] == [False, False]


def test_where_the_other_is_better_is_said() -> None:
    def built(index_s: float) -> Built:
        return Built(1, index_s, 1, 1)

    mine = Measured("catalogue", 10, built(5), 0, {"a": figures(0.99, 0.02), "b": figures(0.99, 0.02)})
    other = Measured("LanceDB", 10, built(2), 0, {"a": figures(0.99, 0.01), "b": figures(0.9, 0.001)})
    sentences = search_run._losses([mine, other])
    assert len(sentences) == 2, "being faster and wrong is no win"
    assert "answers faster at 10 garments with a: p95 10.0 ms" in sentences[0]
    assert "builds its index faster" in sentences[1]


def test_the_command_writes_a_document_and_a_figure(tmp_path: Path) -> None:
    script = Path(search_run.__file__).with_name("search.py")
    words = [sys.executable, str(script), "--sizes", "300", "--queries", "10", "--no-peer", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "catalogue, no filter" in done.stdout
    content = json.loads((tmp_path / "search.json").read_text(encoding="utf-8"))
    assert content["benchmark"] == "search"
    stores = {one["store"]: one for one in content["measured"]["stores"]}
    assert set(stores) == {"plain scan", "catalogue", "catalogue, every garment looked at"}
    assert all(one["recall"] == 1 for one in stores["plain scan"]["cases"].values())
    assert (tmp_path / "search.svg").read_text(encoding="utf-8").startswith("<?xml")
    refused = subprocess.run([*words[:2], "--sizes", "many"], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "--sizes takes numbers" in refused.stderr
