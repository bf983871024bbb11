"""Collection of the excerpts and statistics of a sample of neurons in one pass over a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from harness.collect.corpora import Corpus, Cutting, Passage, TextModel, passages
from harness.collect.sample import Candidates, UnitSample, choose
from harness.collect.sketch import Kept, Sketch, SketchSettings, digest_key, text_mark
from harness.collect.state import StateFile
from harness.tasks.collected import Collection, CollectionSettings
from harness.tasks.splits import apart
from harness.types import (
    Excerpt,
    ExcerptKind,
    FloatArray,
    Identity,
    NeuroglossError,
    Progress,
    TokenSums,
    Unit,
    UnitLayout,
    UnitRecord,
)

Item = TypeVar("Item")


DEFAULT = CollectionSettings()
CHECKED_TOKENS = 4000
"""Number of tokens at the beginning of a corpus on which a dictionary is tried."""
DRAWS = 4
"""Random excerpts are sought among so many times the draws that are needed, where they may not be nearly the same."""


@dataclass(frozen=True)
class Share:
    """Batches that one of several workers reads: those whose number modulo ``workers`` is ``worker``.

    Every worker iterates over the whole corpus, which is cheap compared with running the subject. So all workers drop
    the same duplicates and form the same batches.
    """

    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.worker < self.workers:
            raise NeuroglossError(
                f"worker is {self.worker} and workers {self.workers}; workers are numbered from 0 to workers - 1."
            )


class ReadableModel(TextModel, Protocol):
    """Interface of a subject from which activations are collected."""

    @property
    def identity(self) -> Identity:
        """Identity of the model."""
        ...

    @property
    def units(self) -> UnitLayout:
        """The units that there are."""
        ...

    @property
    def context(self) -> int:
        """Largest number of tokens in a sequence."""
        ...

    @property
    def start_token(self) -> int:
        """Id of the token that the tokenizer puts before a text."""
        ...

    @property
    def can_check_units(self) -> bool:
        """Whether the units can turn out not to fit the model."""
        ...

    def check_units(self, sequences: Sequence[tuple[int, ...]]) -> None:
        """Refuse units that do not fit the model, tried on sequences of one length [sequences, tokens]."""
        ...

    def visit(
        self,
        columns: Mapping[int, Sequence[int]],
        sequences: Sequence[tuple[int, ...]],
        see: Callable[[int, torch.Tensor], None],
    ) -> None:
        """Run sequences of one length and pass the activations of each layer to ``see``.

        Args:
            columns: indices of the neurons to read, by layer.
            sequences: token ids [sequences, tokens].
            see: called once for each layer with the layer and the activations of its neurons ``columns[layer]``,
                float32 [sequences, tokens, neurons]; the tensor is valid only during the call.
        """
        ...

    def token_text(self, token_id: int) -> str:
        """Return the text that a token adds when it continues a text."""
        ...


def collect(
    subject: ReadableModel,
    corpus: Corpus,
    sample: UnitSample,
    settings: CollectionSettings = DEFAULT,
    progress: Progress = lambda *_: None,
) -> Collection:
    """Read a corpus once and return the records of the sampled neurons.

    Raises:
        NeuroglossError: the corpus is too small, too few candidates fire, or an activation is not finite.
    """
    groups = sample.candidates(subject.units)
    sketch = blank(subject, groups, settings)
    read(sketch, subject, corpus, settings, progress=progress)
    return finished(sketch, subject, groups, settings)


def collect_share(  # noqa: PLR0913  # the arguments of collect, and the state files
    subject: ReadableModel,
    corpus: Corpus,
    sample: UnitSample,
    settings: CollectionSettings,
    *,
    states: Sequence[StateFile],
    worker: int = 0,
    progress: Progress = lambda *_: None,
) -> Collection | None:
    """Read one worker's share of a corpus into its state file; the last worker to finish returns the collection.

    The last worker merges all shares. The collection is identical, bit for bit, to that of a single worker.

    Args:
        subject: the model that is read.
        corpus: the text on which it is read.
        sample: the neurons that are read.
        settings: settings of the collection.
        states: one state file for each worker.
        worker: index of this worker in ``states``.
        progress: called with the progress.

    Returns:
        The collection, or None if other workers have not finished.

    Raises:
        NeuroglossError: as :func:`collect`; or a state file cannot be read or written; or two shares come from
            different texts. The last saved state is kept.
    """
    groups = sample.candidates(subject.units)
    sketch = blank(subject, groups, settings)
    mark = states[worker].restore(sketch)
    if mark is None:
        share = Share(worker, len(states))
        mark = read(sketch, subject, corpus, settings, share=share, state=states[worker], progress=progress)
    for number, state in enumerate(states):
        if number != worker:
            worker_sketch = blank(subject, groups, settings)
            worker_mark = state.restore(worker_sketch)
            if worker_mark is None:
                return None
            if worker_mark != mark:
                raise NeuroglossError(
                    f"{state.path} was read from another text than {states[worker].path}; give every worker the same "
                    "corpus, delete the file of the worker that read another one, and run that worker again."
                )
            sketch.absorb(worker_sketch)
    return finished(sketch, subject, groups, settings)


def blank(subject: ReadableModel, groups: Sequence[Candidates], settings: CollectionSettings) -> Sketch:
    """Return an empty sketch of all candidates.

    Raises:
        NeuroglossError: excerpts are longer than the subject's context, or memory is too small for the sketch.
    """
    if settings.excerpt_tokens > subject.context:
        raise NeuroglossError(
            f"collect.excerpt_tokens is {settings.excerpt_tokens}, and the subject reads {subject.context} tokens at "
            "most; lower it."
        )
    units = sorted(unit for group in groups for unit in group.units)
    sketch_settings = SketchSettings(
        top=max(settings.top, settings.top_pool),
        random=settings.random,
        pool=settings.hard_pool if settings.hard and settings.token_sums else 0,
        quantile=settings.quantile,
        tokens=settings.excerpt_tokens,
        leading=settings.leading,
        vocabulary=subject.vocabulary if settings.token_sums else 0,
        seed=settings.seed,
    )
    gigabytes = 16e-9 * len(units) * sketch_settings.vocabulary
    try:
        return Sketch(units, sketch_settings, subject.units.address)
    except MemoryError as error:
        raise NeuroglossError(
            f"there is no room in memory for {len(units)} {subject.units.noun}s with sums for each of "
            f"{sketch_settings.vocabulary} tokens, which take up to {gigabytes:.1f} GB; write "
            "collect.token_sums=false, or sample fewer of them."
        ) from error


def read(  # noqa: PLR0913  # the arguments of collect, the share, and its state file
    sketch: Sketch,
    subject: ReadableModel,
    corpus: Corpus,
    settings: CollectionSettings,
    *,
    share: Share = Share(),
    state: StateFile | None = None,
    progress: Progress = lambda *_: None,
) -> int:
    """Read the batches of a share that ``sketch`` lacks, and save the sketch at intervals.

    Returns:
        The mark of the whole text; two workers read the same corpus if their marks are equal.

    Raises:
        NeuroglossError: the corpus cannot be read, ends before ``settings.excerpts``, or differs from the one in
            ``sketch``, and what was read is saved; or a token id or an activation is invalid.
    """
    columns = sketch.columns
    saving = _Saving(sketch, state)
    corpus_mark = share_mark = 0
    batches = _batches(subject, corpus, settings, progress)
    checked = _checked(batches, subject) if subject.can_check_units else batches
    for number, batch in enumerate(saving.before_failure(checked)):
        mark = text_mark(number, batch)
        corpus_mark ^= mark
        if number % share.workers == share.worker:
            if not sketch.has(number):
                saving.check_text(share_mark)
                _check_ids(batch, subject.vocabulary)
                subject.visit(columns, [passage.token_ids for passage in batch], sketch.opened(number, batch))
                saving.grown()
            share_mark ^= mark
    saving.check_text(share_mark)
    sketch.settle()
    saving.save(corpus_mark)
    return corpus_mark


def _batches(
    subject: ReadableModel, corpus: Corpus, settings: CollectionSettings, progress: Progress
) -> Iterator[list[Passage]]:
    """Yield the passages of a corpus in batches of ``settings.batch_size``."""
    cutting = Cutting(
        settings.excerpt_tokens, subject.start_token if settings.start_token else None, settings.across_documents
    )
    corpus_passages = passages(corpus.documents(subject, progress), cutting, subject.token_text)
    count = 0
    for batch in _batched(islice(corpus_passages, settings.excerpts), settings.batch_size):
        count += len(batch)
        if len(batch) < settings.batch_size and count < (settings.excerpts or 0):
            break  # the corpus ended early; on a larger corpus, this batch would contain more passages
        yield batch
        # The size of a corpus is unknown before its end: until then, the total is one batch more than was read.
        progress("reading activations", count, settings.excerpts or count + settings.batch_size)
    progress("reading activations", count, count)
    if settings.excerpts is not None and count < settings.excerpts:
        raise NeuroglossError(
            f"the corpus ended after {count} of {settings.excerpts} excerpts of {settings.excerpt_tokens} tokens; use "
            "a larger corpus, or lower collect.excerpts (null reads the whole corpus)."
        )


def _checked(batches: Iterator[list[Passage]], subject: ReadableModel) -> Iterator[list[Passage]]:
    """Yield batches, after the first :data:`CHECKED_TOKENS` tokens of them have shown that the units fit the model."""
    first: list[list[Passage]] = []
    count = 0
    while count < CHECKED_TOKENS and (batch := next(batches, None)):
        first.append(batch)
        count += sum(len(passage.token_ids) for passage in batch)
    if first:
        subject.check_units([passage.token_ids for batch in first for passage in batch])
    yield from first
    yield from batches


@dataclass(eq=False)
class _Saving:
    """Saving of a sketch at intervals, if it has a state file."""

    sketch: Sketch
    state: StateFile | None
    unsaved: int = 0

    def grown(self) -> None:
        """Count one more batch, and save the sketch after every ``state.interval`` batches."""
        self.unsaved += 1
        if self.state is not None and self.unsaved >= self.state.interval:
            self.save()

    def save(self, corpus_mark: int | None = None) -> None:
        """Save the sketch; ``corpus_mark`` marks it as complete."""
        if self.state is not None:
            self.state.save(self.sketch, corpus_mark)
        self.unsaved = 0

    def before_failure(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Yield batches; if the next one raises an error, save the sketch first."""
        try:
            yield from batches
        except Exception:
            if self.unsaved:
                self.save()
            raise

    def check_text(self, mark: int) -> None:
        """Refuse a corpus if ``mark``, joined from its batches so far, differs from that of the batches in the
        sketch."""
        if mark != self.sketch.text:
            raise NeuroglossError(
                "the text is not the one that was read before: the corpus has changed, or was sampled differently; "
                f"restore it, or delete {'the state' if self.state is None else self.state.path} to begin anew."
            )


