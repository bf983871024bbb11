"""The stages of a run of puzzles, with a simulator that knows the answer and one that knows nothing."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import puzzle_pipeline
from harness.explainers.max_activation import MaxActivation
from harness.explainers.oracle import Oracle as Knowing
from harness.explainers.shuffled import Shuffled
from harness.explainers.token_lookup import TokenLookup
from harness.puzzle_pipeline import Instruments
from harness.puzzles import source, summaries
from harness.simulators.chance import Chance
from harness.types import Candidate, Evidence, Explanation, Outcome, Puzzle, Query, Role, Simulation

Oracle = Callable[..., Any]


@pytest.fixture
def puzzles(puzzle_source: Path) -> tuple[Puzzle, ...]:
    return source.read(puzzle_source / "puzzles.yaml")


class Telling:
    """Explains each puzzle by the truth, which it was told, and keeps what it was shown."""

    role = Role.EXPLAINER

    def __init__(self, puzzles: Sequence[Puzzle]) -> None:
        self.puzzles = puzzles
        self.shown: list[Evidence] = []

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        self.shown += evidence
        return [Explanation(known.neuron, "", self.puzzles[known.neuron.index].explanation) for known in evidence]


class Mute:
    """Explains nothing."""

    role = Role.EXPLAINER

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        return [Explanation(known.neuron, "", outcome=Outcome.REFUSED) for known in evidence]


class Keeping(Chance):
    """Noise, which keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Query] = []

    def simulate(self, queries: Sequence[Query]) -> list[Simulation]:
        self.asked += queries
        return super().simulate(queries)


def test_one_who_knows_scores_1_and_wins_and_chance_does_not(puzzles: tuple[Puzzle, ...], oracle: Oracle) -> None:
    tools = Instruments({"oracle": oracle(puzzles), "chance": Chance()}, {})
    begun: list[str] = []
    measured, scored = puzzle_pipeline.run(puzzles, tools, 0.05, begun.append)
    assert begun == ["simulate by oracle", "simulate by chance", "explain", "simulate explanations"]
    assert scored == {}
    for score in measured["oracle"].scores:
        assert score.correlation == pytest.approx(1.0)
        assert score.auroc == score.auprc == 1.0
        assert all(rival.won == 1.0 for rival in score.rivals)
    assert all(abs(score.correlation) < 0.9 for score in measured["chance"].scores)


def test_chance_is_near_0_over_many_puzzles(puzzles: tuple[Puzzle, ...]) -> None:
    (template, _) = puzzles
    many = [
        dataclasses.replace(
            template,
            key=str(k),
            explanation=f"rule {k}",
            false_explanations=tuple((kind, f"{text} {k}") for kind, text in template.false_explanations),
        )
        for k in range(150)
    ]
    scores = puzzle_pipeline.measure(Chance(), many, 0.05).scores
    found = summaries.summarise(scores, seed=0, resamples=200)
    assert abs(found.metrics["correlation"].mean) < 0.05
    assert found.metrics["beats_near"].mean == pytest.approx(0.5, abs=0.1)
    assert found.metrics["auroc"].mean == pytest.approx(0.5, abs=0.05)


def test_the_order_of_puzzles_changes_no_score(puzzles: tuple[Puzzle, ...]) -> None:
    shuffled = random.Random(1).sample(puzzles, len(puzzles))[::-1]
    first = {one.puzzle: one for one in puzzle_pipeline.measure(Chance(), puzzles, 0.05).scores}
    assert {one.puzzle: one for one in puzzle_pipeline.measure(Chance(), shuffled, 0.05).scores} == first


def test_a_simulator_is_asked_about_every_text_under_every_explanation(puzzles: tuple[Puzzle, ...]) -> None:
    keeping = Keeping()
    puzzle_pipeline.measure(keeping, puzzles, 0.05)
    assert len(keeping.asked) == 2 * 5 * 12
    assert {(query.explanation.text, query.tokens) for query in keeping.asked} == {
        (said, text.tokens)
        for puzzle in puzzles
        for said in (puzzle.explanation, *(text for _, text in puzzle.false_explanations))
        for text in puzzle.texts
    }


