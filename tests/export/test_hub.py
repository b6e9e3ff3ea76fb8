"""`--models full` against a hub on loopback: what is asked for, what is recorded, and what is said when it fails."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
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

from fashioncrop.errors import ModelFileError
from fashioncrop_export import hub as hub_module
from fashioncrop_export.checkpoints import Checkpoint, Family
from fashioncrop_export.hub import LOCK_FILE, PUBLISHED

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
        replaced: content by file name that is sent in place of what is announced.
        requests: method and path of every request so far.
        address: the hub's URL, once it runs.
    """

    repositories: dict[str, Path]
    revisions: tuple[str, ...]
    truncated: str | None = None
    replaced: dict[str, bytes] = field(default_factory=dict)
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
        if path is not None:
            body = self.hub.replaced.get(path.name, body)
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
    """As the real hub has it: SHA-256 of what Git LFS holds, Git's own digest of the rest."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


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


# The command with other pins: what is published is 600 MB.
WITH_PINS = """
import json, sys
from dataclasses import replace
from fashioncrop_export import cli, hub
from fashioncrop_export.checkpoints import Family
pins = json.loads(sys.argv.pop(1))
hub.PUBLISHED[Family.CLIP] = replace(hub.PUBLISHED[Family.CLIP], digests=pins)
cli.main()
"""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def pins(checkpoints: Path) -> dict[str, str]:
    """What the command is to expect of CLIP's files: what the tiny ones are."""
    return {name: sha256(checkpoints / Family.CLIP / name) for name in CLIP.digests}


@pytest.fixture
def download(tmp_path: Path, pins: dict[str, str]) -> Download:
    """Runs the command for one model; the hub's address is read when huggingface_hub is imported, so in a process."""

    def run(address: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITH_PINS, json.dumps(pins), "--models", "full", "--only", "image_embedder"]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "home"),
            **variables,
        }
        command += [
            "--repository",
            str(tmp_path / "repository"),
            "--cache",
            str(tmp_path / "cache"),
            "--json",
            *options,
        ]
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


def refused(done: subprocess.CompletedProcess[str], name: str, where: str) -> None:
    sentence = said(done)
    assert f"/{name} is not the " in sentence
    assert f" that is {where}: expected " in sentence
    assert "It is not used. Remove it and download again" in sentence


def test_a_file_that_is_not_the_published_one_is_refused(
    hub: Hub, download: Download, pins: dict[str, str], tmp_path: Path
) -> None:
    pins["model.safetensors"] = CLIP.digests["model.safetensors"]
    with serve(hub):
        done = download(hub.address)
    refused(done, "model.safetensors", "published")
    assert f"sha256:{CLIP.digests['model.safetensors']}" in done.stderr
    assert not (tmp_path / "repository" / "image_embedder" / "1" / "model.onnx").exists()
    # ... and from the cache no less, without asking the hub.
    refused(download(hub.address, HF_HUB_OFFLINE="1"), "model.safetensors", "published")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "model.safetensors"])
def test_a_file_that_is_not_what_the_hub_announces_is_refused(
    hub: Hub, download: Download, checkpoints: Path, name: str
) -> None:
    # Of the same length, which is all that huggingface_hub looks at. A branch, of which nothing is pinned.
    content = bytearray((checkpoints / Family.CLIP / name).read_bytes())
    content[-2] ^= 1
    hub.replaced[name] = bytes(content)
    with serve(hub):
        refused(download(hub.address, "--revision", "clip=main"), name, "announced by the hub")


def at_commit(folder: Path) -> Checkpoint:
    return Checkpoint(Family.CLIP, folder, CLIP.repository, COMMIT, "full", trained=True, license="MIT")


def test_a_commit_that_changes_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    """A commit cannot change; who serves another content under its name is told by the lock file."""
    folder, lock = tmp_path / "clip", tmp_path / "new" / LOCK_FILE
    shutil.copytree(checkpoints / Family.CLIP, folder)
    hub_module._check_lock(at_commit(folder), lock)
    content = json.loads(lock.read_text())
    assert content == {f"{CLIP.repository}@{COMMIT}": at_commit(folder).digests}
    written = lock.stat().st_mtime_ns
    hub_module._check_lock(at_commit(folder), lock)
    (folder / "added.json").write_text("{}")  # a file that was not needed before
    assert lock.stat().st_mtime_ns == written
    hub_module._check_lock(at_commit(folder), lock)
    assert "added.json" in json.loads(lock.read_text())[f"{CLIP.repository}@{COMMIT}"]
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    with pytest.raises(ModelFileError, match=rf"/config\.json is not the file that is in {lock}, written at the first"):
        hub_module._check_lock(at_commit(folder), lock)


@pytest.mark.parametrize("content", ["{", "[]", '{"openai/clip-vit-base-patch32@' + COMMIT + '": 1}'])
def test_a_damaged_lock_file_is_named(checkpoints: Path, tmp_path: Path, content: str) -> None:
    lock = tmp_path / LOCK_FILE
    lock.write_text(content)
    with pytest.raises(ModelFileError, match=rf"{lock} is damaged .* Remove it"):
        hub_module._check_lock(at_commit(checkpoints / Family.CLIP), lock)


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


def test_revisions_are_pinned_to_commits_and_weights_to_digests() -> None:
    assert set(PUBLISHED) == set(Family)
    for published in PUBLISHED.values():
        assert len(bytes.fromhex(published.revision)) == 20
        assert {"config.json", "model.safetensors", "preprocessor_config.json"} <= set(published.digests)
        assert all(len(bytes.fromhex(digest)) == 32 for digest in published.digests.values())
