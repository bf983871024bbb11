"""What people say together: whoever guesses counts for little."""

from __future__ import annotations

import numpy as np
import pytest

from harness.humans.analysis.raters import consensus

VALUES = ("first", "second", "both", "neither")
SHARES = (0.35, 0.35, 0.15, 0.15)


def crowd(seed: int, ratings: int, questions: int = 100) -> tuple[list[int], list[tuple[str, int, int]]]:
    """Return true answers and those of 20 people, of whom 12 nearly always guess (a random process, not people)."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, questions, p=SHARES).tolist()
    given = [
        (
            f"p{person}",
            question,
            truth[question] if rng.random() < (0.9 if person < 8 else 0.1) else int(rng.choice(4, p=SHARES)),
        )
        for question in range(questions)
        for person in rng.choice(20, ratings, replace=False).tolist()
    ]
    return truth, given


def wrong_by_majority(truth: list[int], given: list[tuple[str, int, int]]) -> float:
    votes = np.zeros((len(truth), 4))
    for _, question, value in given:
        votes[question, value] += 1
    best = votes == votes.max(axis=1, keepdims=True)
    return 1 - float((best[np.arange(len(truth)), truth] / best.sum(axis=1)).mean())


def test_six_ratings_are_worth_twelve_of_a_majority_where_most_guess() -> None:
    model, majority = [], []
    for seed in range(8):
        truth, given = crowd(seed, 6)
        answers = consensus(given, range(4)).answers
        model.append(np.mean([answers[question] != answer for question, answer in enumerate(truth)]))
        majority.append(wrong_by_majority(*crowd(100 + seed, 12)))
    assert np.mean(model) <= np.mean(majority)
    assert np.mean(model) < 0.1


def test_the_reliable_are_told_from_those_who_guess() -> None:
    reliability = consensus(crowd(1, 6)[1], range(4)).reliability
    assert min(reliability[f"p{person}"] for person in range(8)) > max(
        reliability[f"p{person}"] for person in range(8, 20)
    )


def test_all_who_agree_are_believed_and_the_probability_is_of_the_answer() -> None:
    given = [(person, item, VALUES[item % 4]) for item in range(12) for person in ("a", "b", "c")]
    together = consensus(given, VALUES)
    assert together.answers == {item: VALUES[item % 4] for item in range(12)}
    assert min(together.probability.values()) > 0.99
    assert min(together.reliability.values()) > 0.8


def test_one_answer_alone_stands() -> None:
    together = consensus([("a", "q", "both")], VALUES)
    assert together.answers == {"q": "both"}
    assert 0.25 < together.probability["q"] < 1
    assert together.reliability["a"] == pytest.approx(0.7, abs=0.15)
