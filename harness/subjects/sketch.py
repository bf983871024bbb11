"""What one pass over a corpus keeps of each neuron, in memory that does not grow with the corpus.

Everything kept is an exact sum, a maximum, or the lowest few by a total order that depends on content alone. So
sketches of different batches can be merged in any order, over any number of machines, and give the same bytes.

The one thing that batches decide is the activations themselves: the sums within a matrix product depend on its shape.
So a batch is the unit of work, made of the same passages whoever reads it, and a sketch knows which ones it has read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harness.subjects import kernels
from harness.subjects.corpora import Passage
from harness.subjects.exact import ExactSums
from harness.subjects.kernels import CLASSES, POWERS, Float32Array, Keys, Places
from harness.subjects.lowest import Entries, Lowest
from harness.subjects.reduction import Reduced, reduce
from harness.types import FloatArray, Moments, NeuroglossError, NeuronId

QUANTILES = (0.5, 0.9, 0.99, 0.999)
"""Where the strata of quantile samples are cut, as near as the edges of classes allow."""
LARGEST_POWER = 1e30
"""The most that the sum of a batch's fourth powers may be: activations to 1e7, which all sums here can hold."""
HELD_BYTES = 2**30
"""Activations that are held on an accelerator before it is waited for: some ten batches of a small model."""
PRUNED_FROM = 1024
"""Passages that may be held, beyond twice those kept, before those that no neuron keeps any more are looked for."""


@dataclass(frozen=True)
class SketchSettings:
    """What a sketch keeps of each neuron.

    Attributes:
        top: how many passages of largest maximum.
        random: how many uniformly drawn ones are wanted beside them; ``top`` more are kept, for those among the top.
        quantile: how many are drawn uniformly from each stratum of maxima; 0 for none.
        tokens: the length of a passage.
        leading: first positions left out of everything but the kept activations themselves.
        vocabulary: how many token ids there are; 0 keeps no sums by token.
        seed: decides the uniform draws.
    """

    top: int
    random: int
    quantile: int
    tokens: int
    leading: int
    vocabulary: int
    seed: int


@dataclass(frozen=True, eq=False)
class Kept:
    """Passages that a sketch keeps of one neuron.

    Attributes:
        content: their keys [passages].
        activations: the neuron's on their tokens [passages, tokens].
    """

    content: Keys
    activations: Float32Array


@dataclass(frozen=True, eq=False)
class Stratum:
    """A uniform sample of the passages whose maximum is at least ``lower`` and below the next stratum's.

    ``count`` is how many passages of the corpus it was drawn from.
    """

    lower: float
    count: int
    kept: Kept


