"""Engines against the original: what is measured, what is judged, and that a wrong engine fails."""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from rich.console import Console

from fashioncrop.errors import DeploymentError, ModelFileError
from fashioncrop.model_repository import Role, engine_folder, prepare_repository
from fashioncrop_export import cli
from fashioncrop_export.checkpoints import file_digest
from fashioncrop_export.exporting import Request, export
from fashioncrop_export.identity import read_identity, write_identity
from fashioncrop_export.photos.pipeline_code import Detections
from fashioncrop_export.photos.sources import Truth, verification_scenes
from fashioncrop_export.tensorrt_engines.files import GRAPH_FILE
from fashioncrop_export.variants import Variant
from fashioncrop_export.verifying.gates import Bound, Engine, Measure, bounds
from fashioncrop_export.verifying.measures import by_place, by_query, cosines, joined, rank_correlation
from fashioncrop_export.verifying.precision import average_precision
from fashioncrop_export.verifying.report import Figure, Report, print_report
from fashioncrop_export.verifying.verification import Verification, verify_engines
from tiny_models import tiny_checkpoints

pytestmark = pytest.mark.export

EMBEDDERS = (Role.IMAGE_EMBEDDER, Role.TEXT_EMBEDDER)


def found(*garments: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    boxes, scores, phrases = zip(*garments, strict=True) if garments else ((), (), ())
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32), np.asarray(phrases, np.int32)
    )


BOX, MOVED, ELSEWHERE = (10.0, 10.0, 110.0, 110.0), (12.0, 10.0, 112.0, 110.0), (300.0, 300.0, 400.0, 400.0)


def test_garments_are_matched_by_place_wherever_the_query_is() -> None:
    agreement = by_place(found((BOX, 0.9, 0), (ELSEWHERE, 0.6, 1)), found((ELSEWHERE, 0.5, 1), (MOVED, 0.8, 0)))
    assert (agreement.expected, agreement.found, agreement.surplus) == (2, 2, 0)
    np.testing.assert_allclose(agreement.ious, [9800 / 10200, 1.0])
    np.testing.assert_allclose(agreement.score_differences, [0.1, 0.1], atol=1e-6)
    assert agreement.same_phrase.all()


def test_what_is_missing_surplus_or_called_otherwise_is_told() -> None:
    agreement = by_place(found((BOX, 0.9, 0), (ELSEWHERE, 0.6, 1)), found((BOX, 0.9, 3), ((600, 0, 700, 50), 0.5, 1)))
    assert (agreement.expected, agreement.found, agreement.surplus) == (2, 1, 1)
    assert agreement.same_phrase.tolist() == [False]


@pytest.mark.parametrize(("original", "engine"), [(0.36, 0.34), (0.34, 0.36), (0.39, 0.31)])
def test_a_garment_at_the_threshold_may_be_found_by_one_only(original: float, engine: float) -> None:
    agreement = by_place(found((BOX, original, 0)), found((BOX, engine, 0)))
    assert (agreement.expected - agreement.found, agreement.surplus) == (0, 0)


def test_a_near_box_of_the_same_phrase_comes_before_a_nearer_one_of_another() -> None:
    near, nearer = (10.0, 10.0, 124.0, 110.0), BOX
    agreement = by_place(found((BOX, 0.9, 0)), found((nearer, 0.9, 1), (near, 0.8, 0)))
    assert agreement.same_phrase.tolist() == [True]


def test_with_one_choice_queries_are_compared_one_by_one() -> None:
    agreement = by_query(found((BOX, 0.9, 0), (BOX, 0.1, 0)), found((MOVED, 0.7, 1), (BOX, 0.9, 0)))
    assert (agreement.expected, agreement.found, agreement.surplus) == (1, 1, 1)
    assert agreement.same_phrase.tolist() == [False]
    np.testing.assert_allclose(agreement.score_differences, [0.2], atol=1e-6)


def test_photos_are_added_up_and_nothing_is_fine_too() -> None:
    whole = joined([by_place(found(), found()), by_place(found((BOX, 0.9, 0)), found())])
    assert (whole.expected, whole.found, len(whole.ious)) == (1, 0, 0)


