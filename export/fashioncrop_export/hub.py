"""Downloads the published checkpoints, at revisions that were looked at.

`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and `HF_TOKEN` are huggingface_hub's own and are honoured.
"""

from __future__ import annotations

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

from fashioncrop_export.checkpoints import Checkpoint, Family, check_folder
from fashioncrop_export.errors import DownloadError

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
    """

    repository: str
    revision: str
    license: str


PUBLISHED = {
    Family.GROUNDING_DINO: PublishedCheckpoint(
        "IDEA-Research/grounding-dino-tiny", "a2bb814dd30d776dcf7e30523b00659f4f141c71", "Apache-2.0"
    ),
    # The main branch (3d74acf9) has only pickled weights; this is the hub's own conversion of it to safetensors.
    Family.CLIP: PublishedCheckpoint("openai/clip-vit-base-patch32", "c237dc49a33fc61debc9276459120b7eac67e7ef", "MIT"),
    Family.DEPTH_ANYTHING: PublishedCheckpoint(
        "depth-anything/Depth-Anything-V2-Small-hf", "5426e4f0f36572d16453bbda7a8389317b1bef99", "Apache-2.0"
    ),
}


def download_checkpoint(family: Family, revision: str | None = None) -> Checkpoint:
    """Download what is not in huggingface_hub's cache yet.

    Args:
        family: which of the three.
        revision: a commit, tag or branch instead of the pinned commit; the commit it stands for is recorded.

    Raises:
        DownloadError: the hub cannot be reached, does not have it, or sent less than it announced.
        ModelFileError: what came is not this family's checkpoint.
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
    return Checkpoint(
        family=family,
        folder=folder,
        name=published.repository,
        revision=folder.name,  # huggingface_hub names the folder after the commit
        source="full",
        trained=True,
        license=published.license,
    )
