from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changed_repository import Change, change, linked_repository
from fashioncrop.errors import ModelFileError, OptionError
from fashioncrop.model_repository import PIPELINE, Role, read_config, shipped_repository
from scale_run import groups_of
from variations import AS_SHIPPED, Group, variations


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    return linked_repository(shipped_repository(), tmp_path / "models")


def test_a_change_says_what_it_says_and_nothing_else(linked: Path) -> None:
    before = read_config(linked, Role.IMAGE_EMBEDDER)
    wanted = Change(instances=3, max_batch_size=4, queue_delay_us=500, parameters={"intra_op_thread_count": "2"})
    change(linked, Role.IMAGE_EMBEDDER, wanted)
    after = read_config(linked, Role.IMAGE_EMBEDDER)
    assert [group.count for group in after.instance_group] == [3]
    assert (after.max_batch_size, after.dynamic_batching.max_queue_delay_microseconds) == (4, 500)
    assert after.parameters["intra_op_thread_count"].string_value == "2"
    assert after.parameters["inter_op_thread_count"] == before.parameters["inter_op_thread_count"]
    assert (after.input, after.output) == (before.input, before.output)


def test_the_shipped_repository_stays_as_it_is(linked: Path) -> None:
    before = (shipped_repository() / PIPELINE / "config.pbtxt").read_bytes()
    change(linked, PIPELINE, Change(parameters={"workers": "1"}))
    assert (shipped_repository() / PIPELINE / "config.pbtxt").read_bytes() == before
    assert (linked / PIPELINE / "1").resolve() == (shipped_repository() / PIPELINE / "1").resolve()
    change(linked, Role.GARMENT_DETECTOR, Change())
    assert read_config(linked, Role.GARMENT_DETECTOR) == read_config(shipped_repository(), Role.GARMENT_DETECTOR)


def test_what_is_no_repository_is_named(tmp_path: Path, linked: Path) -> None:
    with pytest.raises(ModelFileError, match="fashioncrop-export"):
        linked_repository(tmp_path / "missing", tmp_path / "other")
    with pytest.raises(ModelFileError, match="cannot be written"):
        linked_repository(shipped_repository(), linked)
    with pytest.raises(ModelFileError, match="cannot be read"):
        change(linked, "no_model", Change())


@given(st.integers(1, 256))
def test_every_variation_is_one_setting_of_models_that_there_are(cores: int) -> None:
    every = variations(cores, frozenset(Group))
    assert every[0] == AS_SHIPPED
    assert len({one.name for one in every}) == len(every)
    for one in every[1:]:
        assert one.changes
        assert set(one.changes) <= {*Role, PIPELINE}
    threads = [one.threads for one in every if one.threads]
    assert threads == sorted(set(threads))
    assert threads[0] == 1
    assert threads[-1] == cores


def test_groups() -> None:
    assert variations(8, frozenset({Group.WORKERS}))[1].changes == {PIPELINE: Change(parameters={"workers": "2"})}
    assert variations(8, frozenset({Group.BATCH})) == [AS_SHIPPED]
    assert groups_of("threads,batch") == {Group.THREADS, Group.BATCH}
    with pytest.raises(OptionError, match="got colour"):
        groups_of("threads,colour")