class Sketch:
    """The state of a collection: passages, moments and sums by token of each neuron.

    Args:
        neurons: those read, in ascending order.
        settings: what is kept of them.

    Attributes:
        passages: those kept of any neuron, by content key; a few that no neuron keeps any more may be among them.
        read: how many passages were taken in.
        threads: the most that the processor's arithmetic ran on for any batch.
        text: the marks of the batches taken in, joined by exclusive or (see :func:`text_mark`).
    """

    def __init__(self, neurons: Sequence[NeuronId], settings: SketchSettings) -> None:
        self.neurons = tuple(neurons)
        if list(self.neurons) != sorted(set(self.neurons)):
            raise ValueError("the neurons of a sketch must be distinct and in ascending order")
        self.settings = settings
        self.passages: dict[int, Passage] = {}
        self._prune_above = PRUNED_FROM
        self.read = 0
        self.text = 0
        self.threads = 0
        self._done = 0  # bit n: batch n was taken in
        self._columns = dict(_by_layer(self.neurons))
        self._held: list[_Held] = []
        number, tokens = len(self.neurons), settings.tokens
        self._top = Lowest(number, settings.top, tokens)
        self._random = Lowest(number, settings.top + settings.random, tokens)
        self._by_class = Lowest(number * CLASSES if settings.quantile else 0, settings.quantile, tokens)
        self._class_counts = np.zeros((number if settings.quantile else 0, CLASSES), dtype=np.int64)
        self._firing = np.zeros(number, dtype=np.int64)
        self._active = np.zeros(number, dtype=np.int64)
        self._maximum = np.full(number, -np.inf, dtype=np.float32)
        self._powers = ExactSums((POWERS, number), digits=5, lowest=-100)
        self.token_counts = np.zeros(settings.vocabulary, dtype=np.int64)
        # Pages of this that are never touched take no memory: it grows with the tokens seen, not with the vocabulary.
        self._token_sums = ExactSums((settings.vocabulary, number), digits=2, lowest=-56)
        self._draw_keys = neuron_keys(self.neurons, settings.seed)

    # --------------------------------------------------------------------------------------------------------- adding

    @property
    def columns(self) -> dict[int, list[int]]:
        """Layer -> indices of the neurons read in it."""
        return {
            layer: [self.neurons[place].index for place in range(places.start, places.stop)]
            for layer, places in self._columns.items()
        }

    def has(self, number: int) -> bool:
        """Whether the batch of that number was taken in."""
        return bool(self._done >> number & 1)

    def opened(self, number: int, passages: Sequence[Passage]) -> Callable[[int, torch.Tensor], None]:
        """Begin to take in a batch of passages that were never seen before.

        Args:
            number: the batch's place among all batches of the corpus.
            passages: all of one length.

        Returns:
            What takes in each layer in turn: a function of the layer and of the activations of its neurons, float32
            [passages, tokens, neurons].
        """
        if self.has(number):
            raise ValueError(f"batch {number} was taken in before")
        content = np.array([content_key(passage) for passage in passages], dtype=np.uint64)
        ids = np.array([passage.token_ids[self.settings.leading :] for passage in passages])
        self._done |= 1 << number
        self.read += len(passages)
        self.text ^= text_mark(number, passages)
        self.threads = max(self.threads, torch.get_num_threads())
        self._keep_passages(content, passages)
        tokens = _Sorted.of(ids.ravel()) if self.settings.vocabulary else None
        if tokens is not None:
            self.token_counts[tokens.distinct] += tokens.counts

        def see(layer: int, activations: torch.Tensor) -> None:
            self._see(layer, content, activations)
            if tokens is not None:
                scored = activations[:, self.settings.leading :].flatten(0, 1).cpu().double().numpy()
                places = self._columns[layer]
                self._token_sums.add(tokens.sums(scored), (tokens.distinct[:, None], np.r_[places]))

        return see

    def _see(self, layer: int, content: Keys, activations: torch.Tensor) -> None:
        places = self._columns[layer]
        if activations.device.type == "cuda":
            self._hold(places, content, activations)
        else:
            self._note(places, self._take_in(places, content, activations.cpu()))

    def _take_in(self, places: slice, content: Keys, activations: torch.Tensor) -> Reduced:
        """Let each kind of passages kept take those of a batch that belong to it, and reduce the batch on the way."""
        values, leading = activations.contiguous().numpy(), self.settings.leading
        expected = (len(content), self.settings.tokens, places.stop - places.start)
        if values.shape != expected or values.dtype != np.float32:  # a compiled loop would read anywhere
            raise ValueError(f"activations are {values.dtype} {values.shape}, not float32 {expected}")
        for kind in self._kinds:
            kind.reserve(values.shape[0] * values.shape[2])
        top, random, by_class = (kind.slots for kind in self._kinds)
        highest, totals = kernels.take_in(
            values, leading, places.start, content, self._draw_keys[places], top, random, by_class, self._class_counts
        )
        return Reduced.of(highest, totals, np.isfinite(values[:, :leading]).all(axis=(0, 1)))

    def _hold(self, places: slice, content: Keys, activations: torch.Tensor) -> None:
        """Reduce a batch on an accelerator and leave it there, so that waiting for it is for many batches at once."""
        held = _Held(places, content, activations.clone(), *reduce(activations, self.settings.leading))
        self._held.append(held)
        if sum(one.activations.nbytes for one in self._held) > HELD_BYTES:
            self.settle()

    def settle(self) -> None:
        """Take in what is held on an accelerator. Of its activations only the rows that are kept leave it.

        Raises:
            NeuroglossError: an activation is not a finite number.
        """
        held, self._held = self._held, []
        if not held:
            return
        columns = ([one.highest for one in held], [one.totals for one in held], [one.finite for one in held])
        chosen: list[tuple[Lowest, Places, Keys, Keys]] = []
        rows = []
        for one, *reduced in zip(held, *map(_fetched, columns), strict=True):
            self._note(one.places, Reduced.of(*reduced))
            for kind, group, order in self._offers(one, reduced[0]):
                content = np.broadcast_to(one.content[:, None], order.shape)
                wanted = kernels.wanted(kind.slots, group.ravel(), order.ravel(), content.ravel())
                where = np.nonzero(wanted.reshape(order.shape))
                chosen.append((kind, group[where], order[where], content[where]))
                rows.append(one.activations.transpose(1, 2)[tuple(map(torch.from_numpy, where))])
        for (kind, groups, orders, contents), values in zip(chosen, _fetched(rows), strict=True):
            kind.add(Entries(groups, orders, contents, values))

    def _offers(self, held: _Held, highest: Float32Array) -> list[tuple[Lowest, Places, Keys]]:
        """The kinds of passages kept, with the group and the order of each passage and neuron of a batch."""
        descending, classes = kernels.orders(highest.view(np.int32))
        drawn = np.stack([kernels.draws(self._draw_keys[held.places], key) for key in held.content])
        group = np.broadcast_to(np.r_[held.places], drawn.shape)
        offers = [(self._top, group, descending), (self._random, group, drawn)]
        if self.settings.quantile:
            np.add.at(self._class_counts, (group, classes), 1)
            offers.append((self._by_class, group * CLASSES + classes, drawn))
        return offers

    def _note(self, places: slice, reduced: Reduced) -> None:
        """Count what a batch of one layer comes to.

        Raises:
            NeuroglossError: an activation is not a finite number.
        """
        finite = (np.abs(reduced.powers) < LARGEST_POWER).all(axis=0) & np.isfinite(reduced.highest).all(axis=0)
        finite &= reduced.finite
        if not finite.all():
            neuron = self.neurons[places.start + int(np.flatnonzero(~finite)[0])]
            raise NeuroglossError(
                f"the activation of layer {neuron.layer}, neuron {neuron.index} is not a finite number, or above "
                "1e7; run the subject in float32, and check its weights."
            )
        self._firing[places] += (reduced.highest > 0).sum(axis=0)
        self._active[places] += reduced.active
        np.maximum(self._maximum[places], reduced.highest.max(axis=0), out=self._maximum[places])
        self._powers.add(reduced.powers, (slice(None), places))

    def _keep_passages(self, content: Keys, passages: Sequence[Passage]) -> None:
        if len(self.passages) > self._prune_above:
            self._prune()
        self.passages.update(zip(content.tolist(), passages, strict=True))

    def _prune(self) -> None:
        """Let go of passages that no neuron keeps."""
        self.settle()
        kept = np.unique(np.concatenate([kind.contents() for kind in self._kinds]))
        self.passages = {key: self.passages[key] for key in kept.tolist()}
        self._prune_above = 2 * len(self.passages) + PRUNED_FROM

    @property
    def _kinds(self) -> tuple[Lowest, Lowest, Lowest]:
        return self._top, self._random, self._by_class

    # -------------------------------------------------------------------------------------------------------- merging

    def absorb(self, other: Sketch) -> None:
        """Take in all that a sketch of other batches has read.

        Raises:
            NeuroglossError: it is of other neurons or settings, or has read a batch that was read here too.
        """
        if (self.neurons, self.settings) != (other.neurons, other.settings):
            raise NeuroglossError(
                "the parts of a collection are of other neurons or settings; collect all of them anew."
            )
        if self._done & other._done:
            raise NeuroglossError(
                "two parts of a collection have read the same batch; give each worker its own number."
            )
        other.settle()
        self._done |= other._done
        self.read += other.read
        self.text ^= other.text
        self.threads = max(self.threads, other.threads)
        for own, others in zip(self._kinds, other._kinds, strict=True):
            own.add(others.found())
        self.passages |= other.passages
        self._prune()
        for name in ("_class_counts", "_firing", "_active", "token_counts"):
            getattr(self, name)[...] += getattr(other, name)
        np.maximum(self._maximum, other._maximum, out=self._maximum)
        self._powers.absorb(other._powers)
        self._token_sums.absorb(other._token_sums)

    # ---------------------------------------------------------------------------------------------------------- state

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays, the same ones whatever the order and the parts in which the batches came."""
        self._prune()
        seen = np.flatnonzero(self.token_counts)
        keys = np.array(sorted(self.passages), dtype=np.uint64)
        kept = [self.passages[key] for key in keys.tolist()]
        done = self._done.to_bytes((self._done.bit_length() + 7) // 8, "little")
        found: dict[str, npt.NDArray[Any]] = {
            "done": np.frombuffer(done, dtype=np.uint8),
            "read": np.array(self.read),
            "text": np.array(self.text, dtype=np.uint64),
            "threads": np.array(self.threads),
            "class_counts": self._class_counts,
            "firing": self._firing,
            "active": self._active,
            "maximum": self._maximum,
            "powers": self._powers.words,
            "tokens": seen,
            "token_counts": self.token_counts[seen],
            "token_sums": self._token_sums.words[:, seen],
            "passage_sources": _packed(passage.source for passage in kept),
            "passage_digests": _packed(passage.digest for passage in kept),
            "passage_ids": np.array([passage.token_ids for passage in kept], dtype=np.int32),
        }
        for name, kind in zip(_KINDS, self._kinds, strict=True):
            found |= {f"{name}_{column}": one for column, one in vars(kind.found()).items()}
        return found

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in a state of the same neurons and settings; nothing was taken in before."""
        self._done = int.from_bytes(state["done"].tobytes(), "little")
        self.read = int(state["read"])
        self.text = int(state["text"])
        self.threads = int(state["threads"])
        self._class_counts[...] = state["class_counts"]
        self._firing[...] = state["firing"]
        self._active[...] = state["active"]
        self._maximum[...] = state["maximum"]
        self._powers.words[...] = state["powers"]
        self.token_counts[state["tokens"]] = state["token_counts"]
        self._token_sums.words[:, state["tokens"]] = state["token_sums"]
        columns = zip(
            _unpacked(state["passage_sources"]),
            state["passage_ids"].tolist(),
            _unpacked(state["passage_digests"]),
            strict=True,
        )
        kept = [Passage(source, tuple(ids), digest) for source, ids, digest in columns]
        self.passages = {content_key(passage): passage for passage in kept}
        for name, kind in zip(_KINDS, self._kinds, strict=True):
            if len(state[f"{name}_group"]):
                kind.add(Entries(**{one.name: state[f"{name}_{one.name}"] for one in fields(Entries)}))

    # -------------------------------------------------------------------------------------------------------- reading

    @property
    def firing(self) -> Places:
        """On how many passages each neuron rises above 0 [neurons]."""
        return self._firing

    @property
    def fraction_active(self) -> FloatArray:
        """The share of the scored positions at which each neuron is above 0 [neurons]."""
        return self._active / max(1, self.positions)

    @property
    def positions(self) -> int:
        """How many scored positions were read."""
        return self.read * (self.settings.tokens - self.settings.leading)

    def token_sums(self, tokens: Places, place: int) -> FloatArray:
        """The sums of the activations of the neuron at ``place`` at each of ``tokens``, by token id [tokens]."""
        return self._token_sums.total((tokens, place))

    def top(self, place: int) -> Kept:
        """The passages of largest maximum of the neuron at ``place``, largest first."""
        return _kept(self._top.found(place, place + 1))

    def random(self, place: int) -> Kept:
        """A uniform sample of all passages, in the order of their draw: its beginnings are uniform samples too."""
        return _kept(self._random.found(place, place + 1))

    def strata(self, place: int) -> list[Stratum]:
        """The passages of the neuron at ``place`` by quantile of their maximum, the lowest stratum first.

        A stratum is a run of whole classes of maxima, so that the lowest draws of its classes hold its own lowest ones.
        """
        counts = self._class_counts[place]
        below = np.concatenate([[0], np.cumsum(counts)])  # how many passages lie below each class
        cuts = [int(np.abs(below[:-1] - quantile * self.read).argmin()) for quantile in QUANTILES]
        entries = self._by_class.found(place * CLASSES, (place + 1) * CLASSES)
        classes = entries.group - place * CLASSES
        strata = []
        for first, last in pairwise([0, *cuts, CLASSES]):
            inside = np.flatnonzero((classes >= first) & (classes < last))
            taken = inside[np.lexsort((entries.content[inside], entries.order[inside]))][: self.settings.quantile]
            kept = Kept(entries.content[taken], entries.values[taken])
            strata.append(Stratum(kernels.lower_edge(first), int(counts[first:last].sum()), kept))
        return strata

    def moments(self, place: int) -> Moments:
        """Of the neuron at ``place``, over every scored position; skewness and kurtosis are 0 where nothing varies."""
        count = self.positions
        first, second, third, fourth = (float(power) / count for power in self._powers.total((slice(None), place)))
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
            fraction_active=int(self._active[place]) / count,
            maximum=float(self._maximum[place]),
        )


