"""Composing a config with Hydra, and saying in one sentence what is wrong with one that does not compose."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from harness.build import unknown_key
from harness.config import folder, register
from harness.types import NeuroglossError


def composed(name: str, overrides: Sequence[str]) -> DictConfig:
    """The config ``conf/<name>.yaml`` with ``overrides``, as Hydra composes it for one job.

    Raises:
        NeuroglossError: for an override that Hydra refuses, naming it and what to write instead.
    """
    register()
    with initialize_config_dir(str(folder("conf")), version_base="1.3"):
        try:
            return compose(name, list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise NeuroglossError(_sentence(name, overrides, error)) from error


def jobs(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job of a sweep (``explainer=a,b``), in the order in which Hydra's sweeper launches them."""
    return [list(choice) for choice in itertools.product(*(_choices(_parsed(text)) for text in overrides))]


def _parsed(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise NeuroglossError(f"cannot read {text!r}; an override is written key=value.") from error


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _sentence(name: str, overrides: Sequence[str], error: Exception) -> str:
    """What is wrong with the config: the one override at fault is that without which the rest composes."""
    for text in overrides:
        _parsed(text)
    for index, text in enumerate(overrides):
        rest = [*overrides[:index], *overrides[index + 1 :]]
        try:
            config = compose(name, rest)
        except (HydraException, OmegaConfBaseException):
            continue
        return _fault(text, config, _whole(error))
    return _first_line(_whole(error))


def _fault(text: str, config: DictConfig, message: str) -> str:
    """What is wrong with the override ``text``, without which the rest composes to ``config``."""
    key, _, value = text.lstrip("+~").partition("=")
    options = re.search(r"Available options in '[^']*':\n(.*?)\nConfig search path", message, re.DOTALL)
    if options:
        return f"there is no {key} called {value}; there are: {', '.join(options[1].split())}."
    if re.search(r"Key '.*' (is not|not) in", message):
        return _unknown(key, config)
    meant = re.search(r"Did you mean to override .*\?", message)
    reason = meant or re.search(r"(?:Value |Invalid value assigned: ).*", message)
    return f"{text!r} does not fit: {(reason[0] if reason else _first_line(message)).rstrip('.')}."


def _unknown(key: str, config: DictConfig) -> str:
    """The first part of a dotted key that does not exist, and what was meant by it."""
    parts, known = key.split("."), config
    for depth, part in enumerate(parts, start=1):
        if not isinstance(known, DictConfig) or part not in known:
            names = map(str, known) if isinstance(known, DictConfig) else ()
            return unknown_key(".".join(parts[:depth]), names)
        known = known[part]
    return f"there is no config key {key}."


def _whole(error: BaseException) -> str:
    """Everything that an error and its causes say."""
    said = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        said.append(str(error))
    return "\n".join(said)


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0]
