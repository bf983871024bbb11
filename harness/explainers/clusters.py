"""One explanation for each cluster of excerpts, for neurons with several meanings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial import distance

from harness.explainers.joined import combine
from harness.explainers.shared.levels import ShownTokens, shown_tokens
from harness.types import Evidence, Excerpt, Explainer, Explanation, FloatArray, NeuroglossError, Role
from harness.types.grouping import regrouped


@dataclass(eq=False)
class Clusters:
    """Explainer that lets ``explainer`` explain each cluster of the train excerpts, and joins the explanations.

    The distance of two excerpts is one minus the cosine of their sums of levels by token: it is small if the neuron
    fires on the same tokens in both. The linkage is average.

    Attributes:
        explainer: the explainer of each cluster.
        clusters: the largest number of clusters.
        cut: the distance above which clusters are merged only to keep to that number.
        separator: the text between two explanations.
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
        """Return one explanation for each neuron, in order: those of its clusters, the strongest first."""
        clusters_by_neuron = [self.split(item) for item in evidence]
        explanations = self.explainer.explain([cluster for clusters in clusters_by_neuron for cluster in clusters])
        return [combine(parts, self.separator) for parts in regrouped(explanations, clusters_by_neuron)]

    def split(self, evidence: Evidence) -> list[Evidence]:
        """Return the evidence of each cluster; all of it as one if fewer than two excerpts fire."""
        firing = [excerpt for excerpt in evidence.excerpts if excerpt.maximum > 0]
        if len(firing) < 2:
            return [evidence]
        labels = self._labels(profiles(shown_tokens(firing)))
        excerpts_by_label: dict[int, list[Excerpt]] = {}
        for label, excerpt in zip(labels, firing, strict=True):
            excerpts_by_label.setdefault(label, []).append(excerpt)
        clusters = sorted(
            excerpts_by_label.values(), key=lambda excerpts: -max(excerpt.maximum for excerpt in excerpts)
        )
        return [replace(evidence, excerpts=tuple(excerpts)) for excerpts in clusters]

    def _labels(self, vectors: FloatArray) -> list[int]:
        """Return the cluster of each excerpt from the profiles [excerpts, tokens]."""
        tree = hierarchy.linkage(distance.pdist(vectors, "cosine").clip(0.0, 1.0), "average")
        count = int(hierarchy.fcluster(tree, self.cut, "distance").max())
        # Excerpts without a common token are all equally far apart; only a cut by number separates them.
        return [int(label) for label in hierarchy.cut_tree(tree, n_clusters=[min(count, self.clusters)])[:, 0]]


def profiles(excerpts: Sequence[ShownTokens]) -> FloatArray:
    """Return the sum of levels of each token in each excerpt [excerpts, tokens], ignoring case and outer spaces.

    An excerpt that fires only below level 1 has a one in a separate column.
    """
    firing = [[(token.strip().casefold(), level) for token, level in excerpt if level > 0] for excerpt in excerpts]
    column = {token: place for place, token in enumerate(sorted({token for pairs in firing for token, _ in pairs}))}
    sums = np.zeros((len(excerpts), len(column) + len(excerpts)))
    for row, pairs in enumerate(firing):
        for token, level in pairs:
            sums[row, column[token]] += level
        sums[row, len(column) + row] = not pairs
    return sums
