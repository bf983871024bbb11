"""What one pass over a corpus keeps of each neuron, in memory that does not grow with the corpus.

Everything kept is a sum, a maximum, or the best few by a total order that depends on content alone, so that it does not
matter in which order, or in how many parts, the corpus is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.subjects.corpora import Passage
from harness.types import FloatArray, Moments, NeuronId

Float32Array = npt.NDArray[np.float32]
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Best:
    """The passages of lowest ``order`` for each neuron, ties broken by content; empty places have an infinite order.

    Attributes:
        order: what is kept lowest [neurons, places].
        content: keys of the passages [neurons, places].
        activations: of the neuron on the passage's tokens [neurons, places, tokens].
    """

    order: FloatArray
    content: Keys
    activations: Float32Array

    @classmethod
    def none(cls, neurons: int, places: int, tokens: int) -> Best:
        """All places empty."""
        return cls(
            np.full((neurons, places), np.inf),
            np.zeros((neurons, places), dtype=np.uint64),
            np.zeros((neurons, places, tokens), dtype=np.float32),
        )

    def merged(self, other: Best) -> Best:
        """The best of both, in as many places as this one has."""
        order = np.concatenate([self.order, other.order], axis=1)
        content = np.concatenate([self.content, other.content], axis=1)
        activations = np.concatenate([self.activations, other.activations], axis=1)
        first = np.lexsort((content, order), axis=-1)[:, : self.order.shape[1]]
        return Best(
            np.take_along_axis(order, first, axis=1),
            np.take_along_axis(content, first, axis=1),
            np.take_along_axis(activations, first[:, :, None], axis=1),
        )


class Sketch:
    """The state of a collection: the top and the random passages of each neuron, its moments, and its sums by token.

    Args:
        neurons: those read.
        top: how many passages of largest maximum are kept.
        random: how many uniformly drawn ones are wanted beside them; ``top`` more are kept, for those among the top.
        tokens: the length of a passage.
        leading: first positions left out of everything but the kept activations themselves.
        vocabulary: how many token ids there are.
        seed: decides the uniform draw.
    """

    def __init__(  # noqa: PLR0913  # the sizes of the state
        self,
        neurons: Sequence[NeuronId],
        *,
        top: int,
        random: int,
        tokens: int,
        leading: int,
        vocabulary: int,
        seed: int,
    ) -> None:
        self.neurons = tuple(neurons)
        self.leading = leading
        self.seed = seed
        self.top = Best.none(len(neurons), top, tokens)
        self.random = Best.none(len(neurons), top + random, tokens)
        self.passages: dict[int, Passage] = {}
        self.read = 0
        self.firing = np.zeros(len(neurons), dtype=np.int64)
        self.active = np.zeros(len(neurons), dtype=np.int64)
        self.maximum = np.full(len(neurons), -np.inf)
        self.powers = np.zeros((4, len(neurons)))
        self.token_counts = np.zeros(vocabulary, dtype=np.int64)
        self.token_sums = np.zeros((vocabulary, len(neurons)))

    def add(self, passages: Sequence[Passage], activations: Float32Array) -> None:
        """Take in passages never seen before, with ``activations`` [passages, tokens, neurons]."""
        scored = activations[:, self.leading :].astype(np.float64)
        highest = scored.max(axis=1)
        content = np.array([content_key(passage) for passage in passages], dtype=np.uint64)
        self._add_best(passages, content, highest, activations)
        self.read += len(passages)
        self.firing += (highest > 0).sum(axis=0)
        self.active += (scored > 0).sum(axis=(0, 1))
        self.maximum = np.maximum(self.maximum, highest.max(axis=0))
        for exponent in range(4):
            self.powers[exponent] += (scored ** (exponent + 1)).sum(axis=(0, 1))
        ids = np.array([passage.token_ids[self.leading :] for passage in passages])
        self._add_tokens(ids.ravel(), scored.reshape(ids.size, -1))

    def moments(self, place: int) -> Moments:
        """Of the neuron at ``place``, over every scored position; skewness and kurtosis are 0 where nothing varies."""
        count = int(self.token_counts.sum())
        first, second, third, fourth = (float(power) / count for power in self.powers[:, place])
        variance = max(0.0, second - first**2)
        spread = variance**0.5
        about3 = third - 3 * first * second + 2 * first**3
        about4 = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
        return Moments(
            count=count,
            mean=first,
            variance=variance,
            skewness=about3 / spread**3 if spread else 0.0,
            kurtosis=about4 / variance**2 if variance else 0.0,
            fraction_active=int(self.active[place]) / count,
            maximum=float(self.maximum[place]),
        )

    def _add_best(
        self, passages: Sequence[Passage], content: Keys, highest: FloatArray, activations: Float32Array
    ) -> None:
        by_neuron = activations.transpose(2, 0, 1)
        keys = np.broadcast_to(content, highest.T.shape)
        self.top = self.top.merged(Best(-highest.T, keys, by_neuron))
        self.random = self.random.merged(Best(draws(self.neurons, content, self.seed), keys, by_neuron))
        self.passages.update(zip(content.tolist(), passages, strict=True))
        kept = set(np.union1d(self.top.content, self.random.content).tolist())
        self.passages = {key: passage for key, passage in self.passages.items() if key in kept}

    def _add_tokens(self, ids: npt.NDArray[np.int64], scored: FloatArray) -> None:
        """Add activations [positions, neurons] to the sums of their tokens ``ids`` [positions]."""
        order = np.argsort(ids, kind="stable")
        distinct, first, counts = np.unique(ids[order], return_index=True, return_counts=True)
        self.token_counts[distinct] += counts
        self.token_sums[distinct] += np.add.reduceat(scored[order], first, axis=0)


def content_key(passage: Passage) -> int:
    """The first 64 bits of a passage's digest."""
    return int(passage.digest[:16], 16)


def draws(neurons: Sequence[NeuronId], content: Keys, seed: int) -> FloatArray:
    """A number in [0, 1) for each neuron and passage [neurons, passages], a hash of both and of the seed.

    The lowest few of a neuron are a uniform sample of all passages, whatever their order, and other ones for another
    neuron.
    """
    names = np.array([neuron.layer << 32 | neuron.index for neuron in neurons], dtype=np.uint64)
    keys = _mixed(_mixed(names) + np.uint64(seed % 2**64))
    return np.ldexp((_mixed(keys[:, None] ^ content[None, :]) >> np.uint64(11)).astype(np.float64), -53)


def _mixed(values: Keys) -> Keys:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection, each bit of which depends on all bits."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
