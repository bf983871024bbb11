"""One pass over a corpus: the excerpts and the statistics of a sample of neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from harness.subjects.corpora import Corpus, Cutting, Passage, TextModel, passages
from harness.subjects.neurons import Candidates, NeuronSample, choose
from harness.subjects.sketch import Kept, Sketch, SketchSettings, text_mark
from harness.subjects.state import StateFile
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


def _since_first(default: Any) -> Any:
    """A setting that the first tasks did not have: theirs name it only where it is not as it always was then."""
    return field(default=default, metadata={"left out at default": True})


@dataclass(frozen=True)
class CollectionSettings:
    """What is collected of each neuron.

    Attributes:
        excerpt_tokens: the length of an excerpt.
        leading: first positions of an excerpt left out of ranking and statistics.
        top: how many excerpts of largest maximum; a neuron that fires on fewer is dead or nearly so, and not taken.
        random: how many excerpts drawn uniformly from the rest.
        minimum_token_count: tokens seen less often in the corpus are left out of the sums by token.
        excerpts: how many excerpts of the corpus are read; None reads all there are.
        batch_size: how many excerpts are read together; it can enter the last bits of activations.
        seed: decides the draw of random excerpts.
        quantile: how many excerpts are drawn uniformly from each stratum of maxima, cut near the quantiles 0.5, 0.9,
            0.99 and 0.999; 0 for none.
        minimum_active: a neuron above 0 on a smaller share of positions is nearly dead, and not taken.
        start_token: whether an excerpt begins with the tokenizer's start token.
        across_documents: whether an excerpt may go on in the next document.
        token_sums: whether sums by token are kept; they take 16 bytes a neuron and distinct token.
    """

    excerpt_tokens: int = 64
    leading: int = 1
    top: int = 20
    random: int = 15
    minimum_token_count: int = 3
    excerpts: int | None = None
    batch_size: int = 32
    seed: int = 0
    quantile: int = _since_first(0)
    minimum_active: float = _since_first(0.0)
    start_token: bool = _since_first(False)
    across_documents: bool = _since_first(False)
    token_sums: bool = _since_first(True)

    def __post_init__(self) -> None:
        if not 0 <= self.leading < self.excerpt_tokens:
            raise NeuroglossError(
                f"collect.leading is {self.leading}, which leaves nothing of {self.excerpt_tokens} tokens; lower it."
            )
        if min(self.top, self.random, self.batch_size) < 1:
            raise NeuroglossError("collect.top, collect.random and collect.batch_size must be at least 1; raise them.")
        if self.quantile < 0 or not 0 <= self.minimum_active <= 1:
            raise NeuroglossError("collect.quantile must be at least 0, and collect.minimum_active from 0 to 1.")
        if self.excerpts is not None and self.excerpts < self.top + self.random:
            raise NeuroglossError(
                f"collect.excerpts is {self.excerpts}, and a neuron needs {self.top} top and {self.random} random "
                "ones; raise it, or write null to read all there are."
            )
        if self.start_token and self.excerpt_tokens < 2:
            raise NeuroglossError("collect.excerpt_tokens is 1, all of it the start token; raise it.")

    @property
    def written(self) -> dict[str, Any]:
        """As a task says it: settings that the first tasks did not have stand there only where they say something."""
        return {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if not (one.metadata.get("left out at default") and getattr(self, one.name) == one.default)
        }


@dataclass(frozen=True, eq=False)
class Collection:
    """What a collection gives: all that a task is made of.

    Attributes:
        subject: the model that was read.
        settings: as they were asked for.
        records: one for each neuron, in the order of layers.
        rejected: candidates passed over because they fire on too few excerpts or positions.
        excerpts: how many distinct excerpts the corpus gave.
        distinct_tokens: how many token texts stand at their scored positions; 0 where no sums by token are kept.
        threads: the most that the processor's arithmetic ran on for any batch; sums, and so sampled text, can depend on
            it.
    """

    subject: Identity
    settings: CollectionSettings
    records: tuple[NeuronRecord, ...]
    rejected: tuple[NeuronId, ...]
    excerpts: int
    distinct_tokens: int
    threads: int


@dataclass(frozen=True)
class Share:
    """What one of several workers reads: every batch whose number leaves ``worker`` when divided by ``workers``.

    Every worker walks through the whole corpus, which is cheap beside reading it on the subject: so duplicates are
    dropped, and batches made, the same way by each.
    """

    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.worker < self.workers:
            raise NeuroglossError(
                f"worker is {self.worker} and workers {self.workers}; workers are numbered from 0 to workers - 1."
            )


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
    def context(self) -> int:
        """The most tokens that a sequence may have."""
        ...

    @property
    def start_token(self) -> int:
        """The token that the tokenizer puts before a text."""
        ...

    def visit(
        self,
        columns: Mapping[int, Sequence[int]],
        sequences: Sequence[tuple[int, ...]],
        see: Callable[[int, torch.Tensor], None],
    ) -> None:
        """Run sequences of one length, and show ``see`` each layer of ``columns`` in turn: (layer, activations of its
        neurons ``columns[layer]``, float32 [sequences, tokens, neurons]), which are only valid while it sees them."""
        ...

    def token_text(self, token_id: int) -> str:
        """What a token adds to a text that goes on with it."""
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
    sketch = blank(subject, groups, settings)
    read(sketch, subject, corpus, settings, progress=progress)
    return finished(sketch, subject, groups, settings)


def collect_share(  # noqa: PLR0913  # the same, and where its parts are kept
    subject: ReadableModel,
    corpus: Corpus,
    sample: NeuronSample,
    settings: CollectionSettings,
    *,
    states: Sequence[StateFile],
    worker: int = 0,
    progress: Progress = lambda *_: None,
) -> Collection | None:
    """The same in several parts, of which this worker reads one, each kept in its own state file as it is read.

    Whoever ends last merges all parts; the collection is the same, bit for bit, as that of a single worker.

    Args:
        subject: the model that is read.
        corpus: the text that it is read on.
        sample: which of its neurons.
        settings: what is kept of them.
        states: one file for each worker.
        worker: which of them this is.
        progress: told how far it is.

    Returns:
        The collection; None where other workers have yet to end.

    Raises:
        NeuroglossError: as :func:`collect`, a state cannot be read or written, or a part was read from another text;
            what was saved last is kept.
    """
    groups = sample.candidates(subject.shape)
    own = blank(subject, groups, settings)
    whole = states[worker].restore(own)
    if whole is None:
        share = Share(worker, len(states))
        whole = read(own, subject, corpus, settings, share=share, state=states[worker], progress=progress)
    for number, state in enumerate(states):
        if number != worker:
            part = blank(subject, groups, settings)
            theirs = state.restore(part)
            if theirs is None:
                return None
            if theirs != whole:
                raise NeuroglossError(
                    f"{state.path} was read from another text than {states[worker].path}; give every worker the same "
                    "corpus, delete the part of the other one, and run its worker again."
                )
            own.absorb(part)
    return finished(own, subject, groups, settings)


def blank(subject: ReadableModel, groups: Sequence[Candidates], settings: CollectionSettings) -> Sketch:
    """A sketch of all candidates that has read nothing.

    Raises:
        NeuroglossError: the subject does not take excerpts as long as asked for, or there is no room for the sketch.
    """
    if settings.excerpt_tokens > subject.context:
        raise NeuroglossError(
            f"collect.excerpt_tokens is {settings.excerpt_tokens}, and the subject reads {subject.context} tokens at "
            "most; lower it."
        )
    neurons = sorted(neuron for group in groups for neuron in group.neurons)
    kept = SketchSettings(
        top=settings.top,
        random=settings.random,
        quantile=settings.quantile,
        tokens=settings.excerpt_tokens,
        leading=settings.leading,
        vocabulary=subject.vocabulary if settings.token_sums else 0,
        seed=settings.seed,
    )
    try:
        return Sketch(neurons, kept)
    except MemoryError as error:
        raise NeuroglossError(
            f"there is no room in memory for {len(neurons)} neurons with sums for each of {kept.vocabulary} tokens, "
            f"which take up to {16e-9 * len(neurons) * kept.vocabulary:.1f} GB; write collect.token_sums=false, or "
            "sample fewer neurons."
        ) from error


def read(  # noqa: PLR0913  # what is read, how, and where it is kept meanwhile
    sketch: Sketch,
    subject: ReadableModel,
    corpus: Corpus,
    settings: CollectionSettings,
    *,
    share: Share = Share(),
    state: StateFile | None = None,
    progress: Progress = lambda *_: None,
) -> int:
    """Read a worker's share of the corpus, but what ``sketch`` has read before, and save it as it goes.

    Returns:
        The mark of the whole text, by which that of another worker is known to be the same.

    Raises:
        NeuroglossError: the corpus cannot be read, ends before ``settings.excerpts`` or is not the one that was read
            before; what was read is saved. Or a token or an activation is not one that can be kept.
    """
    columns = sketch.columns
    saving = _Saving(sketch, state)
    whole = own = 0
    for number, batch in enumerate(saving.before_failure(_batches(subject, corpus, settings, progress))):
        mark = text_mark(number, batch)
        whole ^= mark
        if number % share.workers == share.worker:
            if not sketch.has(number):
                saving.check_text(own)
                _check_ids(batch, subject.vocabulary)
                subject.visit(columns, [passage.token_ids for passage in batch], sketch.opened(number, batch))
                saving.grown()
            own ^= mark
    saving.check_text(own)
    sketch.settle()
    saving.save(whole)
    return whole


def _batches(
    subject: ReadableModel, corpus: Corpus, settings: CollectionSettings, progress: Progress
) -> Iterator[list[Passage]]:
    """The passages of a corpus, as many as are read together at a time."""
    cutting = Cutting(
        settings.excerpt_tokens, subject.start_token if settings.start_token else None, settings.across_documents
    )
    found = passages(corpus.documents(subject, progress), cutting, subject.token_text)
    given = 0
    for batch in _batched(islice(found, settings.excerpts), settings.batch_size):
        given += len(batch)
        if len(batch) < settings.batch_size and given < (settings.excerpts or 0):
            break  # the corpus ended early, and this batch would be another one on a larger corpus
        yield batch
        # How much a corpus holds is not known before its end: until then, a batch more than has been read.
        progress("reading activations", given, settings.excerpts or given + settings.batch_size)
    progress("reading activations", given, given)
    if settings.excerpts is not None and given < settings.excerpts:
        raise NeuroglossError(
            f"the corpus ended after {given} of {settings.excerpts} excerpts of {settings.excerpt_tokens} tokens; use "
            "a larger corpus, or lower collect.excerpts (null reads all there are)."
        )


@dataclass(eq=False)
class _Saving:
    """Saves a sketch as it grows, where it has a state file."""

    sketch: Sketch
    state: StateFile | None
    unsaved: int = 0

    def grown(self) -> None:
        """Save what was read, every so many batches."""
        self.unsaved += 1
        if self.state is not None and self.unsaved >= self.state.every:
            self.save()

    def save(self, whole: int | None = None) -> None:
        """Save what was read; all of it, where the mark of the whole text is known."""
        if self.state is not None:
            self.state.save(self.sketch, whole)
        self.unsaved = 0

    def before_failure(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Hand on batches; where the next one cannot be had, what was read so far is saved first."""
        try:
            yield from batches
        except Exception:
            if self.unsaved:
                self.save()
            raise

    def check_text(self, own: int) -> None:
        """Refuse a corpus whose batches, up to now, have other marks together than those that the sketch has read."""
        if own != self.sketch.text:
            raise NeuroglossError(
                "the text is not the one that was read before: the corpus has changed, or was sampled otherwise; "
                f"restore it, or delete {'the state' if self.state is None else self.state.path} to begin anew."
            )


