"""A run of two puzzles from Python, made once: its overlap of words takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.api import Results, evaluate
from harness.tasks.puzzles import task as puzzle_task
from harness.types import Evidence
from tests.fixtures import PUZZLES

TASK = "pets-v1"
QUICK = ["board.resamples=200"]


def quoting(evidence: Evidence) -> str:
    """Quote the token that fires most."""
    excerpt = max(evidence.excerpts, key=lambda each: each.maximum)
    return f'the word "{excerpt.tokens[excerpt.activations.index(excerpt.maximum)].strip()}"'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a frozen task of two puzzles."""
    root = tmp_path_factory.mktemp("api")
    source = root / "source"
    source.mkdir()
    (source / "puzzles.yaml").write_text(PUZZLES)
    (root / "tasks").mkdir()
    puzzle_task.write(source, root / "tasks" / TASK)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


@pytest.fixture(scope="module")
def results(place: Path) -> Results:
    """A run of a method, a function, a control and a table."""
    explainers = ["max_activation", quoting, "shuffled", "token_lookup"]
    return evaluate(TASK, explainers, [], "token_overlap", overrides=QUICK)
