"""`--models full` against a hub on loopback: what is asked for, what is recorded, and what is said when it fails."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from fashioncrop_export.checkpoints import Family
from fashioncrop_export.hub import PUBLISHED

pytestmark = pytest.mark.export

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CLIP = PUBLISHED[Family.CLIP]
Download = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Hub:
    """What is served, by the addresses and headers that huggingface_hub asks for.

    Attributes:
        repositories: checkpoint folders by owner/name.
        revisions: branches, which stand for `COMMIT`, and commits, which stand for themselves.
        truncated: this file is announced with its size and cut off before its end.
        requests: method and path of every request so far.
        address: the hub's URL, once it runs.
    """

    repositories: dict[str, Path]
    revisions: tuple[str, ...]
    truncated: str | None = None
    requests: list[str] = field(default_factory=list)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repository, revision = (api[1], api[3]) if api else (file[1], file[2]) if file else ("", "")
        if repository not in self.hub.repositories:
            self.fail("RepoNotFound")
        elif revision not in self.hub.revisions:
            self.fail("RevisionNotFound")
        elif api:
            self.describe(self.hub.repositories[repository], repository, revision, what=api[2])
        elif file:
            self.send_file(self.hub.repositories[repository] / file[3], revision)

    def fail(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def describe(self, folder: Path, repository: str, revision: str, *, what: str) -> None:
        files = [
            {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": etag(path)}
            for path in sorted(folder.iterdir())
        ]
        info = {"id": repository, "sha": commit(revision), "siblings": [{"rfilename": file["path"]} for file in files]}
        self.send_body(json.dumps(files if what == "tree" else info).encode(), revision)

    def send_file(self, path: Path, revision: str) -> None:
        if path.is_file():
            self.send_body(path.read_bytes(), revision, path)
        else:
            self.fail("EntryNotFound")

    def send_body(self, body: bytes, revision: str, path: Path | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", commit(revision))
        if path is not None:
            self.send_header("ETag", f'"{etag(path)}"')
        self.end_headers()
        if self.command == "GET":
            is_cut = path is not None and path.name == self.hub.truncated
            self.wfile.write(body[: len(body) // 2] if is_cut else body)
            self.close_connection = is_cut


def commit(revision: str) -> str:
    return revision if re.fullmatch("[0-9a-f]{40}", revision) else COMMIT


def etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def serve(hub: Hub) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def hub(checkpoints: Path) -> Hub:
    """All three checkpoints at the pinned commits and on main."""
    commits = tuple(published.revision for published in PUBLISHED.values())
    folders = {published.repository: checkpoints / family for family, published in PUBLISHED.items()}
    return Hub(folders, revisions=("main", COMMIT, *commits))


@pytest.fixture
def download(tmp_path: Path) -> Download:
    """Runs the command for one model; the hub's address is read when huggingface_hub is imported, so in a process."""

    def run(address: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fashioncrop_export", "--models", "full", "--only", "image_embedder"]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "home"),
            **variables,
        }
        command += ["--repository", str(tmp_path / "repository"), "--json", *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_a_pinned_checkpoint_is_downloaded_exported_and_named(hub: Hub, download: Download) -> None:
    with serve(hub):
        done = download(hub.address)
        assert done.returncode == 0, done.stderr
        (result,) = json.loads(done.stdout)
        identity = result["identity"]
        assert (result["role"], result["status"]) == ("image_embedder", "exported")
        assert (identity["name"], identity["version"]) == (CLIP.repository, CLIP.revision)
        assert (identity["source"], identity["trained"], identity["license"]) == ("full", True, "MIT")
        fetched = {request.rsplit("/", 1)[1] for request in hub.requests if request.startswith("GET /openai")}
        assert fetched == {
            *("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
        }
        # What only this project's own folders have is not asked for.
        assert not any("fashioncrop.json" in request for request in hub.requests)
        hub.requests.clear()
        again = download(hub.address)
        assert json.loads(again.stdout)[0]["status"] == "up to date"
        assert not [request for request in hub.requests if request.startswith("GET /openai")]
    # The hub is gone now: the cache is enough, with or without saying so.
    assert json.loads(download(hub.address, HF_HUB_OFFLINE="1").stdout)[0]["status"] == "up to date"
    assert json.loads(download(hub.address).stdout)[0]["status"] == "up to date"


def test_a_branch_is_recorded_as_the_commit_it_stood_for(hub: Hub, download: Download) -> None:
    with serve(hub):
        done = download(hub.address, "--revision", "clip=main")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["identity"]["version"] == COMMIT


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_without_a_network_the_sentence_says_what_to_do(download: Download) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        sentence = said(download(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert sentence.startswith(
        f"{CLIP.repository} at {CLIP.revision} cannot be downloaded: the hub does not serve it now"
    )
    for remedy in ("--models paperdoll", "--models random", "--models DIR", "HF_HUB_OFFLINE=1"):
        assert remedy in sentence


def test_a_repository_that_is_not_there_is_named(hub: Hub, download: Download) -> None:
    del hub.repositories[CLIP.repository]
    with serve(hub):
        sentence = said(download(hub.address))
    assert sentence.startswith(
        f"The hub does not have {CLIP.repository} at {CLIP.revision}, or wants a token (HF_TOKEN)."
    )


def test_a_revision_that_is_not_there_is_named(hub: Hub, download: Download) -> None:
    with serve(hub):
        sentence = said(download(hub.address, "--revision", "clip=v9"))
    assert sentence.startswith(f"The hub does not have {CLIP.repository} at v9")


def test_a_truncated_download_is_not_taken_for_a_checkpoint(hub: Hub, download: Download, tmp_path: Path) -> None:
    hub.truncated = "model.safetensors"
    with serve(hub):
        sentence = said(download(hub.address))
    assert "was not downloaded completely" in sentence
    assert not (tmp_path / "repository" / "image_embedder" / "1" / "model.onnx").exists()


def test_a_checkpoint_without_safetensors_is_refused(
    hub: Hub, download: Download, checkpoints: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for path in (checkpoints / Family.CLIP).iterdir():
        name = "pytorch_model.bin" if path.name == "model.safetensors" else path.name
        (folder / name).write_bytes(path.read_bytes())
    hub.repositories[CLIP.repository] = folder
    with serve(hub):
        assert said(download(hub.address)).endswith("has no model.safetensors.")
    assert not any("pytorch_model.bin" in request for request in hub.requests)


def test_revisions_are_pinned_to_commits() -> None:
    assert set(PUBLISHED) == set(Family)
    for published in PUBLISHED.values():
        assert len(bytes.fromhex(published.revision)) == 20
