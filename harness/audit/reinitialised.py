"""The null of a subject that has learned nothing: the same coordinates of the same architecture with random weights.

Its neurons are read on the excerpts of the task, as if those were the whole corpus, and dealt into top and random ones
anew; the same explainer explains them, and the same simulator scores that. A high score there is no sign of anything
learned (Heap et al. 2025, arXiv 2501.17727).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.subjects.collect import CollectionSettings, ReadableModel, collect
from harness.subjects.corpora import Document, TextModel
from harness.subjects.neurons import Listed
from harness.types import NeuroglossError, NeuronRecord, Progress


@dataclass(frozen=True, eq=False)
class TaskCorpus:
    """The distinct excerpts of some records as a corpus, each a document."""

    records: Sequence[NeuronRecord]

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:  # noqa: ARG002  # the protocol's
        """Every excerpt once, in the order of the records."""
        seen = {excerpt.digest: excerpt for record in self.records for excerpt in record.top + record.random}
        yield from (Document(excerpt.source, excerpt.token_ids) for excerpt in seen.values())


def reread(
    subject: ReadableModel, records: Sequence[NeuronRecord], seed: int, progress: Progress
) -> list[NeuronRecord]:
    """What a task would hold of the same neurons of another subject, had its excerpts been the whole corpus.

    Args:
        subject: it must read the same token ids.
        records: whose excerpts are read, and whose neurons.
        seed: of the draw of random excerpts.
        progress: told how far it is.

    Raises:
        NeuroglossError: the excerpts have no token ids, or a neuron of the subject hardly fires on them.
    """
    shown = records[0].top + records[0].random
    if not all(excerpt.token_ids for record in records for excerpt in record.top + record.random):
        raise NeuroglossError("the task's excerpts have no token ids, so that no other subject can read them.")
    settings = CollectionSettings(
        excerpt_tokens=len(shown[0].tokens),
        leading=shown[0].leading,
        top=len(records[0].top),
        random=len(records[0].random),
        minimum_token_count=1,
        seed=seed,
    )
    listed = Listed([str(record.neuron) for record in records])
    return list(collect(subject, TaskCorpus(records), listed, settings, progress).records)
