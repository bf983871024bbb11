"""The null of a subject that has learned nothing: the same coordinates of the same architecture with random weights.

Its units are read on the excerpts of the task, as if those were the whole corpus, and dealt into top and random ones
anew; the same explainer explains them, and the same simulator scores that. A high score there is no sign of anything
learned (Heap et al. 2025, arXiv 2501.17727).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.collect.corpora import Document, TextModel
from harness.collect.corpus_pass import ReadableModel, collect
from harness.collect.sample import Listed
from harness.config.build import USE, is_node
from harness.config.settings import RunSettings
from harness.tasks.collected import CollectionSettings
from harness.types import Excerpt, NeuroglossError, Progress, UnitRecord

REINITIALISED = "subject/reinitialised"
"""The short name of a subject with random weights."""


@dataclass(frozen=True, eq=False)
class TaskCorpus:
    """The distinct excerpts of some records as a corpus, each a document."""

    records: Sequence[UnitRecord]

    def documents(self, model: TextModel, progress: Progress) -> Iterator[Document]:  # noqa: ARG002  # the protocol's
        """Yield every excerpt once, in the order of the records."""
        excerpts = {excerpt.digest: excerpt for record in self.records for excerpt in _excerpts(record)}
        yield from (Document(excerpt.source, excerpt.token_ids) for excerpt in excerpts.values())


def reread(subject: ReadableModel, records: Sequence[UnitRecord], seed: int, progress: Progress) -> list[UnitRecord]:
    """Return what a task would hold of the same units of another subject, had its excerpts been the whole corpus.

    Args:
        subject: it must read the same token ids.
        records: whose excerpts are read, and whose units.
        seed: of the draw of random excerpts.
        progress: is told how far it is.

    Raises:
        NeuroglossError: the excerpts have no token ids, or a unit of the subject hardly fires on them.
    """
    excerpts = _excerpts(records[0])
    if not all(excerpt.token_ids for record in records for excerpt in _excerpts(record)):
        raise NeuroglossError("the task's excerpts have no token ids, so that no other subject can read them.")
    settings = CollectionSettings(
        excerpt_tokens=len(excerpts[0].tokens),
        leading=excerpts[0].leading,
        top=len(records[0].top),
        random=len(records[0].random),
        hard=max(len(record.hard) for record in records),
        minimum_token_count=1,
        seed=seed,
    )
    sample = Listed([str(record.unit) for record in records])
    return list(collect(subject, TaskCorpus(records), sample, settings, progress).records)


def _excerpts(record: UnitRecord) -> tuple[Excerpt, ...]:
    """Return the excerpts that are dealt into splits."""
    return (*record.top, *record.random, *record.hard)


def untrained(settings: RunSettings, seed: int) -> RunSettings:
    """Return the settings of a run with random weights in every subject that it looks into.

    Args:
        settings: of the run.
        seed: of the weights.
    """
    return dataclasses.replace(
        settings,
        subject=_untrained(settings.subject, seed),
        explainer=_untrained(settings.explainer, seed),
        scores=_untrained(settings.scores, seed),
    )


def _untrained(node: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return a node, or nodes by name, with a re-initialised subject in place of each subject."""
    if is_node(node) and str(node[USE]).startswith("subject/"):
        return {USE: REINITIALISED, "trained": dict(node), "seed": seed}
    return {key: _untrained(value, seed) if isinstance(value, Mapping) else value for key, value in node.items()}
