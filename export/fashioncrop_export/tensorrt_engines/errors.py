"""What can go wrong with TensorRT.

::

    DeploymentError
    └── TensorRTError               an engine cannot be built or run
        ├── TensorRTMissingError    TensorRT is absent or too old, or there is no GPU
        └── EngineUnusableError     an engine cannot be run on this machine
"""

from __future__ import annotations

from fashioncrop.errors import DeploymentError


class TensorRTError(DeploymentError):
    """An engine cannot be built or run; the message says why and what to do."""


class TensorRTMissingError(TensorRTError):
    """TensorRT is absent or too old, or there is no GPU."""


class EngineUnusableError(TensorRTError):
    """An engine cannot be run on this machine: it was built for another, or by another TensorRT."""