def _check_ids(batch: Sequence[Passage], vocabulary: int) -> None:
    """Refuse a token that the subject does not have, as a tokenizer larger than its embedding gives."""
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
    """The collection that a sketch of the whole corpus holds.

    Raises:
        NeuroglossError: the corpus was too small, or too few candidates fire.
    """
    needed = settings.top + settings.random
    if sketch.read < needed:
        raise NeuroglossError(
            f"the corpus gives {sketch.read} distinct excerpts of {settings.excerpt_tokens} tokens, and a neuron needs "
            f"{settings.top} top and {settings.random} random ones; use a larger corpus."
        )
    place = {neuron: number for number, neuron in enumerate(sketch.neurons)}
    lives = (sketch.firing >= settings.top) & (sketch.fraction_active >= settings.minimum_active)
    activity = {
        neuron: float(share)
        for neuron, share, living in zip(sketch.neurons, sketch.fraction_active, lives, strict=True)
        if living
    }
    taken, rejected = choose(groups, activity)
    sums = _TextSums.of(sketch, [place[neuron] for neuron in taken], subject.token_text, settings.minimum_token_count)
    return Collection(
        subject=subject.identity,
        settings=settings,
        records=tuple(
            _record(_Excerpts(sketch, subject.token_text, settings), neuron, place[neuron], sums.of_neuron(column))
            for column, neuron in enumerate(taken)
        ),
        rejected=tuple(rejected),
        excerpts=sketch.read,
        distinct_tokens=sums.distinct,
        threads=sketch.threads,
    )


