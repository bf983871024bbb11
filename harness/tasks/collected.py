"""The product of a collection: settings, records and counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.types import Identity, NeuroglossError, Unit, UnitRecord


@dataclass(frozen=True)
class CollectionSettings:
    """Settings of a collection: what is kept of each neuron, and how the corpus is read.

    Attributes:
        excerpt_tokens: length of an excerpt in tokens.
        leading: number of first positions of an excerpt that ranking and statistics ignore.
        top: number of excerpts with the largest maxima; a neuron that fires on fewer is rejected as dead or nearly so.
        random: number of excerpts drawn uniformly from all others.
        minimum_token_count: occurrences that a token needs in the corpus to appear in the sums by token.
        excerpts: number of excerpts read from the corpus; None reads the whole corpus.
        batch_size: number of excerpts read together; it can change the last bits of activations.
        seed: seed of the draw of random excerpts.
        quantile: number of excerpts drawn uniformly from each stratum of maxima; strata are cut near the quantiles 0.5,
            0.9, 0.99 and 0.999; 0 draws none.
        minimum_active: share of positions above 0 that a neuron needs; a neuron below it is rejected as nearly dead.
        start_token: whether an excerpt begins with the tokenizer's start token.
        across_documents: whether an excerpt may continue in the next document.
        token_sums: whether sums by token are kept; they take 16 bytes for each neuron and distinct token.
        hard: number of hard excerpts: those, among ``hard_pool``, on which the neuron hardly fires (its maximum is
            below the median, or not above 0) and that hold the tokens on which it is most active elsewhere. There are
            fewer where a neuron fires wherever its tokens stand, and none without sums by token.
        top_pool: number of excerpts with the largest maxima among which the top ones are sought, so that no two
            excerpts of a neuron, random ones included, share a run of 8 tokens; a neuron with too few of them is
            rejected. 0 takes those with the largest maxima as they are.
        hard_pool: number of excerpts, drawn uniformly for each neuron, among which hard ones are sought; each takes 4
            bytes for each of its tokens.
    """

    excerpt_tokens: int = 64
    leading: int = 1
    top: int = 20
    random: int = 15
    minimum_token_count: int = 3
    excerpts: int | None = None
    batch_size: int = 32
    seed: int = 0
    quantile: int = 0
    minimum_active: float = 0.0
    start_token: bool = False
    across_documents: bool = False
    token_sums: bool = True
    hard: int = 15
    hard_pool: int = 512
    top_pool: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.leading < self.excerpt_tokens:
            raise NeuroglossError(
                f"collect.leading is {self.leading}, which leaves none of {self.excerpt_tokens} tokens; lower it."
            )
        if min(self.top, self.random, self.batch_size) < 1:
            raise NeuroglossError("collect.top, collect.random and collect.batch_size must be at least 1; raise them.")
        if self.quantile < 0 or not 0 <= self.minimum_active <= 1:
            raise NeuroglossError("collect.quantile must be at least 0, and collect.minimum_active from 0 to 1.")
        if not 0 <= self.hard <= self.hard_pool:
            raise NeuroglossError(
                f"collect.hard is {self.hard} and collect.hard_pool {self.hard_pool}; hard excerpts are sought in the "
                "pool, so raise collect.hard_pool, or write collect.hard=0."
            )
        if self.top_pool and self.top_pool < self.top:
            raise NeuroglossError(
                f"collect.top_pool is {self.top_pool} and collect.top {self.top}; raise collect.top_pool, or write 0 "
                "to take the top excerpts as they are."
            )
        if self.excerpts is not None and self.excerpts < self.top + self.random:
            raise NeuroglossError(
                f"collect.excerpts is {self.excerpts}, and a neuron needs {self.top} top and {self.random} random "
                "ones; raise it, or write null to read the whole corpus."
            )
        if self.start_token and self.excerpt_tokens < 2:
            raise NeuroglossError("collect.excerpt_tokens is 1, which leaves room for the start token only; raise it.")

    @property
    def written(self) -> dict[str, Any]:
        """The settings as a task says them."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Collection:
    """Result of a collection, from which a task is made.

    Attributes:
        subject: the model that was read.
        settings: the settings of the collection.
        records: one record for each neuron, sorted by layer and index.
        rejected: candidates rejected because they fire on too few excerpts or positions.
        excerpts: number of distinct excerpts in the corpus.
        distinct_tokens: number of distinct token texts at scored positions; 0 if no sums by token are kept.
        threads: largest number of CPU threads used for any batch; sums, and therefore sampled text, can depend on it.
    """

    subject: Identity
    settings: CollectionSettings
    records: tuple[UnitRecord, ...]
    rejected: tuple[Unit, ...]
    excerpts: int
    distinct_tokens: int
    threads: int