def test_cosines_are_of_rows_and_zero_is_like_zero_only() -> None:
    one = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    other = np.array([[0.0, 2.0], [0.0, 0.0], [1.0, 0.0], [6.0, 8.0]])
    np.testing.assert_allclose(cosines(one, other), [0, 1, 0, 1], atol=1e-12)


def test_rank_correlation_is_spearmans() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    one = generator.integers(0, 9, (7, 5)).astype(np.float32)  # with ties
    other = one + generator.normal(size=one.shape).astype(np.float32)
    assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(one, np.exp(one)) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    flat = np.ones((7, 5))
    assert (rank_correlation(flat, flat * 3), rank_correlation(flat, one)) == (1, 0)


def test_average_precision_is_cocos() -> None:
    truths = [[Truth(0, BOX), Truth(1, ELSEWHERE)], [Truth(0, BOX)]]
    right = [found((BOX, 0.9, 0), (ELSEWHERE, 0.8, 1)), found((BOX, 0.9, 0))]
    assert average_precision(right, truths, int) == pytest.approx(1)
    # One of two of the first category: found at once, half the recall; the second category is not found at all.
    half = average_precision([found((BOX, 0.9, 0)), found()], truths, int)
    assert half == pytest.approx(51 / 101 / 2)
    # IoU of 9800 / 10200: right at all thresholds but the last (0.95 and above is 0.96 here: right at all ten).
    assert average_precision([found((MOVED, 0.9, 0))], [[Truth(0, BOX)]], int) == pytest.approx(1)
    assert average_precision([found((BOX, 0.9, 0))], [[Truth(0, BOX, is_crowd=True)]], int) is None
    assert average_precision([found((BOX, 0.9, 7))], [[Truth(0, BOX)]], int) == pytest.approx(0)


def test_average_precision_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(DeploymentError, match=r"needs pycocotools.*pip install 'fashioncrop\[training\]'"):
        average_precision([found()], [[]], int)


def test_bounds_hold_at_their_limit_and_never_for_nan() -> None:
    assert Bound(0.5).holds(0.5)
    assert not Bound(0.5).holds(0.4)
    assert Bound(0.5, at_least=False).holds(0.5)
    assert not Bound(0.5, at_least=False).holds(0.6)
    assert not Bound(0.0).holds(float("nan"))
    assert not Bound(0.0, at_least=False).holds(float("nan"))


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("role", Role)
def test_every_engine_of_trained_weights_is_judged(role: Role, engine: Engine) -> None:
    assert bounds(role, engine, trained=True)
    if role is Role.GARMENT_DETECTOR:
        free = set(bounds(role, engine, trained=True)) - set(bounds(role, engine, trained=False))
        assert {Measure.FOUND, Measure.AP_DROP} <= free


