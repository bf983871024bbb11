"""The explainers of a run: its methods, each with each of the models that methods ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.config import build
from harness.config.settings import AskingSettings, RunSettings
from harness.types import NeuroglossError

MODEL = "model"
"""The argument by which a method takes the language model that it asks."""

SEPARATOR = " · "


@dataclass(frozen=True)
class ExplainerNode:
    """An explainer of a run, not yet built.

    Attributes:
        name: of its row, ``METHOD · MODEL``, or ``METHOD`` where no model is asked.
        method: its key in ``explainer``.
        model: the key in ``explainer_model`` of the model that it asks, or the name of the method's own model; empty
            where no model is asked.
        node: the checked node that builds it.
        lent: the keys within it at which the model of ``explainer_model`` stands.
    """

    name: str
    method: str
    model: str
    node: Mapping[str, Any]
    lent: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its key in the config."""
        return f"explainer.{self.method}"

    def key_of(self, place: str) -> str:
        """Return where a part of it that stands at ``place`` is set in the config."""
        return f"explainer_model.{self.model}" if place in self.lent else place


def explainer_nodes(settings: RunSettings) -> list[ExplainerNode]:
    """Return the explainers of a run in the order of its config, each checked.

    A method that asks a model is a row for each of ``explainer_model``, or a single row where its node names a model
    of its own. Where its node leaves out how to ask (``candidates``, ``temperature``, ``seed``), it asks as the
    settings of the run say.

    Raises:
        NeuroglossError: a node does not fit its class, a method has no model to ask, or two rows have one name.
    """
    for name, model in settings.explainer_model.items():
        build.check(model, f"explainer_model.{name}", "model")
        build.assemble(model, f"explainer_model.{name}")  # a constructor refuses what its types allow
    nodes = [row for method, node in settings.explainer.items() for row in _rows(method, node, settings)]
    for name, count in Counter(row.name for row in nodes).items():
        if count > 1:
            raise NeuroglossError(f"{count} explainers are called {name!r}; give one of their nodes another key.")
    return nodes


def _rows(method: str, node: Mapping[str, Any], settings: RunSettings) -> Iterator[ExplainerNode]:
    """Yield the rows of a method: for each model, or a single one."""
    where = f"explainer.{method}"
    build.class_of(node, where, "explainer")
    completed = _asking(node, where, settings)
    lent = tuple(_without_model(node, where))
    if not lent:
        build.check(completed, where)
        model = " + ".join(dict.fromkeys(_own_models(node)))
        yield ExplainerNode(_row_name(method, model), method, model, completed)
        return
    if not settings.explainer_model:
        raise NeuroglossError(
            f"{where} asks a model, and explainer_model names none; add explainer_model=NAME, or "
            f"+model@{where}.{MODEL}=NAME for this method alone."
        )
    for name, model_node in settings.explainer_model.items():
        filled = _with_model(completed, where, model_node)
        build.check(filled, where)
        yield ExplainerNode(_row_name(method, name), method, name, filled, lent)


def _row_name(method: str, model: str) -> str:
    return f"{method}{SEPARATOR}{model}" if model else method


def _asks(node: Mapping[str, Any], where: str) -> bool:
    """Return whether the class of a node must be given a model."""
    argument = build.parameters(build.class_of(node, where)).get(MODEL)
    return argument is not None and argument.default is build.NO_DEFAULT


def _inner(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the nodes within a node, by key."""
    return {key: value for key, value in node.items() if build.is_node(value)}


def _without_model(node: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield the keys at which a node, or a node within it, must be given a model, and has none."""
    if _asks(node, where) and MODEL not in node:
        yield f"{where}.{MODEL}"
    for key, value in _inner(node).items():
        yield from _without_model(value, f"{where}.{key}")


def _with_model(node: Mapping[str, Any], where: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node with the model in every place that leaves it out."""
    inner = {key: _with_model(value, f"{where}.{key}", model) for key, value in _inner(node).items()}
    missing = {MODEL: model} if _asks(node, where) and MODEL not in node else {}
    return {**node, **inner, **missing}


def _asking(node: Mapping[str, Any], where: str, settings: RunSettings) -> dict[str, Any]:
    """Return a node that says how its models are asked: every method of a run on the same terms."""
    inner = {key: _asking(value, f"{where}.{key}", settings) for key, value in _inner(node).items()}
    cls = build.class_of(node, where)
    terms = _terms(settings.asking, settings.seed) if _asks(node, where) else {}
    return {**{key: value for key, value in terms.items() if key in build.parameters(cls)}, **node, **inner}


def _terms(asking: AskingSettings, seed: int) -> dict[str, Any]:
    return {**asdict(asking), "seed": seed}


def _own_models(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the models that a node brings itself."""
    for key, value in _inner(node).items():
        if key == MODEL:
            yield str(value.get("name") or value[build.USE].partition("/")[2])
        else:
            yield from _own_models(value)
