from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest

from text_features import Encoded, EncodedCaption, KeptFeatures
from vocabulary import Caption

PATIENCE_S = 10


def features(mark: int) -> Encoded:
    return (EncodedCaption(Caption(np.asarray([mark]), ()), {}),)


class Encoder:
    """Counts how often each key was computed."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def of(self, key: str) -> Callable[[], Encoded]:
        def encode() -> Encoded:
            self.asked.append(key)
            return features(len(self.asked))

        return encode


def test_what_is_kept_is_not_computed_again() -> None:
    kept, encoder = KeptFeatures(2), Encoder()
    first = kept.get("a", encoder.of("a"))
    assert kept.get("a", encoder.of("a")) is first
    assert kept.get("b", encoder.of("b")) is not first
    assert encoder.asked == ["a", "b"]


def test_the_least_recently_used_goes_first() -> None:
    kept, encoder = KeptFeatures(2), Encoder()
    for key in ("a", "b", "a", "c", "a", "b"):
        kept.get(key, encoder.of(key))
    assert encoder.asked == ["a", "b", "c", "b"], "c took the place of b, b that of c; a was always in use"


def test_as_many_are_kept_as_was_said() -> None:
    kept, encoder = KeptFeatures(3), Encoder()
    for key in "abcabc":
        kept.get(key, encoder.of(key))
    assert encoder.asked == ["a", "b", "c"]
    for key in "dabc":  # each pushes out the one that is asked for next
        kept.get(key, encoder.of(key))
    assert encoder.asked == ["a", "b", "c", "d", "a", "b", "c"]


def test_requests_at_one_time_share_one_computation() -> None:
    kept, begun, go_on = KeptFeatures(2), threading.Event(), threading.Event()
    calls = []

    def slow() -> Encoded:
        calls.append("slow")
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return features(1)

    def unwanted() -> Encoded:
        calls.append("unwanted")
        return features(2)

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(kept.get, "a", slow)
        assert begun.wait(PATIENCE_S)
        others = [pool.submit(kept.get, "a", unwanted) for _ in range(6)]
        assert kept.get("b", lambda: features(3)) is not None, "another vocabulary does not wait"
        assert not wait(others, timeout=0.05).done
        go_on.set()
        assert {id(future.result(PATIENCE_S)) for future in (first, *others)} == {id(first.result())}
    assert calls == ["slow"]


def test_a_failure_reaches_all_who_wait_and_is_forgotten() -> None:
    kept, begun, go_on = KeptFeatures(2), threading.Event(), threading.Event()

    def fails() -> Encoded:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        raise RuntimeError("no encoder")

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(kept.get, "a", fails)
        assert begun.wait(PATIENCE_S)
        others = [pool.submit(kept.get, "a", lambda: features(1)) for _ in range(2)]
        wait(others, timeout=0.05)
        go_on.set()
        for future in (first, *others):
            with pytest.raises(RuntimeError, match="no encoder"):
                future.result(PATIENCE_S)
    again = features(2)
    assert kept.get("a", lambda: again) is again


def test_what_is_no_exception_does_not_leave_anybody_waiting() -> None:
    kept = KeptFeatures(2)

    def interrupted() -> Encoded:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.get("a", interrupted)
    again = features(2)
    assert kept.get("a", lambda: again) is again


def test_a_vocabulary_pushed_out_while_it_is_computed_still_arrives() -> None:
    kept, encoder = KeptFeatures(1), Encoder()

    def pushed_out() -> Encoded:
        kept.get("b", encoder.of("b"))
        raise RuntimeError("late")

    with pytest.raises(RuntimeError, match="late"):
        kept.get("a", pushed_out)
    kept.get("b", encoder.of("b"))
    assert encoder.asked == ["b"], "the failure of one does not throw out another"
