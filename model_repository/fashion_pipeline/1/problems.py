"""The one way in which a request fails: a code that Triton knows and a sentence for the person who sent it."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Names of `TritonError` codes; HTTP 400, 503, 400 and 500."""

    INVALID_ARG = "INVALID_ARG"
    UNAVAILABLE = "UNAVAILABLE"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


MOST_BYTES = 900
"""Of a sentence that is sent: gRPC carries it in a header, three bytes for each that is not ASCII, and headers above
8 KiB break the connection."""


class ProblemError(Exception):
    """A request that ends with an error instead of garments.

    Attributes:
        code: what kind of failure it is.
        sentence: what went wrong and what to do.
    """

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def shortened(sentence: str) -> str:
    """A sentence that fits into a gRPC header."""
    data = sentence.encode("utf-8", "replace")
    return sentence if len(data) <= MOST_BYTES else data[:MOST_BYTES].decode("utf-8", "ignore") + " ..."


def quoted(text: str) -> str:
    """What somebody sent, for a sentence about it: in quotation marks, and short."""
    return repr(text if len(text) <= 60 else text[:57] + "...")  # noqa: PLR2004 - half a line


def refuse(sentence: str) -> ProblemError:
    """The request is wrong and will fail again: INVALID_ARG."""
    return ProblemError(Code.INVALID_ARG, sentence)