_KINDS = ("top", "random", "by_class")


def _kept(entries: Entries) -> Kept:
    return Kept(entries.content, entries.values)


# ---------------------------------------------------------------------------------------------------- keys and marks


def content_key(passage: Passage) -> int:
    """The first 64 bits of a passage's digest."""
    return int(passage.digest[:16], 16)


def text_mark(number: int, passages: Sequence[Passage]) -> int:
    """A hash of 64 bits of a batch: of its number, and of the sources, the tokens and the texts of its passages.

    A batch is known by its number alone, and stands for the same passages only while the corpus is the same. The marks
    of several batches, joined by exclusive or in any order, tell one corpus from another.
    """
    named = "\x00".join([str(number), *(text for one in passages for text in (one.source, one.digest))])
    ids = np.array([passage.token_ids for passage in passages], dtype="<i8")
    hashed = hashlib.blake2b(named.encode("utf-8", "surrogatepass") + ids.tobytes(), digest_size=8)
    return int.from_bytes(hashed.digest(), "little")


def neuron_keys(neurons: Sequence[NeuronId], seed: int) -> Keys:
    """What makes the draws of each neuron its own [neurons]."""
    names = np.array([neuron.layer << 32 | neuron.index for neuron in neurons], dtype=np.uint64)
    keys: Keys = kernels.mixed(kernels.mixed(names) + np.uint64(seed % 2**64))
    return keys


