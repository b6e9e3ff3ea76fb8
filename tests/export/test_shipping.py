"""`--models paperdoll`: engines that come with the project are copied where they fit, and never served where not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fashioncrop.errors import ModelFileError
from fashioncrop.model_repository import Role, engine_folder, shipped_repository
from fashioncrop_export import identity, shipped
from fashioncrop_export.checkpoints import Family
from fashioncrop_export.exporting import Request, export
from fashioncrop_export.identity import ModelIdentity, files_of
from fashioncrop_export.sources import find_checkpoint
from small_checkpoints import DOMAIN

pytestmark = pytest.mark.export

# The one that is exported fastest and has a tokeniser.
ROLE = Role.TEXT_EMBEDDER
FAMILY = Family.CLIP


@pytest.fixture
def package(small_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may spoil, in the place of the project's own."""
    folder = Path(shutil.copytree(small_package, tmp_path / shipped.PACKAGE))
    monkeypatch.setattr(shipped, "package_folder", lambda: folder)
    return folder


@pytest.fixture
def request_for_one(package: Path) -> Request:
    return Request("paperdoll", package.parent / "repository", package.parent / "cache", (ROLE,))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def status_of(request: Request) -> str:
    (result,) = export(request)
    return result.status


def test_all_engines_are_copied_as_they_are(package: Path, request_for_one: Request) -> None:
    request = replace(request_for_one, roles=tuple(Role))
    assert [(result.role, result.status) for result in export(request)] == [(role, "installed") for role in Role]
    for role in Role:
        files = contents(engine_folder(request.repository, role))
        assert sorted(files) == sorted(files_of(role))
        assert files == contents(package / "engines" / role)
    assert {result.status for result in export(request)} == {"up to date"}


WITHOUT_THE_EXTRA = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = {"torch", "transformers", "onnx", "safetensors", "huggingface_hub", *sys.argv[1].split(",")}
sys.meta_path.insert(0, Refuse())
sys.argv = ["fashioncrop-export", *sys.argv[2:]]
from fashioncrop_export.cli import main
main()
"""


def run_without(blocked: str, package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with nothing of the extra `export`, and without what else is named."""
    command = [sys.executable, "-c", WITHOUT_THE_EXTRA, blocked, "--models", "paperdoll", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


@pytest.mark.parametrize("blocked", ["", "onnxruntime,tokenizers"], ids=["extra server", "no extra"])
def test_that_needs_nothing_of_the_extra(small_package: Path, tmp_path: Path, blocked: str) -> None:
    repository = tmp_path / "repository"
    done = run_without(blocked, small_package, "--repository", str(repository))
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [[role, "installed"] for role in Role]
    assert done.stderr.splitlines() == [f"{role}: installed" for role in Role]
    again = run_without(blocked, small_package, "--repository", str(repository), "--json")
    assert {result["status"] for result in json.loads(again.stdout)} == {"up to date"}


def test_an_export_without_the_extra_says_what_to_install(small_package: Path, tmp_path: Path) -> None:
    done = run_without("", small_package, "--repository", str(tmp_path / "repository"), "--force")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith("Run: pip install 'fashioncrop[export]'")


def test_model_json_says_what_was_trained_on_what(request_for_one: Request) -> None:
    export(replace(request_for_one, roles=tuple(Role)))
    names = {}
    for role in Role:
        content = json.loads((engine_folder(request_for_one.repository, role) / "model.json").read_text())
        names[role] = content["name"]
        assert (content["source"], content["trained"], content["domain"]) == ("paperdoll", True, DOMAIN)
        assert content["license"] == "Apache-2.0"
    assert names == {
        Role.VOCABULARY_ENCODER: "paperdoll grounding-dino",
        Role.GARMENT_DETECTOR: "paperdoll grounding-dino",
        Role.IMAGE_EMBEDDER: "paperdoll clip",
        Role.TEXT_EMBEDDER: "paperdoll clip",
        Role.DEPTH_ESTIMATOR: "paperdoll depth-anything",
    }


def test_without_a_marker_the_name_is_the_familys_and_the_domain_open(package: Path) -> None:
    for family in Family:
        (package / "checkpoints" / family / "fashioncrop.json").unlink()
        checkpoint = find_checkpoint("paperdoll", family, package, {})
        assert (checkpoint.name, checkpoint.domain) == (f"paperdoll {family}", None)


def test_force_exports_the_same_bytes(package: Path, request_for_one: Request) -> None:
    forced = replace(request_for_one, roles=(Role.VOCABULARY_ENCODER, Role.GARMENT_DETECTOR, ROLE), force=True)
    for result in export(forced):
        assert result.status == "exported"
        written = contents(engine_folder(forced.repository, result.role))
        expected = contents(package / "engines" / result.role)
        for name in files_of(result.role)[:-1]:
            assert written[name] == expected[name], (result.role, name)
    assert {result.status for result in export(replace(forced, force=False))} == {"up to date"}


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}, indent=2) + "\n")


def edit_engine(**changes: object) -> Callable[[Path], None]:
    return lambda package: edit_json(package / "engines" / ROLE / "model.json", **changes)


def edit_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


