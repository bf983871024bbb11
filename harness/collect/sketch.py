"""Sketch of each neuron over one pass through a corpus, in memory that does not grow with the corpus.

Everything kept is an exact sum, a maximum, or the lowest entries of a total order that depends on content alone. So
sketches of different batches can be merged in any order, across any number of machines, and give the same bytes.

Only the activations depend on batches: the sums within a matrix product depend on its shape. So a batch is the unit of
work: it contains the same passages on every machine, and a sketch records the batches that it has read.
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

from harness.collect import kernels
from harness.collect.corpora import Passage
from harness.collect.exact import ExactSums
from harness.collect.kernels import CLASSES, POWERS, Float32Array, Keys, Places
from harness.collect.lowest import Entries, Lowest
from harness.collect.reduction import Reduced, reduce
from harness.types import FloatArray, Moments, NeuroglossError, Unit

QUANTILES = (0.5, 0.9, 0.99, 0.999)
"""Quantiles at which the strata of quantile samples are cut, as nearly as the edges of classes allow."""
TWO_SIDED = ("N",)
"""The kinds of units whose positive and negative activations are sides that can be explained apart."""
LARGEST_POWER = 1e30
"""Largest allowed sum of a batch's fourth powers: activations up to 1e7, which all sums here can represent."""
HELD_BYTES = 2**30
"""Bytes of activations left on an accelerator before it is waited for: about ten batches of a small model."""
PRUNED_FROM = 1024
"""Number of passages, beyond twice the number kept after the last pruning, at which passages are pruned again."""


@dataclass(frozen=True)
class SketchSettings:
    """Settings of a sketch: what is kept of each neuron.

    Attributes:
        top: number of passages with the largest maxima.
        random: number of uniformly drawn passages that are not among the top; ``top`` more are kept, as some may be.
        pool: number of uniformly drawn passages that are kept at least; more if the others need more.
        quantile: number of passages drawn uniformly from each stratum of maxima; 0 draws none.
        tokens: length of a passage in tokens.
        leading: number of first positions ignored everywhere except in the kept activations.
        vocabulary: number of token ids; 0 keeps no sums by token.
        seed: seed of the uniform draws.
    """

    top: int
    random: int
    pool: int
    quantile: int
    tokens: int
    leading: int
    vocabulary: int
    seed: int


@dataclass(frozen=True, eq=False)
class Kept:
    """Passages kept of one neuron.

    Attributes:
        content: content keys [passages].
        activations: activations of the neuron [passages, tokens].
    """

    content: Keys
    activations: Float32Array

    def first(self, count: int) -> Kept:
        """Return the first ``count`` of them, or all if there are fewer."""
        return Kept(self.content[:count], self.activations[:count])


@dataclass(frozen=True, eq=False)
class Stratum:
    """Uniform sample of the passages whose maximum is at least ``lower`` and below that of the next stratum.

    ``count`` is the number of passages of the corpus in the stratum.
    """

    lower: float
    count: int
    passages: Kept