# -------------------------------------------------------------------------------------------------------------- helpers


@dataclass(frozen=True, eq=False)
class _Held:
    """A batch of one layer on an accelerator: its activations, and what they were reduced to there."""

    places: slice
    content: Keys
    activations: torch.Tensor
    highest: torch.Tensor
    totals: torch.Tensor
    finite: torch.Tensor


def _fetched(tensors: Sequence[torch.Tensor]) -> list[npt.NDArray[Any]]:
    """Tensors of one type, brought to the processor at once."""
    together = torch.cat([one.flatten() for one in tensors]).cpu().numpy()
    parts = np.split(together, np.cumsum([one.numel() for one in tensors])[:-1])
    return [part.reshape(one.shape) for part, one in zip(parts, tensors, strict=True)]


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Token ids of a batch's scored positions, sorted, so that what belongs to one token can be added up.

    Attributes:
        order: the positions, by token [positions].
        first: where each token begins in ``order`` [distinct tokens].
        distinct: the tokens, ascending; ``counts`` how often each occurs [distinct tokens].
    """

    order: Places
    first: Places
    distinct: Places
    counts: Places

    @classmethod
    def of(cls, ids: Places) -> _Sorted:
        order = np.argsort(ids, kind="stable")
        distinct, first, counts = np.unique(ids[order], return_index=True, return_counts=True)
        return cls(order, first, distinct, counts)

    def sums(self, values: FloatArray) -> FloatArray:
        """Sums by token [distinct tokens, neurons] of values [positions, neurons]."""
        found: FloatArray = np.add.reduceat(values[self.order], self.first, axis=0)
        return found


def _by_layer(neurons: Sequence[NeuronId]) -> list[tuple[int, slice]]:
    """Each layer with the places of its neurons, which are in ascending order."""
    layers = np.array([neuron.layer for neuron in neurons])
    distinct, first, counts = np.unique(layers, return_index=True, return_counts=True)
    return [
        (int(layer), slice(int(start), int(start + count)))
        for layer, start, count in zip(distinct, first, counts, strict=True)
    ]


def _packed(texts: Any) -> npt.NDArray[np.uint8]:
    """Texts as one array of bytes: UTF-8, with a NUL after each."""
    return np.frombuffer("".join(f"{text}\x00" for text in texts).encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _unpacked(packed: npt.NDArray[np.uint8]) -> list[str]:
    return packed.tobytes().decode("utf-8", "surrogatepass").split("\x00")[:-1]
