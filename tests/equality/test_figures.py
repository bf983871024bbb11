"""Whole runs give the figures that are kept; see :mod:`tests.equality.figures`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.equality import figures

pytestmark = pytest.mark.slow

KEPT: dict[str, Any] = json.loads(figures.KEPT.read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return figures.runs(tmp_path_factory.mktemp("runs"))


def differences(found: Any, kept: Any, where: str = "") -> Iterator[str]:
    """Yield what differs by more than rounding, with its place."""
    if isinstance(kept, Mapping) and isinstance(found, Mapping) and set(kept) == set(found):
        for key in kept:
            yield from differences(found[key], kept[key], f"{where}/{key}")
    elif isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        for index, value in enumerate(kept):
            yield from differences(found[index], value, f"{where}/{index}")
    elif isinstance(kept, float) and isinstance(found, float | int):
        if not math.isclose(found, kept, rel_tol=1e-12, abs_tol=1e-12):
            yield f"{where}: {found}, and {kept} is kept"
    elif found != kept:
        yield f"{where}: {found}, and {kept} is kept"


def check(found: Any, kept: Any) -> None:
    assert list(differences(figures.plain(found), kept)) == []


@pytest.mark.parametrize("simulator", figures.SIMULATORS)
def test_rows_ranks_and_comparisons_are_as_kept(runs: Mapping[str, Path], simulator: str) -> None:
    check(figures.of_run(runs[simulator]), KEPT[simulator])


def test_agreement_of_simulators_is_as_kept(runs: Mapping[str, Path]) -> None:
    check(figures.of_agreement(*runs.values()), KEPT["agreement"])


def test_verdicts_of_an_audit_are_as_kept(runs: Mapping[str, Path]) -> None:
    check(figures.of_audit(runs["token_overlap"]), KEPT["audit"])


def test_puzzles_are_as_kept(tmp_path: Path) -> None:
    check(figures.of_puzzles(tmp_path), KEPT["puzzles"])
