"""A state file is written whole or not at all, and one that does not belong is refused."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.collect.corpora import Passage
from harness.collect.sketch import Sketch, SketchSettings
from harness.collect.state import StateFile
from harness.types import NeuroglossError, Unit


def sketch(batches: int = 0) -> Sketch:
    made = Sketch(
        [Unit("N", 0, 1)],
        SketchSettings(top=2, random=1, pool=0, quantile=1, tokens=3, leading=1, vocabulary=9, seed=0),
    )
    for number in range(batches):
        passage = Passage(f"dé\n{number}:0", (number % 9, 1, 2), f"{number:064x}")
        made.opened(number, [passage])(0, torch.full((1, 3, 1), float(number)))
    return made


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "deep" / "part-0.npz", "abc")


def test_what_was_saved_is_restored_and_the_same_gives_the_same_file(state: StateFile, tmp_path: Path) -> None:
    assert state.restore(sketch()) is None
    state.save(sketch(5))
    found = sketch()
    assert state.restore(found) is None
    assert found.read == 5
    again = StateFile(tmp_path / "other.npz", "abc")
    again.save(found)
    assert again.path.read_bytes() == state.path.read_bytes()
    for mark in (found.text, 2**64 - 1, 0):
        state.save(found, mark)
        assert state.restore(sketch()) == mark
    assert [path.name for path in state.path.parent.iterdir()] == ["part-0.npz"]


def test_a_state_of_another_collection_is_refused(state: StateFile) -> None:
    state.save(sketch(5))
    with pytest.raises(NeuroglossError, match=r"part-0.npz is the state of a collection with other settings"):
        dataclasses.replace(state, origin="abd").restore(sketch())


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_damaged_state_is_refused(state: StateFile, kept: float) -> None:
    state.save(sketch(5))
    whole = state.path.read_bytes()
    state.path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(NeuroglossError, match=r"part-0.npz is no state .*delete it to begin anew"):
        state.restore(sketch())


def test_a_full_disk_leaves_the_last_good_state(state: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    state.save(sketch(5))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NeuroglossError, match=r"cannot be written .*No space left.*goes on from the last state"):
        state.save(sketch(6))
    found = sketch()
    state.restore(found)
    assert found.read == 5
    assert [path.name for path in state.path.parent.iterdir()] == ["part-0.npz"]


def test_one_worker_started_twice_writes_whole_files(state: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are in the middle of writing at the same time."""
    together, sync = threading.Barrier(2, timeout=10), os.fsync
    wrong: list[Exception] = []

    def waiting(descriptor: int) -> None:
        together.wait()
        sync(descriptor)

    def save(*what: Any) -> None:
        try:
            state.save(*what)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test fails with it
            wrong.append(error)

    monkeypatch.setattr(os, "fsync", waiting)
    threads = [threading.Thread(target=save, args=(sketch(batches),)) for batches in (5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sketch()
    state.restore(found)
    assert not wrong
    assert found.read in (5, 6)
    assert [path.name for path in state.path.parent.iterdir()] == ["part-0.npz"]
