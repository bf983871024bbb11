"""The judge: whoever knows the truth has the best figures, and the shipped settings are those that it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import yaml

from harness import files
from harness.config import build
from harness.simulators.chance import Chance
from harness.simulators.token_overlap import TokenOverlap
from harness.training.examples import Examples, Group
from harness.training.judge import JudgeSettings, Reader, Verdict, figures, judged, page_of, questions, verdicts
from harness.types import FloatArray

SETTINGS = JudgeSettings(concepts=2, texts=3, seed=1)
FAMILIES = ("inside_marks", "letters_inside")
"""Families that apply in some of the few texts: the judge draws until one does."""


def knowing(groups: Sequence[Group]) -> Reader:
    """Reads what the rules say."""
    levels = {
        (group.explanation, window.pieces): found.astype(np.float64)
        for group in groups
        for window, found in zip(group.windows, group.levels, strict=True)
    }
    return lambda pairs: [levels[pair] for pair in pairs]


def test_the_truth_is_asked_first_and_read_best_by_one_who_knows_it(examples: Examples) -> None:
    families = {name: examples.held_out[name] for name in FAMILIES}
    asked = list(questions(examples, families, SETTINGS))
    assert [family for family, _ in asked] == [family for family in FAMILIES for _ in range(SETTINGS.concepts)]
    verdicts = judged(asked, knowing([group for _, groups in asked for group in groups]))
    for (family, groups), verdict in zip(asked, verdicts, strict=True):
        assert all(len(group.windows) == SETTINGS.texts for group in groups)
        assert (verdict.family, verdict.explanation) == (family, groups[0].explanation)
        assert verdict.truth == pytest.approx(1.0)
        assert len(verdict.near) == len(groups) - 3
        assert all(other < 1.0 for other in verdict.near)


def test_a_stranger_says_nothing_of_the_truth_and_a_near_miss_something_else(examples: Examples) -> None:
    families = {name: examples.trained[name] for name in ("words", "endings", "letters", "shapes")}
    asked = list(questions(examples, families, SETTINGS))
    assert len(asked) == len(families) * SETTINGS.concepts
    for _, (truth, *others) in asked:
        real = np.concatenate(truth.levels)
        for number, group in enumerate(others):
            said = np.concatenate(group.levels)
            kept = (real >= 0) & (said >= 0)
            assert (real != said).any()
            if number >= len(others) - 2 and said[kept].std() > 0:
                assert abs(np.corrcoef(real[kept], said[kept])[0, 1]) <= 0.1


def test_any_simulator_can_be_judged(examples: Examples) -> None:
    found = verdicts({"token_overlap": TokenOverlap(), "chance": Chance(seed=1)}, examples, SETTINGS)
    assert list(found) == ["token_overlap", "chance"]
    for some in found.values():
        assert some["held out"]["figures"]["concepts"] == sum(
            one["concepts"] for one in some["held out"]["families"].values()
        )
        assert all(-1 <= one["truth"] <= 1 for one in some["trained"]["verdicts"])
    assert found["token_overlap"]["held out"]["verdicts"] != found["chance"]["held out"]["verdicts"]
    together, *apart = page_of(found).tables
    assert [row[0] for row in together.rows] == [
        f"{name}, {kind}" for name in found for kind in ("held out", "trained")
    ]
    for table, some in zip(apart, (one for kinds in found.values() for one in kinds.values()), strict=True):
        assert [row[0] for row in table.rows] == list(some["families"])


def test_a_token_that_is_not_answered_is_left_out(examples: Examples) -> None:
    asked = list(questions(examples, {name: examples.held_out[name] for name in FAMILIES}, SETTINGS))
    read = knowing([group for _, groups in asked for group in groups])

    def with_gaps(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> list[FloatArray]:
        return [np.where(np.arange(len(found)) == 0, np.nan, found) for found in read(pairs)]

    assert all(verdict.truth == pytest.approx(1.0) for verdict in judged(asked, with_gaps))


def test_the_same_seed_asks_the_same(examples: Examples) -> None:
    def explanations(seed: int) -> list[str]:
        families = {name: examples.held_out[name] for name in FAMILIES}
        found = questions(examples, families, dataclasses.replace(SETTINGS, seed=seed))
        return [group.explanation for _, groups in found for group in groups]

    assert explanations(1) == explanations(1)
    assert explanations(1) != explanations(2)


def test_a_tie_counts_one_half() -> None:
    verdicts = [Verdict("f", "a", 0.5, (0.4, 0.5), (0.6, 0.1)), Verdict("f", "b", 0.9, (), (0.9, 0.9))]
    found = figures(verdicts)
    assert (found.truth, found.beats_near, found.beats_unrelated) == pytest.approx((0.7, 0.75, 0.5))
    assert found.concepts == 2


def test_the_settings_that_ship_are_those_that_the_training_takes() -> None:
    shipped = yaml.safe_load((files.shipped("conf") / "tune.yaml").read_text("utf-8"))
    for key in ("network", "training", "judge"):
        build.check(shipped[key], key, "training")
        settings = dataclasses.asdict(build.assemble(shipped[key]))
        assert settings == {name: value for name, value in shipped[key].items() if name != "use"}
