"""Downloads the published checkpoints, at pinned revisions, and refuses a file that is not the published one.

Three things are held against every file before anything is made of it:

- the SHA-256 that is written here, for every file of which it was found published;
- what the hub itself says of the file at that commit (Git's own digest, SHA-256 for large files), which is the name
  under which huggingface_hub keeps it; huggingface_hub compares sizes only;
- what was downloaded at that commit the first time, kept in a lock file in the cache. It covers other revisions too.

`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and `HF_TOKEN` are huggingface_hub's own and are honoured.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: of the HTTP library that it uses
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from fashioncrop.errors import ModelFileError
from fashioncrop_export.checkpoints import WEIGHTS_FILE, Checkpoint, Family, check_folder
from fashioncrop_export.errors import DownloadError

LOCK_FILE = "downloads.lock.json"

# Everything else in those repositories is a photo, a model card or weights in another format (or pickled).
_FILES = [
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
]
_INSTEAD = (
    "Use --models paperdoll or --models random (no network), --models DIR with a directory that holds grounding-dino/, "
    "clip/ and depth-anything/, or HF_HUB_OFFLINE=1 with a filled Hugging Face cache."
)


@dataclass(frozen=True)
class PublishedCheckpoint:
    """One model on the hub.

    Attributes:
        repository: owner and name.
        revision: the commit that is downloaded.
        license: SPDX identifier of the weights, by their model card.
        digests: SHA-256 of the files at that commit, by name, as far as they are known.
    """

    repository: str
    revision: str
    license: str
    digests: Mapping[str, str]


# Each digest was found in at least two public projects, independent of each other, that download this commit and state
# what they expect; none contradicts them.
PUBLISHED = {
    Family.GROUNDING_DINO: PublishedCheckpoint(
        "IDEA-Research/grounding-dino-tiny",
        "a2bb814dd30d776dcf7e30523b00659f4f141c71",
        "Apache-2.0",
        {
            "config.json": "eec82c5ab66e16df12a9a212e68ac011779927c2536cf9078658e35d85f0c67a",
            "model.safetensors": "1a2412ef99bd74bcd3c2a246fa1e48581f8889a1300c9051974741314fc042f3",
            "preprocessor_config.json": "8454179ba95e2ad22947835aad7b45862a601fc0055ab88bf1ee70892d3aea60",
            "special_tokens_map.json": "b6d346be366a7d1d48332dbc9fdf3bf8960b5d879522b7799ddba59e76237ee3",
            "tokenizer.json": "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
            "tokenizer_config.json": "d40ab645b68211910b9170d22433d43186a6ec8ee6fd10ba170524b25bf4fb56",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
    # The main branch has only pickled weights; this is the hub's own conversion of them to safetensors (its pull
    # request 15). Of the other small files at this commit no digest is published.
    Family.CLIP: PublishedCheckpoint(
        "openai/clip-vit-base-patch32",
        "b33cedfd0df4e43b8238760678fcc89e1a0d38b3",
        "MIT",
        {
            "config.json": "b575ef3c36f2a057fa19e221650105052d61cc9c1a972ec15019c6261ec98770",
            "model.safetensors": "99d28a652e6ec46629ab7047a0ac82c69b1fe11e0ce672c43af65d3a9a3fc05d",
            "preprocessor_config.json": "910e70b3956ac9879ebc90b22fb3bc8a75b6a0677814500101a4c072bd7857bd",
            "tokenizer.json": "b556ac8c99757ffb677208af34bc8c6721572114111a6e0aaf5fa69ff0b8d842",
        },
    ),
    Family.DEPTH_ANYTHING: PublishedCheckpoint(
        "depth-anything/Depth-Anything-V2-Small-hf",
        "5426e4f0f36572d16453bbda7a8389317b1bef99",
        "Apache-2.0",
        {
            "config.json": "c56698d3643dde1f83ea2212759e6b31a22b8f827246a36dd007ee8a22b3ff75",
            "model.safetensors": "3152477ce0d8d6978d76b995120de97cb5b928701fd0f817769f59e249a16b70",
            "preprocessor_config.json": "d41175c0d889477ca8fc67191e540faef14baf6275157b3fdecf78469e6bbf84",
        },
    ),
}


def download_checkpoint(family: Family, cache: Path, revision: str | None = None) -> Checkpoint:
    """Download what is not in huggingface_hub's cache yet.

    Args:
        family: which of the three.
        cache: where the lock file is kept; the files themselves are in huggingface_hub's own cache.
        revision: a commit, tag or branch instead of the pinned commit; the commit it stands for is recorded.

    Raises:
        DownloadError: the hub cannot be reached, does not have it, or sent less than it announced.
        ModelFileError: what came is not this family's checkpoint, or not what was published.
    """
    published = PUBLISHED[family]
    wanted = revision or published.revision
    what = f"{published.repository} at {wanted}"
    try:
        folder = Path(snapshot_download(published.repository, revision=wanted, allow_patterns=_FILES))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        reason = "the hub does not serve it now, and huggingface_hub's cache does not have it"
        raise DownloadError(f"{what} cannot be downloaded: {reason}. {_INSTEAD}") from error
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError, HFValidationError) as error:
        raise DownloadError(f"The hub does not have {what}, or wants a token (HF_TOKEN). {_INSTEAD}") from error
    except HfHubHTTPError as error:
        raise DownloadError(f"The hub answered {error.response.status_code} for {what}. {_INSTEAD}") from error
    except (HTTPError, OSError) as error:  # the connection broke off, a size is not as announced, the disk is full
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DownloadError(f"{what} was not downloaded completely: {reason}. Run the command again.") from error
    check_folder(folder, family)
    checkpoint = Checkpoint(
        family=family,
        folder=folder,
        name=published.repository,
        revision=folder.name,  # huggingface_hub names the folder after the commit
        source="full",
        trained=True,
        license=published.license,
    )
    _check_digests(checkpoint, published)
    _check_lock(checkpoint, cache / LOCK_FILE)
    return checkpoint


def _check_digests(checkpoint: Checkpoint, published: PublishedCheckpoint) -> None:
    """Refuse a file that is not what was published, or not what the hub says of it."""
    pinned = published.digests if checkpoint.revision == published.revision else {}
    for name, digest in checkpoint.digests.items():
        path = checkpoint.folder / name
        expected = f"sha256:{pinned[name]}" if name in pinned else digest
        if digest != expected:
            _refuse(path, "published", expected, digest)
        if path.is_symlink():
            _check_stored_name(path, digest)


def _check_stored_name(path: Path, digest: str) -> None:
    """Compare with the name under which huggingface_hub keeps the file: the hub's digest of it.

    That is SHA-256 for what Git LFS holds, and for the rest Git's own digest of a blob. A hub that says something else
    (a mirror, a proxy) says nothing that could be compared.
    """
    stored = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", stored) and digest != f"sha256:{stored}":
        _refuse(path, "announced by the hub", f"sha256:{stored}", digest)
    if re.fullmatch("[0-9a-f]{40}", stored):
        content = path.read_bytes()
        got = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if got != stored:
            _refuse(path, "announced by the hub", f"git:{stored}", f"git:{got}")


def _check_lock(checkpoint: Checkpoint, lock: Path) -> None:
    """Refuse what differs from what the same commit was the first time; the first time, write that down."""
    key = f"{checkpoint.name}@{checkpoint.revision}"
    try:
        locked: dict[str, dict[str, str]] = json.loads(lock.read_text(encoding="utf-8")) if lock.exists() else {}
        known = dict(locked.get(key, {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelFileError(f"{lock} is damaged ({error}). Remove it: the next download writes it again.") from error
    for name, digest in checkpoint.digests.items():
        if known.get(name, digest) != digest:
            _refuse(checkpoint.folder / name, f"in {lock}, written at the first download", known[name], digest)
    if set(checkpoint.digests) <= set(known):
        return
    locked[key] = {**known, **checkpoint.digests}
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        beside = lock.with_suffix(".new")
        beside.write_text(json.dumps(locked, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        beside.replace(lock)
    except OSError as error:
        raise ModelFileError(f"{lock} cannot be written: {error.strerror}. Name another folder: --cache.") from error


def _refuse(path: Path, where: str, expected: str, got: str) -> None:
    what = "weights" if path.name == WEIGHTS_FILE else "file"
    raise ModelFileError(
        f"{path} is not the {what} that is {where}: expected {expected}, got {got}. It is not used. Remove it and "
        "download again; if it still differs, do not trust where it comes from."
    )
