"""``neurogloss plant`` makes a folder, and says which commands come next."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.tasks.planted import folder
from harness.tasks.planted.rules import Planted
from harness.tasks.planted.text import DOCUMENTS
from harness.weights import EMBEDDED


def test_plant_writes_a_folder_and_prints_the_next_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def plant(*arguments: object) -> Planted:
        calls.append(arguments)
        return Planted(())

    monkeypatch.setattr(folder, "plant", plant)
    with pytest.raises(SystemExit) as ending:
        cli.main(["plant", str(tmp_path / "a b"), "--seed", "7"])
    assert ending.value.code == 0
    assert calls == [(tmp_path / "a b", cli.TOKENIZER, 7, folder.NEURONS, DOCUMENTS)]
    assert cli.TOKENIZER == EMBEDDED
    _, collect, run = capsys.readouterr().out.splitlines()
    assert shlex.split(collect)[1:3] == ["neurogloss", "collect"]
    assert f"corpus.path={tmp_path / 'a b'}/corpus.jsonl" in shlex.split(collect)
    assert f"subject.name={tmp_path / 'a b'}" in shlex.split(run)


@pytest.mark.parametrize(
    "words",
    [
        ("plant", "x", "--seed", "-1"),
        ("plant", "x", "--seed", "0", "--neurons", "0"),
        ("plant", "x", "--seed", "0", "--documents", "some"),
        ("plant", "x", "--seed", str(1 << 63)),
        ("human", "invite", "x", "0"),
        ("circuit", "match", "x", "y", "--seed", "-1"),
    ],
)
def test_numbers_that_cannot_be_are_refused_before_any_work(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_imported", _refuse_to_work)
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == cli.USER_ERROR
    assert re.search(r"is no whole number of [01] or more$", capsys.readouterr().err.strip())


def _refuse_to_work(path: str) -> Any:
    assert path.startswith("harness.guards"), "nothing but the message is printed"
    return str
