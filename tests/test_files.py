"""Files and folders are seen whole or not at all, whoever else writes them and however writing ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import files
from harness.files import point, put, safe_name, set_aside, shipped, unfinished


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def draft(name: str, number: int) -> str:
    """Return the name of what a killed writer has left of a file or a folder."""
    return f".{name}.{number:016x}.neurogloss.tmp"


def test_a_file_takes_its_place_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    files.write_whole(path, b"old")
    with files.whole_file(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file.txt"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write_whole(path, b"old")
    with pytest.raises(KeyboardInterrupt), files.whole_file(path) as stream:  # noqa: PT012
        stream.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.txt"]


def test_two_writers_of_a_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with files.whole_file(path) as first:
        first.write(b"first")
        files.write_whole(path, b"second")
        first.write(b", to its end")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first, to its end"


def test_remains_of_a_killed_writer_go_after_an_hour(tmp_path: Path) -> None:
    path, stale, fresh = (tmp_path / name for name in ("a[1].npz", draft("a[1].npz", 1), draft("a[1].npz", 2)))
    not_ours = [
        tmp_path / name for name in (".a[1].npz.mine.tmp", ".a[1].npz.0123abcd.tmp", ".a[1].npz.neurogloss.tmp")
    ]
    hours_ago = time.time() - 2 * files.STALE_SECONDS
    for remains in (stale, fresh, *not_ours):
        remains.write_bytes(b"half")
        if remains != fresh:
            os.utime(remains, (hours_ago, hours_ago))
    files.write_whole(path, b"whole")
    assert names(tmp_path) == sorted([path.name, fresh.name, *(remains.name for remains in not_ours)])


@pytest.mark.parametrize("function", ["open", "flock"])
def test_a_folder_that_another_writer_sweeps_before_it_is_locked_is_made_again(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = os if function == "open" else fcntl
    original, swept = getattr(module, function), list[Path]()

    def sweep_first(*arguments: Any, **named: Any) -> Any:
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].rmdir()
        return original(*arguments, **named)

    monkeypatch.setattr(module, function, sweep_first)
    with unfinished(tmp_path / "task-v1") as folder:
        (folder / "file").write_text("whole")
        assert folder not in swept
    assert len(swept) == 1


def test_an_unfinished_folder_goes_on_any_failure_and_so_do_those_of_killed_writers(tmp_path: Path) -> None:
    remains = tmp_path / draft("task-v1", 1)
    remains.mkdir()
    with pytest.raises(ValueError, match="stop"), files.unfinished(tmp_path / "task-v1") as folder:  # noqa: PT012
        assert names(tmp_path) == [folder.name]
        raise ValueError("stop")
    assert names(tmp_path) == []


def test_drafts_of_killed_writers_of_another_folder_go_too_and_living_ones_stay(tmp_path: Path) -> None:
    killed = tmp_path / draft("other-v1", 1)
    killed.mkdir()
    (killed / "half").touch()
    not_ours = (".notes.tmp", ".other-v1.mine.tmp", ".other-v1.0123abcd.tmp", ".task-v1.old")
    for name in not_ours:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    with unfinished(tmp_path / "living") as living:
        (living / "half").touch()
        with unfinished(tmp_path / "task-v1") as folder:
            assert names(tmp_path) == sorted([*not_ours, living.name, folder.name])
            (tmp_path / "task-v1").mkdir()
            put(folder, tmp_path / "task-v1")
    assert names(tmp_path) == sorted([*not_ours, "task-v1"])


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for content in ("first", "second"):
        with unfinished(folder) as draft:
            (draft / content).write_text(content)
            put(draft, folder)
    assert names(folder) == ["second"]
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_was_set_aside_when_its_writer_was_killed_goes_last(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    set_aside(folder).mkdir()
    with unfinished(folder) as draft:
        put(draft, folder)
    assert names(tmp_path) == ["folder"]


def test_a_link_is_moved_in_a_single_step(tmp_path: Path) -> None:
    for target in ("a", "b"):
        point(tmp_path / "latest", target)
        assert (tmp_path / "latest").readlink() == Path(target)
    assert names(tmp_path) == ["latest"]


def test_no_file_of_another_is_replaced_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder"):
        with pytest.raises(FileExistsError, match="no link of ours"):
            point(tmp_path / name, "a")
    assert (tmp_path / "file").read_text() == "mine"
    assert names(tmp_path) == ["file", "folder"]


def test_data_that_ships_lies_beside_the_package_in_its_repository() -> None:
    assert shipped("conf") == Path(__file__).parents[1] / "conf"


@given(st.text())
def test_a_file_name_is_always_safe_and_never_shared(text: str) -> None:
    name = safe_name(text)
    assert name
    assert len(name) <= 80
    assert name[0] != "."
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert safe_name(name) == name
    assert safe_name(text + "/") != name


def test_an_ordinary_name_stays_as_it_is() -> None:
    assert safe_name("smollm2-v2_0.2") == "smollm2-v2_0.2"
    assert safe_name("../../etc/passwd").startswith("etc-passwd-")
