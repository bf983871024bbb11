"""One pass over a corpus: the excerpts and the statistics of a sample of neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from harness.subjects.corpora import Corpus, TextModel, passages
from harness.subjects.neurons import NeuronSample, choose
from harness.subjects.sketch import Best, Sketch
from harness.types import (
    Excerpt,
    ExcerptKind,
    Identity,
    NeuroglossError,
    NeuronId,
    NeuronRecord,
    Progress,
    TokenSums,
)

Item = TypeVar("Item")


@dataclass(frozen=True)
class CollectionSettings:
    """What is collected of each neuron.

    Attributes:
        excerpt_tokens: the length of an excerpt.
        leading: first positions of an excerpt left out of ranking and statistics.
        top: how many excerpts of largest maximum; a neuron that fires on fewer is not taken.
        random: how many excerpts drawn uniformly from the rest.
        minimum_token_count: tokens seen less often in the corpus are left out of the sums by token.
        excerpts: how many excerpts of the corpus are read at most.
        batch_size: how many excerpts are read together.
        seed: decides the draw of random excerpts.
    """

    excerpt_tokens: int = 64
    leading: int = 1
    top: int = 20
    random: int = 15
    minimum_token_count: int = 3
    excerpts: int | None = None
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.leading < self.excerpt_tokens:
            raise NeuroglossError(
                f"collect.leading is {self.leading}, which leaves nothing of {self.excerpt_tokens} tokens; lower it."
            )
        if min(self.top, self.random, self.batch_size) < 1:
            raise NeuroglossError("collect.top, collect.random and collect.batch_size must be at least 1; raise them.")


@dataclass(frozen=True, eq=False)
class Collection:
    """What a collection gives: all that a task is made of.

    Attributes:
        subject: the model that was read.
        settings: as they were asked for.
        records: one for each neuron, in the order of layers.
        rejected: candidates passed over because they fire on too few excerpts.
        excerpts: how many distinct excerpts the corpus gave.
        distinct_tokens: how many token texts stand at their scored positions.
        threads: how many the processor's arithmetic ran on; sums, and so sampled text, can depend on it.
    """

    subject: Identity
    settings: CollectionSettings
    records: tuple[NeuronRecord, ...]
    rejected: tuple[NeuronId, ...]
    excerpts: int
    distinct_tokens: int
    threads: int


class ReadableModel(TextModel, Protocol):
    """What a collection asks of the subject."""

    @property
    def identity(self) -> Identity:
        """Which model it is."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """(layers, neurons in each layer)."""
        ...

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        ...

    def read(self, neurons: Sequence[NeuronId], sequences: Sequence[tuple[int, ...]]) -> npt.NDArray[np.float32]:
        """Activations [sequences, tokens, neurons] on sequences of one length."""
        ...

    def token_text(self, token_id: int) -> str:
        """The text of one token, decoded alone."""
        ...


def collect(
    subject: ReadableModel,
    corpus: Corpus,
    sample: NeuronSample,
    settings: CollectionSettings = CollectionSettings(),
    progress: Progress = lambda *_: None,
) -> Collection:
    """Read a corpus once and keep, of each neuron sampled, what a task holds.

    Raises:
        NeuroglossError: the corpus is too small, too few candidates fire, or an activation is not a finite number.
    """
    groups = sample.candidates(subject.shape)
    sketch = Sketch(
        [neuron for group in groups for neuron in group.neurons],
        top=settings.top,
        random=settings.random,
        tokens=settings.excerpt_tokens,
        leading=settings.leading,
        vocabulary=subject.vocabulary,
        seed=settings.seed,
    )
    _read(sketch, subject, corpus, settings, progress)
    firing = {neuron for neuron, count in zip(sketch.neurons, sketch.firing, strict=True) if count >= settings.top}
    taken, rejected = choose(groups, firing)
    sums = _TextSums.of(sketch, subject.token_text, settings.minimum_token_count)
    return Collection(
        subject=subject.identity,
        settings=settings,
        records=tuple(_record(sketch, neuron, settings, sums, subject.token_text) for neuron in taken),
        rejected=tuple(rejected),
        excerpts=sketch.read,
        distinct_tokens=sums.distinct,
        threads=torch.get_num_threads(),
    )


def _read(
    sketch: Sketch, subject: ReadableModel, corpus: Corpus, settings: CollectionSettings, progress: Progress
) -> None:
    """Read the corpus into ``sketch``, and check that it was large enough."""
    found = passages(corpus.documents(subject, progress), settings.excerpt_tokens, subject.token_text)
    for batch in _batched(islice(found, settings.excerpts), settings.batch_size):
        sketch.add(batch, subject.read(sketch.neurons, [passage.token_ids for passage in batch]))
        # How much a corpus holds is not known before its end: until then, a batch more than has been read.
        progress("reading activations", sketch.read, settings.excerpts or sketch.read + settings.batch_size)
    progress("reading activations", sketch.read, sketch.read)
    needed = settings.top + settings.random
    if sketch.read < needed:
        raise NeuroglossError(
            f"the corpus gives {sketch.read} distinct excerpts of {settings.excerpt_tokens} tokens, and a neuron needs "
            f"{settings.top} top and {settings.random} random ones; use a larger corpus."
        )


def _record(
    sketch: Sketch,
    neuron: NeuronId,
    settings: CollectionSettings,
    sums: _TextSums,
    token_text: Callable[[int], str],
) -> NeuronRecord:
    """What the sketch holds of one neuron, as excerpts; the random ones are those not among the top."""
    place = sketch.neurons.index(neuron)
    is_top = np.isin(sketch.random.content[place], sketch.top.content[place])
    weight = (sketch.read - settings.top) / settings.random

    def excerpts(best: Best, places: Iterable[int], kind: ExcerptKind, weight: float) -> tuple[Excerpt, ...]:
        return tuple(
            Excerpt(
                tokens=tuple(map(token_text, passage.token_ids)),
                token_ids=passage.token_ids,
                activations=tuple(best.activations[place, one].tolist()),
                kind=kind,
                weight=weight,
                source=passage.source,
                leading=settings.leading,
            )
            for one in places
            for passage in [sketch.passages[int(best.content[place, one])]]
        )

    return NeuronRecord(
        neuron=neuron,
        top=excerpts(sketch.top, range(settings.top), ExcerptKind.TOP, 1.0),
        random=excerpts(sketch.random, np.flatnonzero(~is_top)[: settings.random], ExcerptKind.RANDOM, weight),
        moments=sketch.moments(place),
        token_sums=sums.of_neuron(place),
    )


@dataclass(frozen=True, eq=False)
class _TextSums:
    """Sums by token text: ids that decode to the same text (byte fragments, as a rule) count as one token.

    Attributes:
        texts: those seen often enough [texts]; shared, with their counts, by all records.
        counts: how often [texts].
        sums: [texts, neurons].
        distinct: how many texts were seen at all.
    """

    texts: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    sums: npt.NDArray[np.float64]
    distinct: int

    @classmethod
    def of(cls, sketch: Sketch, token_text: Callable[[int], str], minimum_count: int) -> _TextSums:
        """Gather the sketch's sums by token id under the texts of the ids, in the order of the texts."""
        ids = np.flatnonzero(sketch.token_counts)
        texts, group = np.unique(np.array([token_text(int(one)) for one in ids], dtype=object), return_inverse=True)
        counts = np.zeros(len(texts), dtype=np.int64)
        sums = np.zeros((len(texts), len(sketch.neurons)))
        np.add.at(counts, group, sketch.token_counts[ids])
        np.add.at(sums, group, sketch.token_sums[ids])
        kept = np.flatnonzero(counts >= minimum_count)
        return cls(tuple(texts[kept].tolist()), counts[kept], sums[kept], len(texts))

    def of_neuron(self, place: int) -> TokenSums:
        """The sums of the neuron at ``place``, as the values that a task holds."""
        return TokenSums(self.texts, self.counts, self.sums[:, place].copy())


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
