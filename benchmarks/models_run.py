"""From settings to the document of `models.py`."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from changed_repository import linked_repository, write_config
from documents import Cell, Findings, Surroundings, Table, document, write_document
from fashioncrop import EmbeddedServer
from fashioncrop._channel import channel_args
from fashioncrop.errors import DeploymentError
from fashioncrop.model_repository import PIPELINE, Role, shipped_repository
from figures import Axes, Line, draw_lines
from model_identities import identities
from model_inputs import Asked, Inputs, model_inputs, photo_inputs, write_inputs
from perf_analyzer import PerfAnalyzer, Subject, Sweep, perf_analyzer
from processes import busy_share
from sample_photos import SamplePhoto, about
from saturation import Point, held, saturation
from serving import OnWords, exported, repository_name, running
from summaries import spread

PACKAGES = ("fashioncrop", "numpy", "nvidia-pytriton", "onnxruntime", "pillow", "tritonclient")
PROTOCOLS = ("grpc", "http")
ENCODED, RAW = "encoded_photo", "raw_pixels"
_SHARES = (0.5, 0.7, 0.8, 0.9, 1.0)
_TIMES_AN_ANSWER = 4
"""A window is at least so many answers long at the highest number of clients."""


@dataclass(frozen=True)
class Settings:
    """What to sweep; see the command's options."""

    models: str
    only: tuple[Role, ...]
    clients: Sequence[int]
    rounds: int
    window_s: float
    with_rates: bool
    with_transport: bool


@dataclass(frozen=True)
class Swept:
    """One model over one protocol.

    Attributes:
        model: its name.
        protocol: `grpc` or `http`.
        clients: points of the sweep of clients, medians of the rounds.
        rounds: the points of each round.
        rates: points of the sweep of rates; empty where there was none.
        infer_ms: mean time inside the model with one client.
    """

    model: str
    protocol: str
    clients: tuple[Point, ...]
    rounds: tuple[tuple[Point, ...], ...]
    rates: tuple[Point, ...]
    infer_ms: float

    def told(self) -> dict[str, Any]:
        """As JSON values."""
        best = held(self.rates)
        return {
            **asdict(self),
            "saturation": asdict(saturation(self.clients)),
            "rate_held": None if best is None else asdict(best),
        }


def sweep(settings: Settings, photo: SamplePhoto, out: Path, name: str | None, words: OnWords) -> dict[str, Any]:
    """Measure every model, and write what was found.

    Args:
        settings: see `Settings`.
        photo: what requests are made from.
        out: the folder for document, figure and tables.
        name: of the files; None for the usual one.
        words: told what goes on.

    Returns:
        The document.

    Raises:
        FashionCropError: perf_analyzer is missing or cannot measure, or the server does not start.
    """
    start_s = time.monotonic()
    file = name or f"models-{repository_name(settings.models)}"
    tables = out / f"{file}-csv"
    shutil.rmtree(tables, ignore_errors=True)
    tables.mkdir()
    with perf_analyzer() as analyzer, tempfile.TemporaryDirectory(prefix="fashioncrop-benchmark-") as folder:
        surroundings = Surroundings(PACKAGES, busy_share())
        source = exported(settings.models, words)
        repository = linked_repository(source, Path(folder) / "models")
        _write_photo_models(repository)
        with running(repository, words) as server, _asked(server) as asked:
            requests: dict[str, Inputs] = {
                role: inputs for role, inputs in model_inputs(repository, photo, asked).items() if role in settings.only
            }
            if settings.with_transport:
                _load(server.grpc_url, (ENCODED, RAW))
                requests |= dict(zip((ENCODED, RAW), photo_inputs(photo), strict=True))
            found = _Bench(settings, server, analyzer, Path(folder), tables).swept(requests, asked, words)
    findings = Findings(
        question="What each model does alone, and where it is full",
        settings=asdict(settings),
        conditions=_conditions(settings, photo, tables.name),
        measured={"swept": [one.told() for one in found], "tables": tables.name},
        table=_table(found),
        losses=_losses(found),
        models=identities(source),
    )
    content = document("models", findings, surroundings, time.monotonic() - start_s)
    write_document(out, file, content)
    draw_lines(
        out / f"{file}.svg",
        Axes(
            f"Share of the most that a model does, by clients ({settings.models}, gRPC)", "clients", "share of the most"
        ),
        _lines(found),
    )
    return content


@dataclass(frozen=True)
class _Bench:
    """What a sweep works with.

    Attributes:
        settings: see `Settings`.
        server: serves the models.
        analyzer: asks them.
        scratch: a folder for inputs.
        tables: the folder for tables.
    """

    settings: Settings
    server: EmbeddedServer
    analyzer: PerfAnalyzer
    scratch: Path
    tables: Path

    def swept(self, requests: Mapping[str, Inputs], asked: Asked, words: OnWords) -> list[Swept]:
        """Every model over every protocol.

        Args:
            requests: by model.
            asked: times one answer of each.
            words: told what goes on.
        """
        urls = {"grpc": self.server.grpc_url, "http": self.server.http_url.removeprefix("http://")}
        found = []
        for model, inputs in requests.items():
            path = self.scratch / f"{model}.json"
            write_inputs(path, inputs, is_batched=model in set(Role))
            longest_s = asked.seconds(model, inputs) * max(self.settings.clients)
            window_ms = math.ceil(max(self.settings.window_s, _TIMES_AN_ANSWER * longest_s) * 1000)
            for protocol in PROTOCOLS:
                words(f"{model} over {protocol}, windows of {window_ms / 1000:.1f} s ...")
                found.append(self._one(Subject(model, urls[protocol], protocol, path, window_ms)))
        return found

    def _one(self, subject: Subject) -> Swept:
        stem = f"{subject.model}-{subject.protocol}"
        rounds = [
            self.analyzer.clients(subject, self.settings.clients, self.tables / f"{stem}-clients-{number + 1}.csv")
            for number in range(self.settings.rounds)
        ]
        points = medians(rounds)
        rates: list[Sweep] = []
        if self.settings.with_rates and subject.protocol == "grpc" and subject.model not in {ENCODED, RAW}:
            most = saturation(points).per_second
            rates = self.analyzer.rates(subject, [share * most for share in _SHARES], self.tables / f"{stem}-rates.csv")
        return Swept(
            model=subject.model,
            protocol=subject.protocol,
            clients=tuple(points),
            rounds=tuple(tuple(one.point for one in swept) for swept in rounds),
            rates=tuple(one.point for one in rates),
            infer_ms=spread([swept[0].infer_ms for swept in rounds]).median,
        )