UNFIT: dict[str, Callable[[Path], object]] = {
    "other weights": lambda package: edit_bytes(package / "checkpoints" / FAMILY / "model.safetensors"),
    "other preprocessing": lambda package: edit_json(
        package / "checkpoints" / FAMILY / "preprocessor_config.json", image_mean=[0.1, 0.1, 0.1]
    ),
    "other name": lambda package: edit_json(package / "checkpoints" / FAMILY / "fashioncrop.json", name="dolls"),
    "other exporter": edit_engine(exporter={"torch": "2.9", "export_source": "sha256:0"}),
    "another role's": edit_engine(role="image_embedder"),
    "other source": edit_engine(source="directory"),
    "later schema": edit_engine(schema=2),
    "damaged engine": lambda package: edit_bytes(package / "engines" / ROLE / "model.onnx"),
    "no engine": lambda package: (package / "engines" / ROLE / "model.onnx").unlink(),
    "no tokeniser": lambda package: (package / "engines" / ROLE / "tokenizer.json").unlink(),
    "no identity": lambda package: (package / "engines" / ROLE / "model.json").unlink(),
    "nothing": lambda package: shutil.rmtree(package / "engines"),
}


@pytest.mark.parametrize("fault", UNFIT)
def test_what_does_not_fit_is_exported(package: Path, request_for_one: Request, fault: str) -> None:
    UNFIT[fault](package)
    (result,) = export(request_for_one)
    assert result.status == "exported"
    checkpoint = find_checkpoint("paperdoll", FAMILY, package, {})
    assert result.identity.checkpoint_digests == checkpoint.digests
    assert status_of(request_for_one) == "up to date"


def test_another_exporter_leaves_nothing_to_copy(request_for_one: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "export_source", lambda: "sha256:later")
    monkeypatch.setattr(identity, "export_source", lambda: "sha256:later")
    (result,) = export(request_for_one)
    assert (result.status, result.identity.exporter["export_source"]) == ("exported", "sha256:later")


def as_made_elsewhere(package: Path) -> None:
    """The engine as it is for most: other versions of the packages made it than those that are here, if any."""
    path = package / "engines" / ROLE / "model.json"
    exporter = json.loads(path.read_text())["exporter"]
    edit_json(path, exporter={**exporter, "torch": "2.9.0", "transformers": "5.20.0"})


def test_packages_of_other_versions_do_not_matter(package: Path, request_for_one: Request) -> None:
    as_made_elsewhere(package)
    assert status_of(request_for_one) == "installed"
    assert status_of(request_for_one) == "up to date"


@pytest.mark.parametrize("name", [*files_of(ROLE)])
def test_a_copy_that_was_spoilt_is_made_again(package: Path, request_for_one: Request, name: str) -> None:
    as_made_elsewhere(package)
    assert status_of(request_for_one) == "installed"
    folder = engine_folder(request_for_one.repository, ROLE)
    edit_bytes(folder / name)
    assert status_of(request_for_one) == "installed"
    assert contents(folder) == contents(package / "engines" / ROLE)


def test_the_engine_of_another_source_gives_way(package: Path, request_for_one: Request, tmp_path: Path) -> None:
    directory = replace(request_for_one, models=str(package / "checkpoints"))
    assert status_of(directory) == "exported"
    assert status_of(request_for_one) == "installed"
    assert status_of(directory) == "exported"
    assert not list(tmp_path.rglob(".unfinished-*"))


def fitting(package: Path, config: Path) -> ModelIdentity | None:
    return shipped.fitting(ROLE, find_checkpoint("paperdoll", FAMILY, package, {}), config)


def test_a_configuration_may_differ_in_all_but_the_tensors(package: Path, tmp_path: Path) -> None:
    text = (shipped_repository() / ROLE / "config.pbtxt").read_text()
    path = tmp_path / "edited" / ROLE / "config.pbtxt"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("max_batch_size: 16", "max_batch_size: 4") + "\n# ours\n")
    known = fitting(package, shipped_repository() / ROLE / "config.pbtxt")
    edited = fitting(package, path)
    assert known is not None
    assert edited is not None
    assert edited.config_digest != known.config_digest
    assert edited.model_copy(update={"config_digest": known.config_digest}) == known
    path.write_text(text.replace("dims: [ 512 ]", "dims: [ 768 ]"))
    assert fitting(package, path) is None


def test_without_the_package_the_sentence_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "PACKAGE", "fashioncrop_of_paper")
    with pytest.raises(ModelFileError, match=r"package fashioncrop_of_paper, .* is not installed\. Install"):
        find_checkpoint("paperdoll", FAMILY, tmp_path, {})


def test_a_repository_that_cannot_be_written_is_named(package: Path, request_for_one: Request) -> None:
    folder = engine_folder(request_for_one.repository, ROLE)
    (folder / "model.onnx").mkdir(parents=True)
    with pytest.raises(ModelFileError, match=r"text_embedder/1 cannot be written"):
        export(request_for_one)
    assert (package / "engines" / ROLE / "model.onnx").is_file()


def test_modules_without_a_say_are_there() -> None:
    modules = {path.name for path in Path(identity.__file__).parent.glob("*.py")}
    assert modules > identity._WITHOUT_A_SAY
