"""What is wrong with a store, in sentences. A store's own words are not quoted: they may hold a key or a signature."""

from __future__ import annotations

import errno
import re

from fashioncrop.errors import StorageError


class StoreUnusableError(StorageError):
    """Nothing can be stored there at all: no bucket, no rights, nobody there, no room. The next one would fail too."""


_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_MAX_LOOKED_AT = 20_000

_FORBIDDEN = frozenset({401, 403})
_MISSING = 404
_TOO_MANY = 429
_LATER = 500
_FULL = 507

_BY_CODE = {
    "NoSuchBucket": "does not exist. Make the bucket, or check its name",
    "ContainerNotFound": "does not exist. Make the container, or check its name",
    "AccessDenied": "may not be written with these credentials. Allow them to write there",
    "AllAccessDisabled": "may not be written with these credentials. Allow them to write there",
    "InvalidAccessKeyId": "does not know the access key. Check key, endpoint and region",
    "SignatureDoesNotMatch": "does not accept the secret key. Check it, and the region",
    "AuthorizationHeaderMalformed": "is in another region. Say which",
    "PermanentRedirect": "is in another region. Say which",
    "ExpiredToken": "says that the credentials have run out. Get new ones",
    "RequestTimeTooSkewed": "says that this machine's clock is wrong. Set it",
    "AuthenticationFailed": "does not accept the credentials. Check account and key",
    "QuotaExceeded": "has no room left. Make room",
}

# Where there was no answer with a status. The first are where the machines of clouds ask for their role.
_BY_WORDS = (
    (
        ("/latest/api/token", "169.254.169.254", "metadata.google"),
        "There are no credentials for the store {shown}. Give them, or set its variables.",
    ),
    (("incorrectly configured region",), "The store {shown} is in another region. Say which."),
    (("builder error",), "The store {shown} is asked over http, which is allowed for this machine only."),
    (
        ("HTTP error", "timed out", "sending request"),
        "The store {shown} cannot be reached. Check endpoint, region and connection.",
    ),
)


def of_store(shown: str, text: str) -> StorageError:
    """What an object store's error means.

    Args:
        shown: the store, as it may be shown.
        text: the error's own words; only known patterns are taken from them.
    """
    looked_at = text[:_MAX_LOOKED_AT]
    code = _CODE.search(looked_at)
    status = _STATUS.search(looked_at)
    if code is not None and code[1] in _BY_CODE:
        return StoreUnusableError(f"The store {shown} {_BY_CODE[code[1]]}.")
    if status is not None:
        return _of_status(shown, int(status[1]), f" ({code[1]})" if code else "")
    for patterns, sentence in _BY_WORDS:
        if any(pattern in looked_at for pattern in patterns):
            return StoreUnusableError(sentence.format(shown=shown))
    return StorageError(f"The store {shown} failed in a way that is not known here. Try again, or report it.")


def _of_status(shown: str, status: int, code: str) -> StorageError:
    if status in _FORBIDDEN:
        return StoreUnusableError(
            f"The store {shown} refuses the credentials: HTTP status {status}{code}. Check them and their rights."
        )
    if status == _MISSING:
        return StoreUnusableError(
            f"The store {shown} does not exist: HTTP status 404{code}. Check bucket and endpoint."
        )
    if status == _FULL:
        return StoreUnusableError(f"The store {shown} has no room left: HTTP status 507{code}. Make room.")
    hint = "Try again later" if status >= _LATER or status == _TOO_MANY else "Check bucket, region and options"
    return StorageError(f"The store {shown} answers with HTTP status {status}{code}. {hint}.")


# What would befall the next file too.
_LASTING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EIO}
)


def of_folder(shown: str, error: OSError) -> StorageError:
    """What is wrong with a folder."""
    kind = StoreUnusableError if error.errno in _LASTING else StorageError
    return kind(
        f"The folder {shown} cannot be written: {error.strerror or type(error).__name__}. Choose another, or make room."
    )
