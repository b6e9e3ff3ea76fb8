"""`kill -9` of workers and of the gateway in the middle of it: every job ends once, every request ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from fashioncrop import EmbeddedServer
from fashioncrop.gateway.keys import KeyFile, Scope
from planted import reachable_folder

pytestmark = [pytest.mark.server, pytest.mark.export]

COMMAND = [sys.executable, "-c", "from fashioncrop.cli import main; main()"]
IMAGES = 12

Start = Callable[..., "Process"]


class Process:
    """A gateway or a worker, and what it writes."""

    def __init__(self, words: list[str], variables: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.place = ""
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._is_ready.wait(120), self.lines
        assert self.place, self.lines

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("Ready: "):
                self.place = line.removeprefix("Ready: ").strip()
                self._is_ready.set()
        self._is_ready.set()

    def kill(self, sent: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(sent)
        self.process.wait(90)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder


@pytest.fixture
def key(tmp_path: Path) -> str:
    return KeyFile(tmp_path / "keys.json").create("test", [Scope.ANALYZE, Scope.JOBS])[1]


@pytest.fixture
def start(server: EmbeddedServer, tmp_path: Path, place: Path) -> Iterator[Start]:
    running: list[Process] = []
    variables = {
        "FASHIONCROP_URL": server.grpc_url,
        "FASHIONCROP_JOBS_DATABASE": str(place),
        "FASHIONCROP_CATALOGUE": str(place),
        "FASHIONCROP_KEYS_FILE": str(tmp_path / "keys.json"),
        "FASHIONCROP_CACHING": "false",
        "FASHIONCROP_TIMEOUT_S": "60",
    }

    def begin(*words: str) -> Process:
        running.append(Process(list(words), variables))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.kill()


def gateway_of(start: Start) -> Process:
    return start("serve", "--jobs", "--listen", "127.0.0.1:0", "--drain", "0")


def worker_of(start: Start) -> Process:
    return start("worker", "--silent-for", "2", "--concurrency", "2")


def photo(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (320, 240), (number * 20 % 256, 90, 120)).save(file, "JPEG")
    return file.getvalue()


def client(gateway: Process, key: str) -> httpx.Client:
    return httpx.Client(base_url=gateway.place, headers={"X-API-Key": key}, timeout=120, trust_env=False)


def until(holds: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end_s, what
        time.sleep(0.1)


def test_a_job_outlives_the_workers_that_are_killed_under_it(start: Start, key: str) -> None:
    files = [("images", (f"{number}.jpg", photo(number))) for number in range(IMAGES)]
    with client(gateway_of(start), key) as asking:
        first = worker_of(start)
        submitted = asking.post("/jobs/submit/analyze", files=files, data={"threshold": "0", "max_garments": "2"})
        assert submitted.status_code == 202, submitted.text
        path = submitted.headers["location"]

        def job() -> dict[str, Any]:
            document: dict[str, Any] = asking.get(path).json()
            return document

        until(lambda: job()["progress"]["done"] >= 1, "the first images")
        first.kill()
        before = job()
        assert before["state"] == "running"
        assert before["progress"]["done"] < IMAGES, "it was killed in the middle"
        second = worker_of(start)
        until(lambda: job()["attempts"] == 2, "another worker takes over")
        second.kill()
        third = worker_of(start)
        until(lambda: job()["state"] not in {"queued", "running"}, "the end")
        done = job()
        assert done["state"] == "succeeded", done
        assert done["attempts"] in {2, 3}
        assert [result["index"] for result in done["result"]["results"]] == list(range(IMAGES))
        assert all("analysis" in result for result in done["result"]["results"])
        assert done["progress"] == {"done": IMAGES, "total": IMAGES}
        third.kill(signal.SIGTERM)
        assert third.process.returncode == 0
        assert job() == done, "nothing changes once it has ended"


def test_a_gateway_that_is_killed_under_load_loses_no_job_and_no_request_waits_for_ever(start: Start, key: str) -> None:
    gateway = gateway_of(start)
    worker_of(start)
    outcomes: Counter[str] = Counter()
    acknowledged: list[str] = []
    names = [f"order-{number}" for number in range(24)]

    def submit(asking: httpx.Client, name: str) -> None:
        number = int(name.rpartition("-")[2])
        try:
            response = asking.post(
                "/jobs/submit/detect",
                files={"image": ("a.jpg", photo(number))},
                headers={"Idempotency-Key": name},
                data={"threshold": "0"},
            )
        except httpx.TransportError as error:
            outcomes[type(error).__name__] += 1
        else:
            outcomes[str(response.status_code)] += 1
            if response.status_code == 202:
                acknowledged.append(response.json()["id"])

    with client(gateway, key) as asking, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(submit, asking, name) for name in names]
        until(lambda: len(acknowledged) >= 4, "some jobs")
        gateway.kill()
        for one in asked:
            one.result(60)
    assert sum(outcomes.values()) == len(names), "every request has ended"
    assert set(outcomes) <= {"202", "ReadError", "ConnectError", "RemoteProtocolError", "WriteError"}, outcomes
    with client(gateway_of(start), key) as asking:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: submit(asking, name), names))
        assert len(set(acknowledged)) == len(names), "the same name was the same job, whoever took it"

        def left() -> set[str]:
            return {id_ for id_ in set(acknowledged) if asking.get(f"/jobs/{id_}").json()["state"] != "succeeded"}

        until(lambda: not left(), "every job")
        page = asking.get("/jobs", params={"limit": 200}).json()["jobs"]
        assert len({job["id"] for job in page}) == len(page) == len(names)
        assert {job["progress"]["done"] for job in page} == {1}
