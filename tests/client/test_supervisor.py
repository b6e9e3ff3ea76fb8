"""What the supervisor takes for dead, without a server."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest

from fashioncrop._embedded import supervisor
from fashioncrop._embedded.control import Health
from fashioncrop._embedded.state import StateFolder
from fashioncrop._embedded.supervisor import Orders, Supervisor

pytestmark = pytest.mark.server


class FakeControl:
    """Answers probes as it is told."""

    def __init__(self) -> None:
        self.health = Health.WELL
        self.ended: int | None = 0

    def probe(self, _model: str, _timeout_s: float) -> tuple[Health, str]:
        return self.health, ""

    def answered(self) -> int | None:
        return self.ended


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def watched(tmp_path: Path, control: FakeControl) -> Supervisor:
    one = Supervisor(StateFolder(tmp_path), Orders(repository=tmp_path, ports=None, config_name=""))
    one._control = control  # type: ignore[assignment]  # the two methods that are used
    return one


def test_a_real_answer_or_a_real_error_decides(watched: Supervisor, control: FakeControl) -> None:
    assert not watched._is_dead("image_embedder")
    control.health = Health.DEAD
    assert watched._is_dead("image_embedder")


def test_a_busy_model_is_left_alone_while_it_ends_requests(
    watched: Supervisor, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    control.health = Health.BUSY
    for _ in range(20):
        assert not watched._is_dead("garment_detector")
        now_s += supervisor._STUCK_AFTER_S / 2
        assert control.ended is not None
        control.ended += 1


def test_a_model_that_is_busy_without_ending_anything_is_hung(
    watched: Supervisor, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    control.health = Health.BUSY
    assert not watched._is_dead("garment_detector")
    now_s += supervisor._STUCK_AFTER_S - 1
    assert not watched._is_dead("garment_detector")
    now_s += 2
    assert watched._is_dead("garment_detector")
    control.health = Health.WELL
    assert not watched._is_dead("garment_detector")
    control.health = Health.BUSY
    assert not watched._is_dead("garment_detector"), "the clock begins anew"


def test_a_state_that_cannot_be_written_ends_nothing(
    watched: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    watched._tell(repairs=3)
    assert watched._state.repairs == 3
    assert "No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.glob("state.json"))