def _check_ids(batch: Sequence[Passage], vocabulary: int) -> None:
    """Refuse a token id outside the subject's vocabulary, which a tokenizer larger than the embedding gives."""
    for passage in batch:
        largest = max(passage.token_ids)
        if largest >= vocabulary:
            raise NeuroglossError(
                f"the excerpt {passage.source} has token id {largest}, outside the {vocabulary} tokens of the subject; "
                "use the tokenizer that belongs to it."
            )


def finished(
    sketch: Sketch, subject: ReadableModel, groups: Sequence[Candidates], settings: CollectionSettings
) -> Collection:
    """Return the collection that a sketch of the whole corpus holds.

    Raises:
        NeuroglossError: the corpus is too small, or too few candidates fire.
    """
    minimum = settings.top + settings.random
    if sketch.read < minimum:
        raise NeuroglossError(
            f"the corpus gives {sketch.read} distinct excerpts of {settings.excerpt_tokens} tokens, and a neuron needs "
            f"{settings.top} top and {settings.random} random ones; use a larger corpus."
        )
    place = {neuron: number for number, neuron in enumerate(sketch.neurons)}
    alive = (sketch.firing >= settings.top) & (sketch.fraction_active >= settings.minimum_active)
    make = _Excerpts(sketch, subject.token_text, settings)
    if settings.top_pool:
        alive[alive] = [make.are_enough(number) for number in np.flatnonzero(alive).tolist()]
    activity = {
        neuron: float(share)
        for neuron, share, is_alive in zip(sketch.neurons, sketch.fraction_active, alive, strict=True)
        if is_alive
    }
    neurons, rejected = choose(groups, activity)
    sums = _TextSums.of(sketch, [place[neuron] for neuron in neurons], subject.token_text, settings.minimum_token_count)
    return Collection(
        subject=subject.identity,
        settings=settings,
        records=tuple(_record(make, neuron, place[neuron], sums, column) for column, neuron in enumerate(neurons)),
        rejected=tuple(rejected),
        excerpts=sketch.read,
        distinct_tokens=sums.distinct,
        threads=sketch.threads,
    )


