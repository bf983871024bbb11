"""The parts of a run as Python gives them: options of ``conf/`` by their names, nodes, and objects of the program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from harness.api import objects
from harness.config.build import USE
from harness.guards.printing import shortened
from harness.types import NeuroglossError

Parts = str | Mapping[str, Any] | Sequence[Any] | object
"""One part or several: a name, an object, a list of these, or a mapping from names of rows to objects and nodes."""

_OPTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
"""The name of a file of ``conf/``, without its ending."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""The name of a row's part in a config."""


@dataclass(frozen=True)
class ChosenParts:
    """The parts of one group of a config.

    Attributes:
        group: of the config, such as ``explainer_model``.
        names: of all parts, in their order.
        nodes: those of them that are no options of ``conf/``, by name.
    """

    group: str
    names: tuple[str, ...]
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def override(self) -> str:
        """The override that chooses the options of ``conf/``."""
        return f"{self.group}=[{','.join(name for name in self.names if name not in self.nodes)}]"

    def put_into(self, config: DictConfig) -> None:
        """Add the nodes to a composed config, all parts in their order.

        Raises:
            NeuroglossError: a node holds what is no plain value.
        """
        group = config[self.group]
        with open_dict(config):
            for name in [name for name in self.names if name in self.nodes or name in group]:
                group[name] = _plain(self, name) if name in self.nodes else group.pop(name)


def choose(group: str, parts: Parts, argument: str) -> ChosenParts:
    """Return the parts that were given for a group of the config.

    Args:
        group: ``explainer``, ``explainer_model`` or ``simulator``.
        parts: as :data:`Parts` says.
        argument: the name of the argument that they were given as, for messages.

    Raises:
        NeuroglossError: a part is none of the group, or two have one name.
    """
    pairs = _pairs(parts, argument)
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise NeuroglossError(
                f"{argument} has two parts called {name}; write {argument}={{'NAME': ...}} to name each."
            )
    kind = group.rpartition("_")[2]
    nodes = {name: _node(kind, part, f"{argument}[{name!r}]") for name, part in pairs if not isinstance(part, str)}
    for name in names:
        _check_name(name, argument, is_option=name not in nodes)
    return ChosenParts(group, tuple(names), nodes)


def options(group: str, names: str | Sequence[str], argument: str) -> str:
    """Return the override that chooses options of a group of ``conf/``, where objects are not taken.

    Raises:
        NeuroglossError: a name can be none of an option.
    """
    choices: list[Any] = list(names) if isinstance(names, list | tuple) else [names]
    for name in choices:
        _check_name(name, argument, is_option=True)
    return f"{group}=[{','.join(choices)}]"


def _pairs(parts: Parts, argument: str) -> list[tuple[str, Any]]:
    """Return each part with its name."""
    if isinstance(parts, Mapping):
        for name, part in parts.items():
            if isinstance(part, str) and part != name:
                raise NeuroglossError(
                    f"{argument}[{name!r}] is the text {shortened(repr(part))}; options of conf/ keep their names, so "
                    f"write {argument}=[{part!r}], or give an object."
                )
        return [(str(name), part) for name, part in parts.items()]
    members = list(parts) if isinstance(parts, list | tuple) else [parts]
    if any(isinstance(part, Mapping) for part in members):
        raise NeuroglossError(f"{argument} lists a node that has no name; write {argument}={{'NAME': {{...}}}}.")
    return [(part if isinstance(part, str) else objects.name_of(part), part) for part in members]


def _node(kind: str, part: object, where: str) -> Mapping[str, Any]:
    return part if isinstance(part, Mapping) and USE in part else objects.node_of(kind, part, where)


def _check_name(name: str, argument: str, is_option: bool) -> None:
    if not isinstance(name, str) or not (_OPTION if is_option else _KEY).fullmatch(name):
        advice = f"write the name of a file of conf/ without its ending, or {argument}={{'NAME': object}}"
        raise NeuroglossError(f"{argument} names {shortened(repr(name))}, which can be no name; {advice}.")


def _plain(parts: ChosenParts, name: str) -> DictConfig:
    try:
        return OmegaConf.create(dict(parts.nodes[name]))
    except OmegaConfBaseException as error:
        raise NeuroglossError(
            f"the node {name} of {parts.group} is not of plain values ({shortened(str(error))}); give an object in its "
            "place."
        ) from error
