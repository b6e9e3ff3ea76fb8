"""Text features of a vocabulary, computed once and kept: BERT runs per vocabulary, not per photo."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from vocabulary import Caption


@dataclass(frozen=True)
class EncodedCaption:
    """A caption with what vocabulary_encoder answered for it.

    Attributes:
        caption: token ids and spans.
        tensors: the encoder's outputs by name, each with a batch axis of 1; garment_detector takes them unchanged.
    """

    caption: Caption
    tensors: dict[str, NDArray[Any]]


Encoded = tuple[EncodedCaption, ...]


class KeptFeatures:
    """The most recently used vocabularies. Requests for one vocabulary at the same time share one computation."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[Hashable, Future[Encoded]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, encode: Callable[[], Encoded]) -> Encoded:
        """What is kept under `key`, else `encode()`, then kept. A failure is raised to all who wait, not kept."""
        with self._lock:
            future = self._kept.get(key)
            mine = future is None
            if future is None:
                future = self._kept[key] = Future()
                if len(self._kept) > self._capacity:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
        if mine:
            try:
                future.set_result(encode())
            except BaseException as error:  # noqa: BLE001 - also what is no Exception: nobody may wait for ever
                with self._lock:
                    if self._kept.get(key) is future:
                        del self._kept[key]
                future.set_exception(error)
        return future.result()