def test_an_explainer_is_asked_on_one_half_and_scored_on_the_other(puzzles: tuple[Puzzle, ...], oracle: Oracle) -> None:
    telling = Telling(puzzles)
    tools = Instruments({"oracle": oracle(puzzles)}, {"telling": telling, "mute": Mute()})
    _, scored = puzzle_pipeline.run(puzzles, tools, 0.05, lambda _: None)
    for puzzle, known, one in zip(puzzles, telling.shown, scored["telling"], strict=True):
        hidden = [text.tokens for text in puzzle.texts[6:]]
        assert not {excerpt.tokens for excerpt in known.excerpts} & set(hidden)
        assert [part.excerpt.tokens for part in one.simulated] == hidden
        assert one.explanation.explainer == "telling"
        values = {"correlation": 1.0, "truth": 1.0, "difference": 0.0}
        assert dict(one.scores.values) == pytest.approx(values)
    assert all(not one.scores.values and "refused" in one.scores.missing["correlation"] for one in scored["mute"])


def test_truth_is_taken_on_the_second_half_only(puzzles: tuple[Puzzle, ...], oracle: Oracle) -> None:
    """A simulator that knows the first half alone is worth nothing to an explainer."""
    known = oracle(puzzles)
    firsts = {text.tokens for puzzle in puzzles for text in puzzle.texts[:6]}
    known.levels = {key: levels for key, levels in known.levels.items() if key[1] in firsts}
    tools = Instruments({"oracle": known}, {"telling": Telling(puzzles)})
    measured, scored = puzzle_pipeline.run(puzzles, tools, 0.05, lambda _: None)
    assert all(score.correlation > 0.3 for score in measured["oracle"].scores)
    assert [one.scores.values["truth"] for one in scored["telling"]] == [0.0, 0.0]


def test_controls_stand_where_they_should(puzzles: tuple[Puzzle, ...], oracle: Oracle) -> None:
    explainers = {"shuffled": Shuffled(MaxActivation()), "lookup": TokenLookup(1)}
    _, scored = puzzle_pipeline.run(puzzles, Instruments({"oracle": oracle(puzzles)}, explainers), 0.05, lambda _: None)
    lookup = [one.scores.values["correlation"] for one in scored["lookup"]]
    assert lookup[0] > 0.9  # a rule of single words is what a table can hold
    assert np.mean(lookup) > np.mean([one.scores.values["correlation"] for one in scored["shuffled"]])


class Offering(Telling):
    """Offers a lie beside the truth."""

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        told = super().explain(evidence)
        return [dataclasses.replace(one, text="no", candidates=(Candidate("no"), Candidate(one.text))) for one in told]


def test_candidates_are_chosen_on_the_texts_that_were_shown(puzzles: tuple[Puzzle, ...], oracle: Oracle) -> None:
    known = oracle(puzzles)
    tools = Instruments({"oracle": known}, {"offering": Offering(puzzles), "knowing": Knowing()})
    _, scored = puzzle_pipeline.run(puzzles, tools, 0.05, lambda _: None)
    for puzzle, one in zip(puzzles, scored["offering"], strict=True):
        assert one.explanation.text == puzzle.explanation
        assert [rival.score for rival in one.explanation.candidates] == pytest.approx([0.0, 1.0])
    assert [one.scores.values["correlation"] for one in scored["knowing"]] == pytest.approx([1.0, 1.0])
    firsts = {text.tokens for puzzle in puzzles for text in puzzle.texts[:6]}
    known.levels = {key: levels for key, levels in known.levels.items() if key[1] not in firsts}
    _, blind = puzzle_pipeline.run(puzzles, tools, 0.05, lambda _: None)
    assert [one.explanation.text for one in blind["offering"]] == ["no", "no"], "the second half does not choose"
