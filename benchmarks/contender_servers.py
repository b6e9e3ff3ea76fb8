"""The contenders, running and ready to be asked: this project's server, the usual service, the documented model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from changed_repository import Change, change, linked_repository, write_config
from contender_clients import Asks, HttpAsks, TritonAsks
from fashioncrop._channel import channel_args
from fashioncrop.errors import DeploymentError
from fashioncrop.model_repository import PIPELINE, Role, read_config, shipped_repository
from processes import server_pid, server_processes
from run_options import Asked
from serving import OnWords, running
from usual_service_process import usual_service

OURS, USUAL, COMPILED, DOCUMENTED = "ours", "usual service", "usual service, compiled", "documented BLS"
_DOCUMENTED_MODEL = "documented_pipeline"
_BATCHED = (Role.GARMENT_DETECTOR, Role.IMAGE_EMBEDDER, Role.DEPTH_ESTIMATOR)
_ANSWER_WITHIN_S = 3600.0


@dataclass
class Contender:
    """One that runs.

    Attributes:
        name: what tables call it.
        client: asks it.
        pids: the processes that serve it; of a Triton server the server's own.
        is_triton: whether it is a model on Triton.
        warm_ups: how often each photo is asked about before anything is measured.
        stop: ends it early.
    """

    name: str
    client: Asks
    pids: tuple[int, ...]
    is_triton: bool
    warm_ups: int = 1
    stop: ExitStack = field(default_factory=ExitStack)

    def memory_bytes(self) -> int:
        """Memory of its processes; what they share is counted once."""
        if self.is_triton:
            return sum(one.own_bytes for pid in self.pids for one in server_processes(pid))
        return sum(psutil.Process(pid).memory_full_info().pss for pid in self.pids)


@dataclass(frozen=True)
class Wanted:
    """Which contenders to start, and how.

    Attributes:
        repository: the model repository with every engine.
        checkpoints: what the engines were made from, by `detector`, `embedder` and `depth`.
        config_names: configurations to serve, empty for `config.pbtxt`; the first is `ours`.
        against: which of `USUAL`, `COMPILED`, `DOCUMENTED`.
        queue_delay_ms: how much longer each vision model lets a request wait, as if it ran elsewhere; 0 for not at all.
    """

    repository: Path
    checkpoints: dict[str, Path]
    config_names: tuple[str, ...]
    against: tuple[str, ...]
    queue_delay_ms: float


@contextmanager
def contenders(wanted: Wanted, asked: Asked, folder: Path, words: OnWords) -> Iterator[list[Contender]]:
    """All of them, for as long as the block lasts.

    Args:
        wanted: see `Wanted`.
        asked: what every request asks.
        folder: for repositories and logs; must be empty.
        words: told what starts.

    Raises:
        FashionCropError: one does not start.
    """
    with ExitStack() as stack:
        started: list[Contender] = []
        for number, config_name in enumerate(wanted.config_names):
            repository = linked_repository(wanted.repository, folder / f"models-{number}")
            _delay(repository, wanted.queue_delay_ms)
            is_first = number == 0
            with_documented = is_first and DOCUMENTED in wanted.against
            if with_documented:
                _write_documented(repository)
            server = stack.enter_context(running(repository, words, config_name=config_name))
            pids = (server_pid(server),)
            name = OURS if is_first else f"{OURS}, {config_name or 'fp32'}"
            started.append(Contender(name, _triton(server.grpc_url, PIPELINE, asked), pids, is_triton=True))
            if with_documented:
                _load_documented(server.grpc_url)
                client = _triton(server.grpc_url, _DOCUMENTED_MODEL, asked)
                started.append(Contender(DOCUMENTED, client, pids, is_triton=True))
        for name in (USUAL, COMPILED):
            if name in wanted.against:
                own = stack.enter_context(ExitStack())
                log = folder / f"{name}.log"
                service = own.enter_context(usual_service(wanted.checkpoints, log, words, is_compiled=name == COMPILED))
                http = HttpAsks(
                    service.url,
                    score_threshold=asked.score_threshold,
                    max_garments=asked.max_garments,
                    timeout_s=_ANSWER_WITHIN_S,
                )
                started.append(Contender(name, http, (service.pid,), is_triton=False, warm_ups=2, stop=own))
        yield started


def _triton(url: str, model: str, asked: Asked) -> TritonAsks:
    return TritonAsks(url, model, score_threshold=asked.score_threshold, max_garments=asked.max_garments)


def _delay(repository: Path, queue_delay_ms: float) -> None:
    if queue_delay_ms:
        for role in _BATCHED:
            change(repository, role, Change(queue_delay_us=round(queue_delay_ms * 1000)))


def _write_documented(repository: Path) -> None:
    """The contender as a model of its own, beside the pipeline and on the same other models."""
    here = Path(__file__).parent / "contenders"
    folder = repository / _DOCUMENTED_MODEL / "1"
    code = shipped_repository() / PIPELINE / "1"
    shutil.copytree(code, folder, ignore=shutil.ignore_patterns("__pycache__", "model.py", "pipeline.py"))
    shutil.copy2(here / "documented_pipeline.py", folder / "model.py")
    (folder / "contenders").mkdir()
    shutil.copy2(here / "garments.py", folder / "contenders")
    config = read_config(repository, PIPELINE)
    config.name = _DOCUMENTED_MODEL
    for tensors, names in (
        (config.input, {"image", "score_threshold", "max_garments"}),
        (config.output, {"analysis", "crops", "embeddings"}),
    ):
        for tensor in [tensor for tensor in tensors if tensor.name not in names]:
            tensors.remove(tensor)
    write_config(repository, _DOCUMENTED_MODEL, config)


def _load_documented(url: str) -> None:
    client = triton.InferenceServerClient(url, channel_args=channel_args(url))
    try:
        client.load_model(_DOCUMENTED_MODEL)
    except InferenceServerException as error:
        raise DeploymentError(f"The documented model cannot be loaded: {error.message()}") from error
    finally:
        client.close()
