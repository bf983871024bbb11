"""Explanations that cannot be true, to hold the true ones against: what they score is what a metric gives for nothing.

* *shuffled*: the explanation of another neuron, under each of several seeds;
* *random*: as many words as the neuron's own explanation has, drawn from the corpus by how often they stand there;
* *re-initialised*: the explanations of the same coordinates of the subject with random weights, scored on activations
  of that model (:mod:`harness.audit.reinitialised`).

A metric passes where a neuron's own explanation outscores the null: the paired difference over neurons is above 0,
with a 95 % interval that leaves 0 out and a permutation test below 0.05, corrected for all metrics of the panel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.audit.labels import seed_of
from harness.explainers.shuffled import partners
from harness.types import (
    Evidence,
    Explanation,
    NeuroglossError,
    NeuronId,
    Outcome,
    Role,
    ScoredExplanation,
    TokenSums,
    Usage,
)


@dataclass(eq=False)
class Told:
    """An explainer that says what it was given to say of each neuron."""

    explanations: Mapping[NeuronId, Explanation]
    role: Role = field(default=Role.EXPLAINER, init=False)

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order."""
        return [self.explanations[known.neuron] for known in evidence]


def own(scored: Sequence[ScoredExplanation]) -> dict[NeuronId, Explanation]:
    """The explanations of a row of a run, one for each neuron: the first where several people explained one.

    Raises:
        NeuroglossError: the row holds a table, which no simulator is asked about; or no text at all.
    """
    found: dict[NeuronId, Explanation] = {}
    for one in scored:
        found.setdefault(one.explanation.neuron, dataclasses.replace(one.explanation, usage=Usage()))
    if not any(one.outcome is Outcome.OK and one.text for one in found.values()):
        raise NeuroglossError("there is no explanation in words to audit with; choose another by explanations=NAME.")
    return found


def shuffled(explanations: Mapping[NeuronId, Explanation], seed: int) -> dict[NeuronId, Explanation]:
    """The explanation of another neuron for each; every one is used once."""
    partner = partners(explanations, seed)
    return {neuron: dataclasses.replace(explanations[partner[neuron]], neuron=neuron) for neuron in explanations}


def random_words(
    explanations: Mapping[NeuronId, Explanation], corpus: TokenSums, seed: int
) -> dict[NeuronId, Explanation]:
    """As many words as each explanation has, drawn from the corpus, each as likely as it is frequent.

    Raises:
        NeuroglossError: the corpus has no words.
    """
    words, counts = _words(corpus)
    return {
        neuron: dataclasses.replace(one, text=_drawn(words, counts, len(one.text.split()), seed_of(neuron, seed)))
        for neuron, one in explanations.items()
    }


def _words(corpus: TokenSums) -> tuple[list[str], list[int]]:
    """Tokens that are words by themselves, and how often each stands in the corpus."""
    found = [
        (token.strip(), int(count))
        for token, count in zip(corpus.tokens, corpus.counts, strict=True)
        if token.strip().isalpha() and count > 0
    ]
    if not found:
        raise NeuroglossError("the corpus of the task holds no words to draw; leave the random test out of tests=.")
    return [word for word, _ in found], [count for _, count in found]


def _drawn(words: Sequence[str], counts: Sequence[int], number: int, seed: int) -> str:
    shares = np.array(counts, dtype=np.float64)
    places = np.random.default_rng(seed).choice(len(words), size=number, p=shares / shares.sum())
    return " ".join(words[place] for place in places)