@dataclass(frozen=True, eq=False)
class _Excerpts:
    """Factory that makes excerpts of the passages in a sketch."""

    sketch: Sketch
    token_text: Callable[[int], str]
    settings: CollectionSettings

    def of(self, sample: Kept, kind: ExcerptKind, weight: float) -> tuple[Excerpt, ...]:
        """Return each passage of a sample as an excerpt that stands for ``weight`` passages of the corpus."""
        members = [self.sketch.passages[key] for key in sample.content.tolist()]
        return tuple(
            self._one(passage, values, kind, weight)
            for passage, values in zip(members, sample.activations.tolist(), strict=True)
        )

    def top_and_random(self, place: int) -> tuple[tuple[Excerpt, ...], tuple[Excerpt, ...]]:
        """Return the top and the random excerpts of one neuron; the random ones are the first of the draw that are not
        among the top.

        With ``settings.top_pool``, no two of them share a run of tokens, and there may be too few.
        """
        settings, sketch = self.settings, self.sketch
        draws = sketch.random(place).first((settings.top + settings.random) * (DRAWS if settings.top_pool else 1))
        top_pool = self.of(sketch.top(place), ExcerptKind.TOP, 1.0)
        random_pool = self.of(draws, ExcerptKind.RANDOM, (sketch.read - settings.top) / settings.random)
        if settings.top_pool:
            top = apart(top_pool, ())[: settings.top]
            return top, apart(random_pool, top)[: settings.random]
        digests = {excerpt.digest for excerpt in top_pool}
        random = [excerpt for excerpt in random_pool if excerpt.digest not in digests]
        return top_pool, tuple(random[: settings.random])

    def are_enough(self, place: int) -> bool:
        """Return whether one neuron has all of its top excerpts, firing on each, and all of its random ones."""
        top, random = self.top_and_random(place)
        return (len(top), len(random)) == (self.settings.top, self.settings.random) and top[-1].maximum > 0

    def _one(self, passage: Passage, values: Sequence[float], kind: ExcerptKind, weight: float) -> Excerpt:
        return Excerpt(
            tokens=tuple(map(self.token_text, passage.token_ids)),
            token_ids=passage.token_ids,
            activations=tuple(values),
            kind=kind,
            weight=weight,
            source=passage.source,
            leading=self.settings.leading,
        )


