"""The judge of robustness: who knows the truth has no cost of wording, and who reads words literally has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from harness.training.examples import Examples
from harness.training.judge import Reader
from harness.training.robust import WORDINGS, Trial, figures, judged, plain, trials
from harness.training.scenes import Scenes
from harness.training.voices import Voices
from harness.types import FloatArray


@pytest.fixture(scope="module")
def asked(examples: Examples) -> list[Trial]:
    voices = Voices(examples, Scenes(), held=True)
    voices.examples.held_out = {name: voices.examples.held_out[name] for name in ("letters_inside", "number_digits")}
    return list(trials(voices, each=1, texts=3, seed=3))


def knowing(asked: Sequence[Trial]) -> Reader:
    levels = {
        (group.explanation, window.pieces): reading.astype(np.float64)
        for trial in asked
        for groups in trial.groups.values()
        for group in groups
        for window, reading in zip(group.windows, group.levels, strict=True)
    }
    return lambda pairs: [levels[pair] for pair in pairs]


def test_who_knows_the_truth_has_it_in_every_wording(asked: list[Trial]) -> None:
    measured = figures(judged(asked, knowing(asked)))
    assert measured.concepts == len(asked) > 25
    assert measured.truth == pytest.approx(1.0)
    for cost in (
        measured.spread,
        measured.capitals,
        measured.padded,
        measured.wrong,
        measured.examples,
        measured.raised,
    ):
        assert cost == pytest.approx(0.0, abs=1e-9)
    assert measured.near == measured.worst == measured.unrelated == 1.0


def test_who_shouts_at_capitals_pays_for_it(asked: list[Trial]) -> None:
    read = knowing(asked)

    def deaf_to_capitals(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> list[FloatArray]:
        return [
            np.zeros(len(levels)) if text == text.upper() else levels
            for (text, _), levels in zip(pairs, read(pairs), strict=True)
        ]

    measured = figures(judged(asked, deaf_to_capitals))
    assert measured.capitals == pytest.approx(1.0)
    assert measured.padded == pytest.approx(0.0, abs=1e-9)


def test_who_fires_on_named_words_raises_them(asked: list[Trial]) -> None:
    read, named = knowing(asked), {}
    for trial in asked:
        for turn in ("aside", "without"):
            for window, tokens in zip(trial.groups[turn][0].windows, trial.named, strict=True):
                named[trial.groups[turn][0].explanation, window.pieces] = tokens

    def literal(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> list[FloatArray]:
        readings = zip(pairs, read(pairs), strict=True)
        return [np.where(named[pair], 5.0, levels) if pair in named else levels for pair, levels in readings]

    assert figures(judged(asked, literal)).raised > 1.0


def test_each_concept_has_five_wordings_and_a_figure_by_family(asked: list[Trial]) -> None:
    assert all(len(trial.groups["wordings"]) == WORDINGS for trial in asked)
    assert all(len(trial.groups["unrelated"]) == 2 for trial in asked)
    results = judged(asked, knowing(asked))
    assert set(plain(results)["families"]) == {trial.family for trial in asked}
    assert sum(family["concepts"] for family in plain(results)["families"].values()) == len(asked)