@dataclass(frozen=True, eq=False)
class _Excerpts:
    """Makes excerpts of what a sketch keeps."""

    sketch: Sketch
    token_text: Callable[[int], str]
    settings: CollectionSettings

    def of(self, kept: Kept, kind: ExcerptKind, weight: float) -> tuple[Excerpt, ...]:
        """Each passage kept as an excerpt that stands for ``weight`` passages of the corpus."""
        found = [self.sketch.passages[key] for key in kept.content.tolist()]
        return tuple(
            self._one(passage, values, kind, weight)
            for passage, values in zip(found, kept.activations.tolist(), strict=True)
        )

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


def _record(make: _Excerpts, neuron: NeuronId, place: int, sums: TokenSums) -> NeuronRecord:
    """What the sketch holds of one neuron; the random excerpts are the first drawn that are not among the top."""
    sketch, settings = make.sketch, make.settings
    top, drawn = sketch.top(place), sketch.random(place)
    rest = np.flatnonzero(~np.isin(drawn.content, top.content))[: settings.random]
    strata = sketch.strata(place) if settings.quantile else []
    return NeuronRecord(
        neuron=neuron,
        top=make.of(top, ExcerptKind.TOP, 1.0),
        random=make.of(
            Kept(drawn.content[rest], drawn.activations[rest]),
            ExcerptKind.RANDOM,
            (sketch.read - settings.top) / settings.random,
        ),
        moments=sketch.moments(place),
        token_sums=sums,
        by_quantile=tuple(
            make.of(one.kept, ExcerptKind.QUANTILE, one.count / max(1, len(one.kept.content))) for one in strata
        ),
        quantile_boundaries=tuple(one.lower for one in strata[1:]),
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
    def of(
        cls, sketch: Sketch, places: Sequence[int], token_text: Callable[[int], str], minimum_count: int
    ) -> _TextSums:
        """Gather the sketch's sums by token id, for the neurons at ``places``, under the texts of the ids, sorted."""
        ids = np.flatnonzero(sketch.token_counts)
        texts, group = np.unique(np.array([token_text(int(one)) for one in ids], dtype=object), return_inverse=True)
        counts = np.zeros(len(texts), dtype=np.int64)
        sums = np.zeros((len(texts), len(places)))
        np.add.at(counts, group, sketch.token_counts[ids])
        for column, place in enumerate(places):
            np.add.at(sums[:, column], group, sketch.token_sums(ids, place))
        kept = np.flatnonzero(counts >= minimum_count)
        return cls(tuple(texts[kept].tolist()), counts[kept], sums[kept], len(texts))

    def of_neuron(self, column: int) -> TokenSums:
        """The sums of one neuron, as the values that a task holds."""
        return TokenSums(self.texts, self.counts, self.sums[:, column].copy())


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
