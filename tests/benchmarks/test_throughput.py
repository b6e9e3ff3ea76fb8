"""What follows from runs of several contenders, on runs made by hand; and the order in which they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pytest

from contender_answers import STRICT, Answer
from contender_servers import COMPILED, DOCUMENTED, OURS, USUAL, Contender
from fashioncrop.errors import ServerFaultError
from load import Answered, Run
from run_options import Asked
from sample_photos import SamplePhoto
from throughput import (
    DisagreementError,
    Measured,
    Schedule,
    lines_of,
    losses_of,
    measure,
    pooled,
    table_of,
    targets_of,
)

INT8 = f"{OURS}, int8"


def run(per_second: float, latencies_s: Sequence[float] = (0.1, 0.2)) -> Run:
    answered = tuple(Answered(index, 0.0, 0.0, latency) for index, latency in enumerate(latencies_s))
    return Run(answered, len(answered) / per_second)


def measured(
    rates: Mapping[str, Mapping[int, Sequence[float]]],
    memory: Mapping[str, float] | None = None,
    latencies_s: Mapping[str, Sequence[float]] | None = None,
) -> Measured:
    runs = {
        name: {
            clients: [run(rate, (latencies_s or {}).get(name, (0.1, 0.2))) for rate in rounds]
            for clients, rounds in levels.items()
        }
        for name, levels in rates.items()
    }
    return Measured(runs, memory or {}, {}, {}, 3.0)


TWICE = {OURS: {1: [2.0, 4.0], 8: [8.0, 8.0]}, USUAL: {1: [1.0, 2.0], 8: [2.0, 4.0]}}


def test_ratios_are_taken_within_a_round() -> None:
    found = measured(TWICE)
    assert found.ratio(USUAL, 1).median == pytest.approx(2)
    assert (found.ratio(USUAL, 1).least, found.ratio(USUAL, 1).most) == pytest.approx((2, 2))
    assert found.per_second(USUAL, 8).median == pytest.approx(3)
    told = found.told()["contenders"]
    assert told[OURS]["1"]["times_faster_is_ours"] is None
    assert told[USUAL]["8"]["times_faster_is_ours"]["median"] == pytest.approx(3)
    assert told[USUAL]["1"]["per_second_by_round"] == pytest.approx([1, 2])


def test_the_table_has_a_row_for_each_contender_at_each_level() -> None:
    table = table_of(measured(TWICE))
    assert [row[:2] for row in table.rows] == [(OURS, 1), (USUAL, 1), (OURS, 8), (USUAL, 8)]
    assert [len(section) for section in table.sections] == [2, 2]
    assert table.rows[1][-1] == "2.00 (2.00 to 2.00)"
    assert table.rows[0][-1] == ""
    assert lines_of(measured(TWICE))[USUAL].ys == pytest.approx([1.5, 3])


def test_a_promise_holds_at_every_number_of_clients_or_not_at_all() -> None:
    usual, tail = targets_of(measured(TWICE), "full", None)
    assert (usual.is_met, usual.wanted, usual.got) == (True, "at least 1.9 times", "2.00 times, at 1 clients")
    assert (tail.says, tail.is_met, tail.got) == ("p99 to p50 at 8 clients", True, "2.00")
    assert not targets_of(measured(TWICE), "small", None)[0].is_met


def test_only_what_was_measured_is_judged() -> None:
    assert targets_of(measured({OURS: {1: [1.0]}}), "full", None) == []
    crowd = {OURS: {16: [10.0]}, DOCUMENTED: {16: [1.0]}}
    (documented,) = targets_of(measured(crowd), "small", None)
    assert (documented.is_met, documented.got) == (True, "10.00 times")
    assert targets_of(measured(crowd), "full", None) == []
    with_int8 = measured({**TWICE, INT8: {1: [4.0, 4.0], 8: [9.0, 12.0]}})
    assert [target.got for target in targets_of(with_int8, "full", INT8)][1] == "2.67 times, at 1 clients"


def test_a_long_tail_is_told() -> None:
    found = measured({OURS: {8: [1.0]}}, latencies_s={OURS: [0.1] * 98 + [0.3, 0.3]})
    (tail,) = targets_of(found, "full", None)
    assert (tail.is_met, tail.got) == (False, "3.00")


def test_losses_are_said_in_full() -> None:
    slower = measured(
        {OURS: {1: [1.0], 8: [9.0]}, INT8: {1: [0.5], 8: [1.0]}, USUAL: {1: [2.0], 8: [3.0]}},
        memory={OURS: 900.0, USUAL: 500.0},
        latencies_s={OURS: (0.4,), USUAL: (0.1,)},
    )
    sentences = losses_of(slower)
    assert "At 1 clients the usual service answers 2.00 times as many photos as ours." in sentences
    assert "At 8 clients the usual service's p99 is 100 ms, ours 400 ms." in sentences
    assert "The usual service takes 500 MB of memory, ours 900 MB." in sentences
    assert not any("int8" in sentence for sentence in sentences)
    assert losses_of(measured(TWICE)) == []


def test_percentiles_are_over_all_rounds() -> None:
    assert pooled([run(1.0, (0.1, 0.2)), run(1.0, (0.3, 0.4))]).most_ms == 400


class Scripted:
    """A contender that answers what it is told, and remembers that it was asked."""

    def __init__(self, name: str, order: list[str], score: float = 0.9, answers_after_s: float = 0.0) -> None:
        self._name, self._order, self._score, self._after_s = name, order, score, answers_after_s

    async def ask(self, photo: bytes) -> Answer:
        self._order.append(self._name)
        if photo == b"bad":
            raise ServerFaultError("cannot answer")
        await asyncio.sleep(self._after_s)
        one = np.ones((1, 4), np.float32)
        box = np.asarray([[0, 0, 9, 9]], np.float32)
        return Answer(box, np.asarray([self._score], np.float32), ("hat",), one[0, :1], one, (b"",))

    async def close(self) -> None:
        return


def contender(name: str, order: list[str], **options: float) -> Contender:
    return Contender(name, Scripted(name, order, **options), (), is_triton=False)


SCHEDULE = Schedule(clients=[1, 2], rounds=2, least_s=0, least_each=1, compile_within_s=0.05)
PHOTOS = [SamplePhoto("one", b"photo", (9, 9))]
ASKED = Asked(0.35, 4)


async def compared(*contenders: Contender, photos: Sequence[SamplePhoto] = PHOTOS) -> Measured:
    tolerances = {one.name: STRICT for one in contenders}
    return await measure(contenders, photos, ASKED, SCHEDULE, tolerances, lambda _: None)


async def test_contenders_take_turns_and_another_begins_each_round() -> None:
    order: list[str] = []
    found = await compared(contender(OURS, order), contender(USUAL, order))
    measured_order = order[2:]  # after the warm-up
    assert measured_order == [OURS, USUAL, OURS, OURS, USUAL, USUAL, USUAL, OURS, USUAL, USUAL, OURS, OURS]
    assert [len(found.runs[OURS][clients]) for clients in (1, 2)] == [2, 2]
    assert found.garments == 1
    assert found.agreements[USUAL]["matched"] == 1
    assert found.agreements[USUAL]["tolerance"] == asdict(STRICT)


async def test_nobody_is_compared_who_answers_something_else() -> None:
    order: list[str] = []
    with pytest.raises(DisagreementError, match=r"usual service does not answer as ours does.*have a partner"):
        await compared(contender(OURS, order), contender(USUAL, order, score=0.5))
    assert len(order) == 2, "nothing was measured"
    with pytest.raises(ServerFaultError, match="cannot answer"):
        await compared(contender(OURS, order), photos=[SamplePhoto("bad", b"bad", (9, 9))])


async def test_what_does_not_compile_in_time_is_left_out_and_stopped() -> None:
    order: list[str] = []
    slow = contender(COMPILED, order, answers_after_s=60)
    stopped: list[bool] = []
    slow.stop.callback(stopped.append, True)
    found = await compared(contender(OURS, order), slow)
    assert found.left_out == {COMPILED: "not compiled within 0 s"}
    assert set(found.runs) == {OURS}
    assert stopped == [True]
