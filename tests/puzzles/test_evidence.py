from __future__ import annotations

import math
from pathlib import Path

from harness.puzzles import evidence, source
from harness.types import NeuronId, Simulation


def test_an_explainer_is_shown_the_firing_texts_of_the_first_half_and_nothing_of_the_second(
    puzzle_source: Path,
) -> None:
    pets, _ = source.read(puzzle_source / "puzzles.yaml")
    known = evidence.evidence(pets, 3)
    shown, hidden = evidence.halves(pets)
    assert known.neuron == NeuronId(0, 3)
    assert len(shown) == len(hidden) == 6
    assert [excerpt.source for excerpt in known.excerpts] == ["pets:0", "pets:2", "pets:3", "pets:5"]
    assert {excerpt.tokens for excerpt in known.excerpts} <= {text.tokens for text in shown}
    assert known.excerpts[0].activations == (0, 10, 0, 0, 10, 0)
    tokens = [token for text in shown for token in text.tokens]
    assert known.token_sums.counts.sum() == len(tokens)
    assert known.token_sums.means()[" dog"] == 10.0
    assert known.token_sums.means()["."] == 0.0
    assert " slept" not in known.token_sums.tokens  # of the second half
    assert " bird" in known.token_sums.tokens  # of a text of the first half that does not fire
    assert known.mean == 10 * 5 / len(tokens)


def test_the_strongest_excerpt_stands_first(puzzle_source: Path) -> None:
    text = (puzzle_source / "puzzles.yaml").read_text().replace("level: 7}}", "level: 7}}")
    (puzzle_source / "puzzles.yaml").write_text(
        text.replace(
            "rule: {words: [dog, cat]}", "rule: {any_of: [{words: [cat]}, {graded: {of: {words: [dog]}, level: 4}}]}"
        )
    )
    pets, _ = source.read(puzzle_source / "puzzles.yaml")
    assert [excerpt.maximum for excerpt in evidence.evidence(pets, 0).excerpts] == [10, 10, 4, 4]


def test_questions_hold_the_truth_first_and_no_level(puzzle_source: Path) -> None:
    pets, _ = source.read(puzzle_source / "puzzles.yaml")
    said = evidence.explanations(pets, 0)
    assert [one.text for one in said][:2] == ["the words dog and cat", "the word dog"]
    assert len(said) == 5
    queries = evidence.queries(said[0], pets.texts)
    assert [query.tokens for query in queries] == [text.tokens for text in pets.texts]


def test_simulations_stand_beside_the_texts_of_the_second_half(puzzle_source: Path) -> None:
    pets, _ = source.read(puzzle_source / "puzzles.yaml")
    some = [Simulation((1.0,) * len(text.tokens)) for text in evidence.halves(pets)[1]]
    parts = evidence.simulated(pets, some)
    assert [part.excerpt.source for part in parts] == [f"pets:{place}" for place in range(6, 12)]
    assert all(math.isnan(value) for part in parts for value in part.calibrated)
