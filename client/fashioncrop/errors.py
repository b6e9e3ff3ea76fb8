"""Every error that fashioncrop raises, ordered by what the caller can do about it.

::

    FashionCropError
    ├── InputError                  mend the input
    │   ├── PhotoError              the photo cannot be read or is refused
    │   │   └── FetchError          its URL cannot or may not be fetched
    │   ├── OptionError             a vocabulary, threshold, box or limit is out of its range
    │   ├── BudgetError             the next paid call might pass the limit on dollars
    │   └── OutputError             the output folder cannot be written
    │       └── StorageError        an object store refuses or cannot be reached
    ├── TryAgainError               wait and repeat
    │   ├── ServerUnavailableError  nobody answers, or a model is being reloaded
    │   ├── OverloadedError         the server turned the request away early
    │   ├── DeadlineError           no answer within `timeout_s`
    │   └── CancelledError          the request was cancelled before it ended
    ├── DeploymentError             mend the set-up
    │   ├── CredentialError         a paid service's key is missing, refused or may not do this
    │   ├── ContractError           server and client disagree about a tensor
    │   ├── MissingModelError       the server does not have a model
    │   ├── ModelControlError       the server does not load or unload a model
    │   ├── QueueError              the database of jobs cannot be used
    │   ├── EmbeddedServerError     the embedded server cannot be started or stopped
    │   ├── ModelFileError          a model, its configuration or its identity is missing, corrupt or foreign
    │   ├── EmbeddedDatabaseError   the embedded database cannot be made or started
    │   └── CatalogueError          the catalogue's database cannot be used, or was made by other models
    │       └── NoCatalogueError    there is no catalogue yet, or no photo in it
    └── ServerFaultError            report it: the server failed in a way nobody foresaw
"""

from __future__ import annotations


class FashionCropError(Exception):
    """Root of all errors of this package; the message is a sentence that says what to do."""


class InputError(FashionCropError):
    """What was sent is wrong; the same request will fail again."""


class PhotoError(InputError):
    """The photo cannot be read, or is refused for its size."""


class FetchError(PhotoError):
    """The photo's URL cannot be fetched, or may not be.

    Attributes:
        url: the URL as far as it may be shown (without user information and query).
    """

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


class OptionError(InputError):
    """A vocabulary, threshold, box or limit is outside its range."""


class OutputError(InputError):
    """The output folder cannot be written (permission, full disk, a file in the way)."""


class StorageError(OutputError):
    """An object store cannot be reached, or refuses the bucket, the key or the caller."""


class BudgetError(InputError):
    """The next paid call might pass the limit on dollars, so it was not made."""


class TryAgainError(FashionCropError):
    """The same request may succeed later."""


class ServerUnavailableError(TryAgainError):
    """Nobody answers at the address, or the model is being reloaded."""


class OverloadedError(TryAgainError):
    """The server has as many requests in flight as it takes."""


class DeadlineError(TryAgainError):
    """No answer came within the time the caller allowed."""


class CancelledError(TryAgainError):
    """The request was cancelled before it ended."""


class DeploymentError(FashionCropError):
    """The set-up is wrong: server, model repository or installation."""


class CredentialError(DeploymentError):
    """A paid service's key is missing, refused, or may not do what was asked; the message never holds the key."""


class ContractError(DeploymentError):
    """The server's model does not have the tensors that this client needs.

    Attributes:
        model: name of the model.
        tensor: name of the first tensor that differs.
        expected: what the client needs, as `TYPE[dims]`.
        got: what the server has, as `TYPE[dims]`, or `nothing`.
    """

    def __init__(self, message: str, *, model: str, tensor: str, expected: str, got: str) -> None:
        super().__init__(message)
        self.model = model
        self.tensor = tensor
        self.expected = expected
        self.got = got


class MissingModelError(DeploymentError):
    """The server does not have the model, or it failed to load."""


class ModelControlError(DeploymentError):
    """The server does not take orders to load or unload a model, or could not carry one out."""


class QueueError(DeploymentError):
    """The database of jobs cannot be reached, or its user may not make tables."""


class EmbeddedServerError(DeploymentError):
    """The embedded server cannot be started, watched or stopped."""


class ModelFileError(DeploymentError):
    """A model's file, configuration or identity is missing, corrupt or of another model."""


class EmbeddedDatabaseError(DeploymentError):
    """The embedded database cannot be made or started."""


class CatalogueError(DeploymentError):
    """The catalogue's database cannot be reached or used, or holds vectors of other models."""


class NoCatalogueError(CatalogueError):
    """There is no catalogue yet, or no photo in it."""


class ServerFaultError(FashionCropError):
    """The server failed in a way nobody foresaw; the message carries its words."""