def medians(rounds: Sequence[Sequence[Sweep]]) -> list[Point]:
    """Point by point, the median of the rounds."""
    return [
        Point(
            at_one_load[0].point.offered,
            spread([one.point.per_second for one in at_one_load]).median,
            spread([one.point.p50_ms for one in at_one_load]).median,
            spread([one.point.p99_ms for one in at_one_load]).median,
        )
        for at_one_load in zip(*rounds, strict=True)
    ]


def _table(found: Sequence[Swept]) -> Table:
    sections: dict[str, list[tuple[Cell, ...]]] = {}
    for one in found:
        full, best = saturation(one.clients), held(one.rates)
        sections.setdefault(one.model, []).append(
            (
                f"{one.model}, {'HTTP' if one.protocol == 'http' else 'gRPC'}",
                one.clients[0].p50_ms,
                one.infer_ms,
                full.per_second,
                f"{full.offered:g}",
                None if best is None else best.per_second,
                None if best is None else best.p99_ms,
            )
        )
    columns = (
        "model",
        "p50 ms, fewest clients",
        "inside it, ms",
        "most a second",
        "full at clients",
        "rate held a second",
    )
    return Table((*columns, "p99 ms at it"), tuple(tuple(rows) for rows in sections.values()))


def _losses(found: Sequence[Swept]) -> list[str]:
    by = {(one.model, one.protocol): saturation(one.clients).per_second for one in found}
    sentences = []
    if (RAW, "grpc") in by:
        encoded, raw = by[ENCODED, "grpc"], by[RAW, "grpc"]
        faster = f"{raw / encoded:.1f} times as fast as" if raw > encoded else f"{encoded / raw:.1f} times slower than"
        sentences.append(
            f"On loopback, where the network costs nothing, a photo sent as pixels is {faster} its file, which has to "
            "be decoded; whoever sends pixels has decoded it before."
        )
    return sentences


def _lines(found: Sequence[Swept]) -> Mapping[str, Line]:
    lines = {}
    for one in found:
        if one.protocol == "grpc":
            most = max(point.per_second for point in one.clients)
            levels = [[swept[i].per_second / most for swept in one.rounds] for i in range(len(one.clients))]
            lines[one.model] = Line(
                [point.offered for point in one.clients],
                [point.per_second / most for point in one.clients],
                [min(level) for level in levels],
                [max(level) for level in levels],
            )
    return lines


def _conditions(settings: Settings, photo: SamplePhoto, tables: str) -> list[str]:
    return [
        f"Requests are made from one photo as the pipeline would make them. {about([photo])}",
        (
            f"perf_analyzer; {settings.rounds} rounds of three windows of at least {settings.window_s:g} s, longer "
            "where an answer takes long; its own stop rule is off. Medians of the rounds. Its tables are kept in "
            f"{tables}/."
        ),
        (
            "A model is full at the fewest clients with which it does 95 % of the most that was measured. A rate is "
            "held where 95 % of it was answered, and of every lower rate; requests come at random distances, answered "
            "or not."
        ),
        "No response cache: the same request again is computed again.",
        "Asker and server share this machine's processors and its loopback network.",
    ]


@contextmanager
def _asked(server: EmbeddedServer) -> Iterator[Asked]:
    asked = Asked(server.grpc_url)
    try:
        yield asked
    finally:
        asked.close()


def _write_photo_models(repository: Path) -> None:
    """Two models that only take a photo, one its file and one its pixels."""
    code = shipped_repository() / PIPELINE / "1"
    for name, data_type, dims in (
        (ENCODED, model_config_pb2.TYPE_STRING, [1]),
        (RAW, model_config_pb2.TYPE_UINT8, [-1, -1, 3]),
    ):
        folder = repository / name / "1"
        folder.mkdir(parents=True)
        shutil.copy2(Path(__file__).parent / "contenders" / "photo_sizes.py", folder / "model.py")
        for path in code.glob("*.py"):
            if path.name != "model.py":
                shutil.copy2(path, folder)
        config = model_config_pb2.ModelConfig(name=name, backend="python", default_model_filename="model.py")
        config.input.add(name="image", data_type=data_type, dims=dims)
        config.output.add(name="size_wh", data_type=model_config_pb2.TYPE_INT32, dims=[2])
        config.instance_group.add(count=1, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
        write_config(repository, name, config)


def _load(url: str, models: Sequence[str]) -> None:
    client = triton.InferenceServerClient(url, channel_args=channel_args(url))
    try:
        for model in models:
            client.load_model(model)
    except InferenceServerException as error:
        raise DeploymentError(f"A model of the benchmark's own cannot be loaded: {error.message()}") from error
    finally:
        client.close()
