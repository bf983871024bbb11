"""Explanations that cannot be true, to hold the true ones against: their score is what a metric gives for nothing.

* *shuffled*: the explanation of another unit, under each of several seeds;
* *random*: as many words as the unit's own explanation has, drawn from the corpus by how often they stand there;
* *re-initialised*: the explanations of the same coordinates of the subject with random weights, scored on activations
  of that model (:mod:`harness.studies.reinitialised`).

A metric passes where a unit's own explanation outscores the null: the paired difference over units is above 0, with a
95 % interval that leaves 0 out and a permutation test below 0.05, corrected for all metrics of the panel.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.explainers.controls.shuffled import partners
from harness.results.audit import Test
from harness.types import (
    Evidence,
    Explanation,
    NeuroglossError,
    Outcome,
    Role,
    ScoredExplanation,
    TokenSums,
    Unit,
    Usage,
)


@dataclass(eq=False)
class Saying:
    """Explainer that says what it was given to say of each unit."""

    explanations: Mapping[Unit, Explanation]
    role: Role = Role.NULL

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """Return one explanation for each unit, in order."""
        return [self.explanations[item.unit] for item in evidence]


def own(scored: Sequence[ScoredExplanation]) -> dict[Unit, Explanation]:
    """Return the explanations of a row of a run, one for each unit: the first where several people explained one.

    Raises:
        NeuroglossError: the row holds a table, which no simulator is asked about; or no text at all.
    """
    explanations: dict[Unit, Explanation] = {}
    for item in scored:
        explanations.setdefault(item.unit, dataclasses.replace(item.explanation, usage=Usage()))
    if not any(explanation.outcome is Outcome.OK and explanation.text for explanation in explanations.values()):
        raise NeuroglossError("there is no explanation in words to audit with; choose another by explanations=NAME.")
    return explanations


def explainers(
    test: Test, explanations: Mapping[Unit, Explanation], corpus: TokenSums, seeds: Sequence[int]
) -> dict[str, Saying]:
    """Return the explainers of a null, one for each seed, by their names in rows.

    Args:
        test: which null; empty for any other than shuffled and random.
        explanations: of each unit, by the audited explainer.
        corpus: counts by token, from which random words are drawn.
        seeds: of the draws.

    Raises:
        NeuroglossError: there is one unit only, or the corpus has no words.
    """
    if test is Test.SHUFFLED:
        return {f"{test} {seed}": Saying(shuffled(explanations, seed)) for seed in seeds}
    if test is Test.RANDOM:
        return {f"{test} {seed}": Saying(random_words(explanations, corpus, seed)) for seed in seeds}
    return {}


def shuffled(explanations: Mapping[Unit, Explanation], seed: int) -> dict[Unit, Explanation]:
    """Return the explanation of another unit for each; every one is used once."""
    partner = partners(explanations, seed)
    return {unit: dataclasses.replace(explanations[partner[unit]], unit=unit) for unit in explanations}


def random_words(explanations: Mapping[Unit, Explanation], corpus: TokenSums, seed: int) -> dict[Unit, Explanation]:
    """Return as many words as each explanation has, drawn from the corpus, each as likely as it is frequent.

    Candidates of an explanation are left out, for the best of them would be chosen in place of the words.

    Raises:
        NeuroglossError: the corpus has no words.
    """
    words, counts = _words(corpus)
    return {
        unit: dataclasses.replace(
            explanation,
            text=_drawn(words, counts, len(explanation.text.split()), seed_of(unit, seed)),
            candidates=(),
        )
        for unit, explanation in explanations.items()
    }


def seed_of(unit: Unit, seed: int) -> int:
    """Return a seed of the unit's own, so that other units do not change its draws."""
    return int.from_bytes(hashlib.sha256(f"{seed} {unit}".encode()).digest()[:8])


def _words(corpus: TokenSums) -> tuple[list[str], list[int]]:
    """Return the tokens that are words by themselves, and how often each stands in the corpus."""
    frequencies = [
        (token.strip(), int(count))
        for token, count in zip(corpus.tokens, corpus.counts, strict=True)
        if token.strip().isalpha() and count > 0
    ]
    if not frequencies:
        raise NeuroglossError("the corpus of the task holds no words to draw; leave the random test out of tests=.")
    return [word for word, _ in frequencies], [count for _, count in frequencies]


def _drawn(words: Sequence[str], counts: Sequence[int], number: int, seed: int) -> str:
    shares = np.array(counts, dtype=np.float64)
    places = np.random.default_rng(seed).choice(len(words), size=number, p=shares / shares.sum())
    return " ".join(words[place] for place in places)
