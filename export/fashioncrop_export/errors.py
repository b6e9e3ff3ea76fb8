"""What export adds to fashioncrop's errors.

::

    DeploymentError
    ├── ModelFileError   fashioncrop's own: a checkpoint, configuration or engine is missing, corrupt or foreign
    ├── DownloadError    the hub cannot be reached, or does not have the checkpoint
    └── ParityError      a graph is not what its configuration declares, or does not compute what the original does
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fashioncrop.errors import DeploymentError


class DownloadError(DeploymentError):
    """The hub cannot be reached, or does not have the checkpoint."""


@dataclass(frozen=True)
class Difference:
    """One thing in which an exported graph is not what it should be.

    Attributes:
        model: the model's name.
        tensor: the tensor that differs; empty where the graph as a whole does.
        expected: what was declared, or what the original computes.
        got: what the graph has or computes.
    """

    model: str
    tensor: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = f"{self.model}.{self.tensor}" if self.tensor else self.model
        return f"{where}: expected {self.expected}, got {self.got}"


class ParityError(DeploymentError):
    """An exported graph is not what its configuration declares, or does not compute what the original does.

    Attributes:
        differences: all of them, in the order names, axes, shapes and types, values.
    """

    def __init__(self, differences: Sequence[Difference]) -> None:
        super().__init__("\n".join(str(difference) for difference in differences))
        self.differences = tuple(differences)