def _record(make: _Excerpts, neuron: Unit, place: int, sums: _TextSums, column: int) -> UnitRecord:
    """Return the record of one neuron."""
    sketch, settings = make.sketch, make.settings
    top, random = make.top_and_random(place)
    strata = sketch.strata(place) if settings.quantile else []
    return UnitRecord(
        unit=neuron,
        top=top,
        random=random,
        hard=_hard(make, sketch.random(place), sums.excess_by_id(column), (*top, *random)),
        moments=sketch.moments(place),
        token_sums=sums.of_neuron(column),
        by_quantile=tuple(
            make.of(stratum.passages, ExcerptKind.QUANTILE, stratum.count / max(1, len(stratum.passages.content)))
            for stratum in strata
        ),
        quantile_boundaries=tuple(stratum.lower for stratum in strata[1:]),
    )


def _hard(make: _Excerpts, pool: Kept, excess: FloatArray, excerpts: Sequence[Excerpt]) -> tuple[Excerpt, ...]:
    """Return the hard excerpts of one neuron, the hardest first; none without sums by token.

    Of the pool, they are neither top nor random, nor near-duplicates of any excerpt of the neuron; their maximum is
    below the median or not above 0; and of such they hold the tokens of highest mean activation over the corpus, all
    above the neuron's mean. A neuron that fires wherever its tokens stand has none.

    Args:
        make: makes excerpts.
        pool: uniform sample of all passages, in the order of the draw; the random excerpts are among the first of it.
        excess: mean activation by token id above that of all tokens, minus infinity for rare ones [vocabulary].
        excerpts: the top and the random excerpts.
    """
    settings, sketch = make.settings, make.sketch
    keys = np.array([digest_key(excerpt.digest) for excerpt in excerpts], dtype=np.uint64)
    rest = np.flatnonzero(~np.isin(pool.content, keys))
    if not settings.hard or not len(rest) or not len(excess):
        return ()
    ids = np.array([sketch.passages[key].token_ids for key in pool.content[rest].tolist()])
    hardness = excess[ids[:, settings.leading :]].max(axis=1)
    maxima = pool.activations[:, settings.leading :].max(axis=1)
    order = np.argsort(-hardness, kind="stable")
    is_silent = (maxima < np.median(maxima)) | (maxima <= 0)
    order = order[is_silent[rest[order]] & (hardness[order] > 0)]
    weight = (sketch.read - settings.top - settings.random) / len(rest)
    candidates = make.of(Kept(pool.content[rest[order]], pool.activations[rest[order]]), ExcerptKind.HARD, weight)
    return apart(candidates, excerpts)[: settings.hard]