class Sketch:
    """State of a collection: passages, moments and sums by token of each neuron.

    Args:
        neurons: the neurons that are read, in ascending order.
        settings: what is kept of them.
        address: the layer of a neuron and its index there, in ascending order too.

    Attributes:
        columns: indices of the neurons that are read, by layer.
        passages: passages kept of any neuron, by content key; may include a few that no neuron keeps any more.
        read: number of passages read.
        threads: largest number of CPU threads used for any batch.
        text: marks of the batches read, joined by exclusive or (see :func:`text_mark`).
    """

    def __init__(
        self,
        neurons: Sequence[Unit],
        settings: SketchSettings,
        address: Callable[[Unit], tuple[int, int]] = lambda unit: (unit.place, unit.index),
    ) -> None:
        self.neurons = tuple(neurons)
        if list(self.neurons) != sorted(set(self.neurons)):
            raise ValueError("the neurons of a sketch must be distinct and in ascending order")
        addresses = list(map(address, self.neurons))
        self.settings = settings
        self.passages: dict[int, Passage] = {}
        self._prune_above = PRUNED_FROM
        self.read = 0
        self.text = 0
        self.threads = 0
        self._batch_bits = 0  # bit n: batch n was read
        self._columns = dict(_by_layer([place for place, _ in addresses]))
        self.columns = {place: [index for _, index in addresses[columns]] for place, columns in self._columns.items()}
        self._pending: list[_DeviceBatch] = []
        number, tokens = len(self.neurons), settings.tokens
        self._top = Lowest(number, settings.top, tokens)
        self._random = Lowest(number, max(settings.top + settings.random, settings.pool), tokens)
        self._by_class = Lowest(number * CLASSES if settings.quantile else 0, settings.quantile, tokens)
        self._class_counts = np.zeros((number if settings.quantile else 0, CLASSES), dtype=np.int64)
        self._firing = np.zeros(number, dtype=np.int64)
        self._active = np.zeros(number, dtype=np.int64)
        self._maximum = np.full(number, -np.inf, dtype=np.float32)
        self._powers = ExactSums((POWERS, number), digits=5, lowest=-100)
        self._absolute = ExactSums((number,), digits=5, lowest=-100)
        self.token_counts = np.zeros(settings.vocabulary, dtype=np.int64)
        # Pages take no memory until they are written: this grows with the distinct tokens, not with the vocabulary.
        self._token_sums = ExactSums((settings.vocabulary, number), digits=2, lowest=-56)
        self._draw_keys = neuron_keys(self.neurons, settings.seed)

    # --------------------------------------------------------------------------------------------------------- adding

    def has(self, number: int) -> bool:
        """Return whether the batch with that number was read."""
        return bool(self._batch_bits >> number & 1)

    def opened(self, number: int, passages: Sequence[Passage]) -> Callable[[int, torch.Tensor], None]:
        """Begin to read a batch of new passages.

        Args:
            number: index of the batch in the corpus.
            passages: passages of the batch, all of one length.

        Returns:
            A function that takes a layer and the activations of its neurons, float32 [passages, tokens, neurons]; call
            it once for each layer.

        Raises:
            ValueError: the batch was read before.
        """
        if self.has(number):
            raise ValueError(f"batch {number} was read before")
        content = np.array([content_key(passage) for passage in passages], dtype=np.uint64)
        ids = np.array([passage.token_ids[self.settings.leading :] for passage in passages])
        self._batch_bits |= 1 << number
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
        """Offer the passages of a batch to each sample, and return the batch reduced in the same loop."""
        values, leading = activations.contiguous().numpy(), self.settings.leading
        expected = (len(content), self.settings.tokens, places.stop - places.start)
        if values.shape != expected or values.dtype != np.float32:  # a compiled loop would read out of bounds
            raise ValueError(f"activations are {values.dtype} {values.shape}, not float32 {expected}")
        for kind in self._kinds:
            kind.reserve(values.shape[0] * values.shape[2])
        top, random, by_class = (kind.slots for kind in self._kinds)
        highest, totals = kernels.take_in(
            values, leading, places.start, content, self._draw_keys[places], top, random, by_class, self._class_counts
        )
        return Reduced.of(highest, totals, np.isfinite(values[:, :leading]).all(axis=(0, 1)))

    def _hold(self, places: slice, content: Keys, activations: torch.Tensor) -> None:
        """Reduce a batch on an accelerator and leave it there, so that many batches share one wait."""
        batch = _DeviceBatch(places, content, activations.clone(), *reduce(activations, self.settings.leading))
        self._pending.append(batch)
        if sum(pending.activations.nbytes for pending in self._pending) > HELD_BYTES:
            self.settle()

    def settle(self) -> None:
        """Read the batches that are pending on an accelerator; only the activations that are kept are copied from it.

        Raises:
            NeuroglossError: an activation is not finite.
        """
        batches, self._pending = self._pending, []
        if not batches:
            return
        columns = (
            [batch.highest for batch in batches],
            [batch.totals for batch in batches],
            [batch.finite for batch in batches],
        )
        selections: list[tuple[Lowest, Places, Keys, Keys]] = []
        rows = []
        for batch, *reduced in zip(batches, *map(_fetched, columns), strict=True):
            self._note(batch.places, Reduced.of(*reduced))
            for kind, group, order in self._offers(batch, reduced[0]):
                content = np.broadcast_to(batch.content[:, None], order.shape)
                is_wanted = kernels.wanted(kind.slots, group.ravel(), order.ravel(), content.ravel())
                selected = np.nonzero(is_wanted.reshape(order.shape))
                selections.append((kind, group[selected], order[selected], content[selected]))
                rows.append(batch.activations.transpose(1, 2)[tuple(map(torch.from_numpy, selected))])
        for (kind, groups, orders, contents), values in zip(selections, _fetched(rows), strict=True):
            kind.add(Entries(groups, orders, contents, values))

    def _offers(self, batch: _DeviceBatch, highest: Float32Array) -> list[tuple[Lowest, Places, Keys]]:
        """Return each sample with the group and the order of each passage and neuron of a batch."""
        descending, classes = kernels.orders(highest.view(np.int32))
        draw_numbers = np.stack([kernels.draws(self._draw_keys[batch.places], key) for key in batch.content])
        group = np.broadcast_to(np.r_[batch.places], draw_numbers.shape)
        offers = [(self._top, group, descending), (self._random, group, draw_numbers)]
        if self.settings.quantile:
            np.add.at(self._class_counts, (group, classes), 1)
            offers.append((self._by_class, group * CLASSES + classes, draw_numbers))
        return offers

    def _note(self, places: slice, reduced: Reduced) -> None:
        """Add a batch of one layer to the counts, maxima and sums.

        Raises:
            NeuroglossError: an activation is not finite.
        """
        finite = (np.abs(reduced.powers) < LARGEST_POWER).all(axis=0) & np.isfinite(reduced.highest).all(axis=0)
        finite &= reduced.finite
        if not finite.all():
            neuron = self.neurons[places.start + int(np.flatnonzero(~finite)[0])]
            raise NeuroglossError(
                f"the activation of {neuron} is not a finite number, or above 1e7; run the subject in float32, and "
                "check its weights."
            )
        self._firing[places] += (reduced.highest > 0).sum(axis=0)
        self._active[places] += reduced.active
        np.maximum(self._maximum[places], reduced.highest.max(axis=0), out=self._maximum[places])
        self._powers.add(reduced.powers, (slice(None), places))
        self._absolute.add(reduced.absolute, places)

    def _keep_passages(self, content: Keys, passages: Sequence[Passage]) -> None:
        if len(self.passages) > self._prune_above:
            self._prune()
        self.passages.update(zip(content.tolist(), passages, strict=True))

    def _prune(self) -> None:
        """Drop the passages that no neuron keeps."""
        self.settle()
        sample_keys = np.unique(np.concatenate([kind.contents() for kind in self._kinds]))
        self.passages = {key: self.passages[key] for key in sample_keys.tolist()}
        self._prune_above = 2 * len(self.passages) + PRUNED_FROM

    @property
    def _kinds(self) -> tuple[Lowest, Lowest, Lowest]:
        return self._top, self._random, self._by_class

    # -------------------------------------------------------------------------------------------------------- merging

    def absorb(self, sketch: Sketch) -> None:
        """Add everything that a sketch of other batches has read.

        Raises:
            NeuroglossError: its neurons or settings differ, or both sketches have read the same batch.
        """
        if (self.neurons, self.settings) != (sketch.neurons, sketch.settings):
            raise NeuroglossError(
                "the parts of a collection have different neurons or settings; collect all of them anew."
            )
        if self._batch_bits & sketch._batch_bits:
            raise NeuroglossError(
                "two parts of a collection have read the same batch; give each worker its own number."
            )
        sketch.settle()
        self._batch_bits |= sketch._batch_bits
        self.read += sketch.read
        self.text ^= sketch.text
        self.threads = max(self.threads, sketch.threads)
        for kind, sketch_kind in zip(self._kinds, sketch._kinds, strict=True):
            kind.add(sketch_kind.found())
        self.passages |= sketch.passages
        self._prune()
        for name in ("_class_counts", "_firing", "_active", "token_counts"):
            getattr(self, name)[...] += getattr(sketch, name)
        np.maximum(self._maximum, sketch._maximum, out=self._maximum)
        self._powers.absorb(sketch._powers)
        self._absolute.absorb(sketch._absolute)
        self._token_sums.absorb(sketch._token_sums)

    # ---------------------------------------------------------------------------------------------------------- state

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sketch as arrays; they do not depend on the order or the workers in which the batches came."""
        self._prune()
        token_ids = np.flatnonzero(self.token_counts)
        keys = np.array(sorted(self.passages), dtype=np.uint64)
        passages = [self.passages[key] for key in keys.tolist()]
        batch_bits = self._batch_bits.to_bytes((self._batch_bits.bit_length() + 7) // 8, "little")
        arrays: dict[str, npt.NDArray[Any]] = {
            "done": np.frombuffer(batch_bits, dtype=np.uint8),
            "read": np.array(self.read),
            "text": np.array(self.text, dtype=np.uint64),
            "threads": np.array(self.threads),
            "class_counts": self._class_counts,
            "firing": self._firing,
            "active": self._active,
            "maximum": self._maximum,
            "powers": self._powers.words,
            "absolute": self._absolute.words,
            "tokens": token_ids,
            "token_counts": self.token_counts[token_ids],
            "token_sums": self._token_sums.words[:, token_ids],
            "passage_sources": _packed(passage.source for passage in passages),
            "passage_digests": _packed(passage.digest for passage in passages),
            "passage_ids": np.array([passage.token_ids for passage in passages], dtype=np.int32),
        }
        for name, kind in zip(_KINDS, self._kinds, strict=True):
            arrays |= {f"{name}_{column}": values for column, values in vars(kind.found()).items()}
        return arrays

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Fill this empty sketch from a state of the same neurons and settings."""
        self._batch_bits = int.from_bytes(state["done"].tobytes(), "little")
        self.read = int(state["read"])
        self.text = int(state["text"])
        self.threads = int(state["threads"])
        self._class_counts[...] = state["class_counts"]
        self._firing[...] = state["firing"]
        self._active[...] = state["active"]
        self._maximum[...] = state["maximum"]
        self._powers.words[...] = state["powers"]
        self._absolute.words[...] = state["absolute"]
        self.token_counts[state["tokens"]] = state["token_counts"]
        self._token_sums.words[:, state["tokens"]] = state["token_sums"]
        columns = zip(
            _unpacked(state["passage_sources"]),
            state["passage_ids"].tolist(),
            _unpacked(state["passage_digests"]),
            strict=True,
        )
        passages = [Passage(source, tuple(ids), digest) for source, ids, digest in columns]
        self.passages = {content_key(passage): passage for passage in passages}
        for name, kind in zip(_KINDS, self._kinds, strict=True):
            if len(state[f"{name}_group"]):
                kind.add(Entries(**{column.name: state[f"{name}_{column.name}"] for column in fields(Entries)}))

    # -------------------------------------------------------------------------------------------------------- reading

    @property
    def firing(self) -> Places:
        """Number of passages whose maximum is above 0, for each neuron [neurons]."""
        return self._firing

    @property
    def fraction_active(self) -> FloatArray:
        """Share of scored positions above 0, for each neuron [neurons]."""
        return self._active / max(1, self.positions)

    @property
    def positions(self) -> int:
        """Number of scored positions that were read."""
        return self.read * (self.settings.tokens - self.settings.leading)

    def token_sums(self, tokens: Places, place: int) -> FloatArray:
        """Return the sum of activations of the neuron at ``place`` over each of ``tokens``, by token id [tokens]."""
        return self._token_sums.total((tokens, place))

    def top(self, place: int) -> Kept:
        """Return the passages of largest maximum of the neuron at ``place``, largest first."""
        return _kept(self._top.found(place, place + 1))

    def random(self, place: int) -> Kept:
        """Return a uniform sample of all passages in the order of the draw; its first n are a uniform sample too."""
        return _kept(self._random.found(place, place + 1))

    def strata(self, place: int) -> list[Stratum]:
        """Return samples of the passages of the neuron at ``place`` by quantile of their maximum, lowest stratum first.

        A stratum is a run of whole classes of maxima, so the lowest draws of its classes include its own lowest draws.
        """
        counts = self._class_counts[place]
        below = np.concatenate([[0], np.cumsum(counts)])  # number of passages below each class
        cuts = [int(np.abs(below[:-1] - quantile * self.read).argmin()) for quantile in QUANTILES]
        entries = self._by_class.found(place * CLASSES, (place + 1) * CLASSES)
        classes = entries.group - place * CLASSES
        strata = []
        for first, last in pairwise([0, *cuts, CLASSES]):
            inside = np.flatnonzero((classes >= first) & (classes < last))
            lowest = inside[np.lexsort((entries.content[inside], entries.order[inside]))][: self.settings.quantile]
            passages = Kept(entries.content[lowest], entries.values[lowest])
            strata.append(Stratum(kernels.lower_edge(first), int(counts[first:last].sum()), passages))
        return strata

    def moments(self, place: int) -> Moments:
        """Return the moments of the neuron at ``place`` over all scored positions; skewness and kurtosis are 0 if the
        variance is."""
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
            positive_share=self._positive_share(place),
        )

    def _positive_share(self, place: int) -> float | None:
        """Return the share of the absolute activation that lies above 0; None where the kind of unit has one side."""
        absolute = float(self._absolute.total((place,)))
        if self.neurons[place].kind not in TWO_SIDED or absolute == 0:
            return None
        return min(1.0, max(0.0, (1 + float(self._powers.total((0, place))) / absolute) / 2))


