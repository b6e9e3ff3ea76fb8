"""What everybody who talks to Triton over gRPC has to know: the channel's options, and how overload is worded."""

from __future__ import annotations

import re

_LOOPBACK = re.compile(r"(localhost|127\.[\d.]+|\[::1\]):\d+")
_OVERLOADED = ("in flight", "Exceeds maximum queue size")


def channel_args(url: str) -> list[tuple[str, int]] | None:
    """Options for a channel to `url` (`host:port`); None for tritonclient's own.

    A proxy of the environment is not on the way to this machine itself, and gRPC would ask it all the same.
    """
    if not _LOOPBACK.fullmatch(url):
        return None
    return [
        # As tritonclient sets them where nothing is given.
        ("grpc.max_send_message_length", 2**31 - 1),
        ("grpc.max_receive_message_length", 2**31 - 1),
        ("grpc.enable_http_proxy", 0),
    ]


def is_overload(message: str) -> bool:
    """Does this error say that the server, or this project's pipeline on it, takes no more at the moment?"""
    return any(words in message for words in _OVERLOADED)