@dataclass(frozen=True, eq=False)
class _TextSums:
    """Sums by token text: ids that decode to the same text (usually byte fragments) count as one token.

    Attributes:
        texts: frequent token texts [texts]; shared, with their counts, by all records.
        counts: occurrences of each text [texts].
        sums: sums of activations [texts, neurons].
        distinct: number of all token texts, rare ones included.
        place_by_id: index in ``texts`` of each token id, -1 for one that is rare or was not read [vocabulary].
    """

    texts: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    sums: npt.NDArray[np.float64]
    distinct: int
    place_by_id: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, sketch: Sketch, places: Sequence[int], token_text: Callable[[int], str], minimum_count: int
    ) -> _TextSums:
        """Sum the sketch's sums by token id over ids of the same text, for the neurons at ``places``; texts are
        sorted."""
        ids = np.flatnonzero(sketch.token_counts)
        texts, group = np.unique(
            np.array([token_text(int(token_id)) for token_id in ids], dtype=object), return_inverse=True
        )
        counts = np.zeros(len(texts), dtype=np.int64)
        sums = np.zeros((len(texts), len(places)))
        np.add.at(counts, group, sketch.token_counts[ids])
        for column, place in enumerate(places):
            np.add.at(sums[:, column], group, sketch.token_sums(ids, place))
        frequent = np.flatnonzero(counts >= minimum_count)
        place_by_text = np.full(len(texts), -1)
        place_by_text[frequent] = np.arange(len(frequent))
        place_by_id = np.full(len(sketch.token_counts), -1)
        place_by_id[ids] = place_by_text[group]
        return cls(tuple(texts[frequent].tolist()), counts[frequent], sums[frequent], len(texts), place_by_id)

    def of_neuron(self, column: int) -> TokenSums:
        """Return the sums of one neuron as stored in a record."""
        return TokenSums(self.texts, self.counts, self.sums[:, column].copy())

    def excess_by_id(self, column: int) -> FloatArray:
        """Return by how much one neuron's mean activation at each token id is above that over all that are frequent;
        minus infinity for a rare one [vocabulary]."""
        mean = self.sums[:, column].sum() / max(1, self.counts.sum())
        excess: FloatArray = np.append(self.sums[:, column] / self.counts - mean, -np.inf)[self.place_by_id]
        return excess


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
