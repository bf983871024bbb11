from __future__ import annotations

from pathlib import Path

from harness.tasks.puzzles import records, source
from harness.tasks.splits import evidence
from harness.types import ExcerptKind, Unit, Validity


def test_an_explainer_is_shown_the_firing_texts_of_the_first_half_and_nothing_of_the_second(
    puzzle_source: Path,
) -> None:
    pets, _ = source.read(puzzle_source / "puzzles.yaml")
    record = records.record(pets)
    knowledge = evidence(record)
    assert knowledge.unit == record.unit == Unit("puzzle", name="pets")
    assert [excerpt.source for excerpt in knowledge.excerpts] == ["pets:0", "pets:2", "pets:3", "pets:5"]
    assert knowledge.excerpts[0].activations == (0, 10, 0, 0, 10, 0)
    tokens = [token for text in pets.texts[:6] for token in text.tokens]
    assert knowledge.token_sums.counts.sum() == len(tokens)
    assert knowledge.token_sums.means()[" dog"] == 10.0
    assert knowledge.token_sums.means()["."] == 0.0
    assert " slept" not in knowledge.token_sums.tokens  # of the second half
    assert " bird" in knowledge.token_sums.tokens  # of a text of the first half that does not fire
    assert knowledge.mean == record.corpus_mean == 10 * 5 / len(tokens)


def test_the_strongest_excerpt_stands_first(puzzle_source: Path) -> None:
    path = puzzle_source / "puzzles.yaml"
    path.write_text(
        path.read_text().replace(
            "rule: {words: [dog, cat]}", "rule: {any_of: [{words: [cat]}, {graded: {of: {words: [dog]}, level: 4}}]}"
        )
    )
    pets, _ = source.read(path)
    assert [excerpt.maximum for excerpt in records.record(pets).shown] == [10, 10, 4, 4]


def test_a_puzzle_comes_with_its_explanations_the_truth_first(puzzle_source: Path) -> None:
    pets, _ = source.read(puzzle_source / "puzzles.yaml")
    told = records.record(pets).told
    assert [explanation.text for explanation in told][:2] == ["the words dog and cat", "the word dog"]
    validities = [explanation.validity for explanation in told]
    assert validities == [Validity.TRUE, *[Validity.NEAR] * 3, Validity.UNRELATED]
    assert records.record(pets).category == "lexical"


def test_every_text_is_in_one_half_and_excerpts_that_fire_are_top(puzzle_source: Path) -> None:
    pets, _ = source.read(puzzle_source / "puzzles.yaml")
    splits = records.record(pets).splits
    assert [excerpt.source for excerpt in splits.calibration] == [f"pets:{place}" for place in range(6)]
    assert [excerpt.source for excerpt in splits.valid] == [f"pets:{place}" for place in range(6, 12)]
    assert not splits.test
    for excerpt in (*splits.calibration, *splits.valid):
        assert (excerpt.kind is ExcerptKind.TOP) == (excerpt.maximum > 0)