_KINDS = ("top", "random", "by_class")


def _kept(entries: Entries) -> Kept:
    return Kept(entries.content, entries.values)


# ---------------------------------------------------------------------------------------------------- keys and marks


def content_key(passage: Passage) -> int:
    """Return the first 64 bits of a passage's digest."""
    return digest_key(passage.digest)


def digest_key(digest: str) -> int:
    """Return the first 64 bits of a digest in hexadecimal."""
    return int(digest[:16], 16)


def text_mark(number: int, passages: Sequence[Passage]) -> int:
    """Return a 64-bit hash of a batch: of its number and of the sources, token ids and texts of its passages.

    A sketch stores only the numbers of its batches, which identify passages as long as the corpus is the same. The
    marks of batches, joined by exclusive or in any order, show whether two corpora are equal.
    """
    header = "\x00".join([str(number), *(text for passage in passages for text in (passage.source, passage.digest))])
    ids = np.array([passage.token_ids for passage in passages], dtype="<i8")
    digest = hashlib.blake2b(header.encode("utf-8", "surrogatepass") + ids.tobytes(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def neuron_keys(neurons: Sequence[Unit], seed: int) -> Keys:
    """Return a key for each neuron that makes its draws independent of those of other neurons [neurons]."""
    names = np.array(list(map(_number, neurons)), dtype=np.uint64)
    keys: Keys = kernels.mixed(kernels.mixed(names) + np.uint64(seed % 2**64))
    return keys


def _number(unit: Unit) -> int:
    """Return a 64-bit number of a unit, another one for each unit of its kind."""
    if not unit.name:
        return unit.place << 32 | unit.index
    return int.from_bytes(hashlib.blake2b(unit.name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


# -------------------------------------------------------------------------------------------------------------- helpers


@dataclass(frozen=True, eq=False)
class _DeviceBatch:
    """Batch of one layer on an accelerator: its activations and their reduction."""

    places: slice
    content: Keys
    activations: torch.Tensor
    highest: torch.Tensor
    totals: torch.Tensor
    finite: torch.Tensor


def _fetched(tensors: Sequence[torch.Tensor]) -> list[npt.NDArray[Any]]:
    """Return tensors of one type as arrays, copied from the accelerator at once."""
    flat = torch.cat([tensor.flatten() for tensor in tensors]).cpu().numpy()
    pieces = np.split(flat, np.cumsum([tensor.numel() for tensor in tensors])[:-1])
    return [values.reshape(tensor.shape) for values, tensor in zip(pieces, tensors, strict=True)]


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Token ids of a batch's scored positions, sorted so that values can be summed by token.

    Attributes:
        order: positions, sorted by token [positions].
        first: index in ``order`` at which each token begins [distinct tokens].
        distinct: distinct tokens, ascending [distinct tokens].
        counts: occurrences of each token [distinct tokens].
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
        """Return sums by token [distinct tokens, neurons] of values [positions, neurons]."""
        totals: FloatArray = np.add.reduceat(values[self.order], self.first, axis=0)
        return totals


def _by_layer(layers: Sequence[int]) -> list[tuple[int, slice]]:
    """Return each layer with the slice of its neurons among all neurons, whose layers are in ascending order."""
    distinct, first, counts = np.unique(layers, return_index=True, return_counts=True)
    return [
        (int(layer), slice(int(start), int(start + count)))
        for layer, start, count in zip(distinct, first, counts, strict=True)
    ]


def _packed(texts: Any) -> npt.NDArray[np.uint8]:
    """Return texts as one array of bytes: UTF-8, with a NUL after each."""
    return np.frombuffer("".join(f"{text}\x00" for text in texts).encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _unpacked(packed: npt.NDArray[np.uint8]) -> list[str]:
    return packed.tobytes().decode("utf-8", "surrogatepass").split("\x00")[:-1]
