"""One explanation for each cluster of excerpts: what a neuron that means several things needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial import distance

from harness.explainers.joined import together
from harness.explainers.levels import ShownTokens, shown
from harness.types import Evidence, Excerpt, Explainer, Explanation, FloatArray, NeuroglossError, Role


@dataclass(eq=False)
class Clusters:
    """Lets ``explainer`` explain each cluster of the train excerpts by itself, and joins what it says.

    Excerpts are near each other where the neuron fires on the same tokens in them: the distance is one minus the
    cosine of their sums of levels by token, the linkage is average.

    Attributes:
        explainer: what explains a cluster.
        clusters: at most so many.
        cut: excerpts farther apart than this are not joined, while there are no more clusters than that.
        separator: what stands between the explanations.
    """

    explainer: Explainer
    clusters: int = 3
    cut: float = 0.8
    separator: str = "; or "
    role: Role = field(default=Role.EXPLAINER, init=False)

    def __post_init__(self) -> None:
        if self.clusters < 1 or not 0 < self.cut <= 1:
            raise NeuroglossError(
                f"clusters is {self.clusters} and cut {self.cut}; write 1 or more, and a distance above 0, at most 1."
            )

    def explain(self, evidence: Sequence[Evidence]) -> list[Explanation]:
        """One explanation for each neuron, in order: those of its clusters, the strongest first."""
        groups = [self.split(known) for known in evidence]
        told = iter(self.explainer.explain([part for group in groups for part in group]))
        return [together([next(told) for _ in group], self.separator) for group in groups]

    def split(self, evidence: Evidence) -> list[Evidence]:
        """The evidence of each cluster; the whole where fewer than two excerpts fire."""
        firing = [excerpt for excerpt in evidence.excerpts if excerpt.maximum > 0]
        if len(firing) < 2:
            return [evidence]
        labels = self._labels(profiles(shown(firing)))
        found: dict[int, list[Excerpt]] = {}
        for label, excerpt in zip(labels, firing, strict=True):
            found.setdefault(label, []).append(excerpt)
        strongest = sorted(found.values(), key=lambda some: -max(excerpt.maximum for excerpt in some))
        return [replace(evidence, excerpts=tuple(some)) for some in strongest]

    def _labels(self, vectors: FloatArray) -> list[int]:
        """The cluster of each excerpt, given its profile [excerpts, tokens]."""
        tree = hierarchy.linkage(distance.pdist(vectors, "cosine").clip(0.0, 1.0), "average")
        apart = int(hierarchy.fcluster(tree, self.cut, "distance").max())
        # Excerpts that share nothing are all equally far apart, and only a cut by number can tell them apart.
        return [int(label) for label in hierarchy.cut_tree(tree, n_clusters=[min(apart, self.clusters)])[:, 0]]


def profiles(excerpts: Sequence[ShownTokens]) -> FloatArray:
    """The sum of levels of each token in each excerpt [excerpts, tokens]; case and spaces around do not count.

    An excerpt that fires only below level 1 has a one in a column of its own.
    """
    named = [[(token.strip().casefold(), level) for token, level in some if level > 0] for some in excerpts]
    column = {token: place for place, token in enumerate(sorted({token for some in named for token, _ in some}))}
    found = np.zeros((len(excerpts), len(column) + len(excerpts)))
    for row, some in enumerate(named):
        for token, level in some:
            found[row, column[token]] += level
        found[row, len(column) + row] = not some
    return found
