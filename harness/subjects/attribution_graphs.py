"""Attribution graphs of circuit-tracer, as JSON: groups of transcoder latents, and never the pickles beside it.

A node of a feature is named ``LAYER_FEATURE_POSITION``. ``qParams.supernodes`` are groups that somebody made by hand,
each ``[name, node, node, ...]``; without any, ``qParams.pinnedIds`` are one group. The weight of a latent is 1 over its
largest activation in the graph, so that each counts alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.types import NeuroglossError, Unit

FEATURE = "cross layer transcoder"
"""The type of a node that stands for a latent, of whatever kind of transcoder."""
LETTERS = "S"


def is_graph(content: object) -> bool:
    """Return whether the content of a file is an attribution graph."""
    return isinstance(content, Mapping) and {"metadata", "nodes", "qParams"} <= content.keys()


def groups(content: Mapping[str, Any], path: str) -> dict[str, dict[str, Any]]:
    """Return the groups of a graph: name -> sentence and units, as a file of groups has them.

    Raises:
        NeuroglossError: there is no group of latents in it, or it is damaged.
    """
    try:
        nodes = {str(node["node_id"]): node for node in content["nodes"] if node["feature_type"] == FEATURE}
        prompt, slug = str(content["metadata"]["prompt"]), str(content["metadata"]["slug"])
        pinned = [slug, *content["qParams"]["pinnedIds"]]
        members = {str(name): ids for name, *ids in content["qParams"]["supernodes"] or [pinned]}
        units = {name: _weights(filter(None, map(nodes.get, ids))) for name, ids in members.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NeuroglossError(f"{path} is a damaged attribution graph ({error!r}); export it again.") from error
    table = {
        name: {"sentence": f"part of what follows {prompt!r}", "units": weights}
        for name, weights in units.items()
        if weights
    }
    if not table:
        raise NeuroglossError(
            f"{path} is an attribution graph without groups: nothing in it is pinned, and there are no supernodes; pin "
            "latents in its page, save, and export again."
        )
    return table


def _weights(nodes: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return 1 over the largest activation of each latent over its nodes; those without an activation weigh 1."""
    largest: dict[str, float] = {}
    for node in nodes:
        layer, index, _ = str(node["node_id"]).split("_")
        unit, activation = str(Unit(LETTERS, int(layer), int(index))), float(node.get("activation") or 0.0)
        largest[unit] = max(largest.get(unit, 0.0), activation)
    return {unit: 1 / activation if activation > 0 else 1.0 for unit, activation in largest.items()}