@pytest.fixture(scope="module")
def repository(tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny engines, with int8's and TensorRT's places taken by copies of the FP32 graphs."""
    repository = tmp_path_factory.mktemp("verifying") / "repository"
    prepare_repository(repository)
    for role in Role:
        folder = engine_folder(repository, role)
        shutil.copytree(engine_folder(tiny_repository, role), folder, dirs_exist_ok=True)
        shutil.copyfile(folder / "model.onnx", folder / GRAPH_FILE)
    return repository


def wanted(repository: Path, tiny_repository: Path, *roles: Role, variants: tuple[Variant, ...] = ()) -> Verification:
    cache = tiny_checkpoints(tiny_repository)
    return Verification("tiny", repository, cache, verification_scenes(1), roles, variants)


def spoil(path: Path, factor: float) -> None:
    """Change every large weight a little."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values: NDArray[Any] = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 64:
            noise = np.random.default_rng(0).normal(1, factor, values.shape)
            tensor.CopyFrom(numpy_helper.from_array((values * noise).astype(np.float32), tensor.name))
    onnx.save(model, path)


def test_engines_that_are_the_originals_pass(repository: Path, tiny_repository: Path) -> None:
    ticks: list[tuple[Role, int, int]] = []
    report = verify_engines(wanted(repository, tiny_repository, *Role), lambda *tick: ticks.append(tick))
    assert report.passed
    assert [(figure.role, figure.engine) for figure in report.figures if figure.passed is False] == []
    assert {(figure.role, figure.engine) for figure in report.figures} == {
        (role, engine) for role in Role for engine in (Engine.FP32, Engine.MIXED)
    }
    judged = {figure.measure for figure in report.figures if figure.bound is not None}
    assert {Measure.LOGITS, Measure.PINNED_IOU, Measure.COSINE, Measure.RANK_CORRELATION, Measure.TEXT_COSINE} <= judged
    shown = {figure.measure for figure in report.figures if figure.bound is None}
    assert {Measure.FOUND, Measure.IOU, Measure.PHRASE, Measure.AP_DROP} <= shown, "random weights"
    assert {one.role for one in report.skipped} == set(Role)
    assert "There is no model.plan yet" in report.skipped[0].reason
    for role in Role:
        of_role = [(done, total) for one, done, total in ticks if one is role]
        assert of_role[0][0] == 0
        assert of_role[-1][0] == of_role[-1][1] > 0
    document = json.loads(json.dumps(report.to_json()))
    assert document["passed"] is True
    assert len(document["figures"]) == len(report.figures)
    assert document["models"]["garment_detector"]["trained"] is False
    written = io.StringIO()
    print_report(report, Console(width=160, file=written))
    text = written.getvalue()
    assert "FAILED" not in text
    assert "All bounds hold" in text


@pytest.mark.parametrize(
    ("role", "factor", "measure"),
    [
        (Role.IMAGE_EMBEDDER, 0.3, Measure.COSINE),
        (Role.DEPTH_ESTIMATOR, 0.3, Measure.RANK_CORRELATION),
        (Role.VOCABULARY_ENCODER, 0.05, Measure.TEXT_COSINE),
        (Role.GARMENT_DETECTOR, 0.05, Measure.LOGITS),
    ],
)
def test_an_engine_that_computes_something_else_fails(
    repository: Path, tiny_repository: Path, tmp_path: Path, role: Role, factor: float, measure: Measure
) -> None:
    own = tmp_path / "repository"
    shutil.copytree(repository, own)
    spoil(engine_folder(own, role) / GRAPH_FILE, factor)
    report = verify_engines(wanted(own, tiny_repository, role, variants=(Variant.FP32, Variant.TENSORRT)))
    failed = {(figure.engine, figure.measure) for figure in report.figures if figure.passed is False}
    assert (Engine.MIXED, measure) in failed
    assert {engine for engine, _ in failed} == {Engine.MIXED}
    assert not report.passed


def test_trained_weights_are_judged_by_what_they_find(repository: Path, tiny_repository: Path, tmp_path: Path) -> None:
    """The same random weights, called trained: what is only shown for random ones is judged then."""
    own = tmp_path / "repository"
    shutil.copytree(repository, own)
    folder = engine_folder(own, Role.GARMENT_DETECTOR)
    identity = read_identity(folder)
    assert identity is not None
    write_identity(identity.model_copy(update={"trained": True}), folder)
    report = verify_engines(wanted(own, tiny_repository, Role.GARMENT_DETECTOR, variants=(Variant.FP32,)))
    judged = {figure.measure for figure in report.figures if figure.bound is not None}
    assert {Measure.FOUND, Measure.IOU, Measure.SCORE, Measure.PHRASE, Measure.AP_DROP} <= judged
    assert report.passed


def test_an_engine_of_another_checkpoint_is_not_compared(
    repository: Path, tiny_repository: Path, tmp_path: Path
) -> None:
    other = tmp_path / "models"
    shutil.copytree(tiny_checkpoints(tiny_repository) / "tiny", other)
    config = other / "clip" / "config.json"
    config.write_text(config.read_text() + "\n")
    asked = Verification(str(other), repository, tmp_path, verification_scenes(1), EMBEDDERS)
    with pytest.raises(ModelFileError, match=r"was made from .*; .* differs in config\.json\. Verify with"):
        verify_engines(asked)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another engine": (lambda folder: spoil(folder / "model.onnx", 0.1), "is not the engine that model.json tells of"),
    "no identity": (lambda folder: (folder / "model.json").unlink(), "has no engine that this version wrote"),
    "damage": (lambda folder: (folder / GRAPH_FILE).write_bytes(b"not a graph"), "is not a graph that ONNX Runtime"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_compared_is_named(repository: Path, tiny_repository: Path, tmp_path: Path, fault: str) -> None:
    own = tmp_path / "repository"
    shutil.copytree(repository, own)
    change, words = FAULTS[fault]
    change(engine_folder(own, Role.IMAGE_EMBEDDER))
    with pytest.raises(ModelFileError, match=words):
        verify_engines(wanted(own, tiny_repository, Role.IMAGE_EMBEDDER))


def test_a_variant_that_is_asked_for_has_to_be_there(repository: Path, tiny_repository: Path, tmp_path: Path) -> None:
    own = tmp_path / "repository"
    shutil.copytree(repository, own)
    (engine_folder(own, Role.IMAGE_EMBEDDER) / GRAPH_FILE).unlink()
    asked = wanted(own, tiny_repository, Role.IMAGE_EMBEDDER, variants=(Variant.TENSORRT,))
    with pytest.raises(ModelFileError, match=r"has no tensorrt engine \(model\.plan\). Run: fashioncrop-export --vari"):
        verify_engines(asked)


def test_int8_is_compared_too_and_has_to_be_of_this_export(
    repository: Path, tiny_repository: Path, tmp_path: Path
) -> None:
    own = tmp_path / "repository"
    shutil.copytree(repository, own)
    cache = tiny_checkpoints(tiny_repository)
    export(Request("tiny", own, cache, (Role.IMAGE_EMBEDDER,), variants=(Variant.INT8,)))
    asked = wanted(own, tiny_repository, Role.IMAGE_EMBEDDER, variants=(Variant.INT8,))
    report = verify_engines(asked)
    assert report.passed
    (least,) = [figure.value for figure in report.figures if figure.measure is Measure.COSINE]
    assert least is not None
    assert 0.98 < least < 1 - 1e-9, "of 256 levels, something is lost"
    folder = engine_folder(own, Role.IMAGE_EMBEDDER)
    shutil.copyfile(folder / "model.onnx", folder / "model.int8.onnx")
    with pytest.raises(ModelFileError, match=r"model\.int8\.onnx was not made from the model\.onnx beside it"):
        verify_engines(asked)


def test_nothing_measured_is_not_good() -> None:
    nothing = Figure(Role.GARMENT_DETECTOR, Engine.FP32, Measure.FOUND, None, Bound(0.9))
    assert nothing.passed is False
    assert not Report("photos", 1, {}, [nothing]).passed


@pytest.fixture
def command(
    repository: Path, tiny_repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str | Path, models: str = "tiny", where: Path = repository) -> tuple[int, str, str]:
        places = ["--repository", str(where), "--cache", str(tiny_checkpoints(tiny_repository))]
        words = ["fashioncrop-export", "verify", "--models", models, *places, *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def test_the_command_prints_a_table_and_writes_json(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, _ = command("--only", "image_embedder", "--variant", "fp32", "--limit", 1, "--json", tmp_path / "a.json")
    assert code == 0
    assert "embedding cosine, least" in out
    assert "All bounds hold" in out
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["passed"], document["photo_count"]) == (True, 1)


def test_the_command_ends_with_1_where_a_bound_does_not_hold(
    command: Callable[..., tuple[int, str, str]], repository: Path, tmp_path: Path
) -> None:
    own = tmp_path / "repository"
    shutil.copytree(repository, own)
    folder = engine_folder(own, Role.IMAGE_EMBEDDER)
    spoil(folder / "model.onnx", 0.3)
    identity = read_identity(folder)
    assert identity is not None
    write_identity(identity.model_copy(update={"digest": file_digest(folder / "model.onnx")}), folder)
    code, out, err = command("--only", "image_embedder", "--variant", "fp32", "--limit", 1, where=own)
    assert code == 1
    assert "FAILED" in out
    assert "A bound does not hold" in out
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--photos", "."], "holds no photos"),
        (["--data", "."], "There is no folder of photos images"),
        (["--photos", "nowhere"], "There is no folder nowhere"),
    ],
)
def test_photos_that_are_not_there_are_a_sentence(
    command: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command("--only", "image_embedder", *arguments)
    assert (code, out) == (1, "")
    assert words in err


def test_wrong_usage_is_exit_code_2(command: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = command("--photos", "a", "--data", "b")
    assert code == 2
    assert "fashioncrop-export verify" in err
