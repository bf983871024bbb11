"""What is wrong with a config that Hydra does not compose, in one sentence that says what to write instead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from harness.config import registry
from harness.config.build import USE, unknown_key
from harness.types import NeuroglossError

LISTS = ("explainer", "explainer_model", "simulator", "scores", "track")
"""Groups of which a config chooses several options; a single name will do."""

CAN_BE_EMPTY = ("explainer", "explainer_model", "scores", "track")
"""Those of them that a run can do without."""

EXPLAINER_MODELS = "the models of explainers are chosen by explainer_model=NAME"

REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
"""Exceptions by which Hydra refuses a config; a plain ValueError is one of its slips."""


def parsed(text: str) -> Override:
    """Return an override as Hydra reads it.

    Raises:
        NeuroglossError: it cannot be read.
    """
    if text.startswith("="):  # which Hydra takes for a group without a name
        raise NeuroglossError(f"cannot read {text!r}; {_unreadable(text)}.")
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise NeuroglossError(f"cannot read {text!r}; {_unreadable(text)}.") from error


def override(key: str, value: object) -> str:
    """Return the override that sets a key to a value, quoted for Hydra and for the shell."""
    text = f"{key}={'null' if value is None else str(value).lower() if isinstance(value, bool) else value}"
    if isinstance(value, str) and not _reads_as(text, value):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        text = f"{key}='{escaped}'"
    return shlex.quote(text)


def _reads_as(text: str, value: str) -> bool:
    try:
        return bool(parsed(text).value() == value)
    except NeuroglossError:
        return False


def check_lists(name: str, overrides: Sequence[Override]) -> None:
    """Refuse lists that Hydra takes, and that mean nothing: of a group with a single choice, or with a name twice.

    Raises:
        NeuroglossError: naming the override, and what to write instead.
    """
    for override in overrides:
        group, key = override.key_or_group, _key(override)
        names = None if _is_of_hydra(override) or override.is_sweep_override() else override.value()
        if not isinstance(names, list) or "." in group:
            continue
        if any(not isinstance(choice, str) for choice in names) and group in LISTS:
            raise NeuroglossError(f"{key} is a list of names; write {key}=[NAME,NAME].")
        options = [] if group in LISTS else _options(name, group, overrides)
        if options:
            raise NeuroglossError(f"{key} is a single choice, not a list; write {key}=NAME of: {', '.join(options)}.")
        for choice in names if group in LISTS else ():
            if names.count(choice) > 1:
                raise NeuroglossError(f"{key} names {choice} twice; write it once.")


def check_choices(name: str, overrides: Sequence[Override]) -> None:
    """Refuse overrides of groups that choose what does not exist; call it where Hydra is initialised.

    Raises:
        NeuroglossError: naming the options.
    """
    for override in overrides:
        is_of_one_key = "." in override.key_or_group  # no group has a dot in its name, and looking for options is slow
        if is_of_one_key or _is_of_hydra(override) or override.is_sweep_override() or override.is_delete():
            continue
        options = _options(name, override.key_or_group, overrides)
        models = _options(name, "explainer_model", overrides) if override.key_or_group == "explainer" else []
        if options:
            _check_choice(override, options, models)


def refusal(name: str, overrides: Sequence[str], error: Exception) -> str:
    """Return what is wrong with a config: the override at fault is that without which the rest composes."""
    message = _messages(error)
    for index in _likeliest_first(overrides, message):
        try:
            config = compose(name, [*overrides[:index], *overrides[index + 1 :]])
        except REFUSALS:
            continue
        return _fault(overrides[index], config, message)
    return first_line(message)


def _likeliest_first(overrides: Sequence[str], message: str) -> list[int]:
    """Return the places of overrides, those first that a message names: each composition takes a quarter second."""

    def is_named(index: int) -> tuple[bool, bool]:
        text = overrides[index]
        return text in message, text.lstrip("+~").partition("=")[0] in message

    return sorted(range(len(overrides)), key=is_named, reverse=True)


def first_line(message: str) -> str:
    """Return the first line of a message."""
    return message.strip().partition("\n")[0]


def _unreadable(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals or not key:
        return "an override is written key=value"
    if not re.fullmatch(r"[+~]*[\w./@:-]+", key, re.ASCII):
        return "a key has letters from a to z, digits, _ and . alone"
    for opening, closing in ("[]", "{}", "()"):
        if text.count(opening) != text.count(closing):
            return f"a bracket is not closed: {opening} needs {closing}, and the shell needs quotes around them"
    if text.count("'") % 2 or text.count('"') % 2:
        return "a quotation mark is not closed"
    return f"quote its value: '{key}=\"{value}\"'"


# ---------------------------------------------------------------------------------------------- choices of groups


def _is_of_hydra(override: Override) -> bool:
    return str(override.key_or_group).startswith("hydra")


def _key(override: Override) -> str:
    return str(override.get_key_element().lstrip("+"))


def _options(name: str, group: str, overrides: Sequence[Override]) -> list[str]:
    """Return the options of a group in all folders that Hydra searches; none if it is no group."""
    places = [str(override.input_line) for override in overrides if override.key_or_group == "hydra.searchpath"]
    loader = GlobalHydra.instance().config_loader()
    return sorted(loader.get_group_options(group, ObjectType.CONFIG, name, places))


def _check_choice(override: Override, options: Sequence[str], models: Sequence[str]) -> None:
    group, key, choice = override.key_or_group, _key(override), override.value()
    if choice is None:
        raise NeuroglossError(f"{key}=null is no choice; {_no_choice(group, key, options)}")
    names = [str(name) for name in choice] if isinstance(choice, list) else [str(choice)]
    for name in names:
        if name not in options and name in models:
            raise NeuroglossError(f"there is no explainer called {name}, but a model; write explainer_model={name}.")
        if name not in options and (not name or "/" not in name):
            raise NeuroglossError(_no_option(group, key, name, options))


def _no_choice(group: str, key: str, options: Sequence[str]) -> str:
    """Return how to choose nothing of a group, if that can be, and the options."""
    if group in CAN_BE_EMPTY:
        return f"write {key}=[] for none; there are: {', '.join(options)}."
    if "none" in options:
        return f"write {key}=none."
    return f"there are: {', '.join(options)}."


def _no_option(group: str, key: str, name: str, options: Sequence[str]) -> str:
    there_are = registry.meant(name, options)
    if not name:
        return f"{key}= chooses nothing; {_no_choice(group, key, options)}"
    if name == "none" and group in CAN_BE_EMPTY:
        return f"there is no {group} called none; {_no_choice(group, key, options)}"
    if group == "explainer":
        return f"there is no explainer called {name} (a model is chosen by explainer_model=NAME); {there_are}"
    return f"there is no {group} called {name}; {there_are}"


# --------------------------------------------------------------------------------------------- refusals of Hydra


def _fault(text: str, config: DictConfig, message: str) -> str:
    """Return what is wrong with the override ``text``, without which the rest composes to ``config``."""
    key, _, value = text.lstrip("+~").partition("=")
    if re.search(r"Key '.*' (is not|not) in", message):
        return _unknown(key, config)
    places = re.search(r"Did you mean to override one of (.*)\?", message)
    if key.partition("@")[0] == "model":
        return _no_model(text, places[1] if places else "")
    return f"{text!r} does not fit: {_reason(key, value, places, message).rstrip('.')}."


def _reason(key: str, value: str, places: re.Match[str] | None, message: str) -> str:
    if "is not a ListConfig" in message:
        return f"{key} takes a list, so write {key}=[{value}]"
    if "is not Optional" in message:
        return f"{key} needs a value"
    if "Could not delete" in message:
        return _not_left_out(key)
    if "No match in the defaults list" in message:
        return f"nothing is chosen there, so write {key.partition('@')[0]}={value}"
    conversion = re.search(r"(?:Value |Invalid value assigned: ).*", message)
    return places[0] if places else conversion[0] if conversion else first_line(message)


def _not_left_out(key: str) -> str:
    """Return what to write in place of a deletion."""
    if key in CAN_BE_EMPTY:
        return f"write {key}=[]"
    return f"a run needs one, so write {key}=NAME" if key in LISTS else f"no {key} is there to be left out"


def _no_model(text: str, places: str) -> str:
    """Return where the models of a config are chosen."""
    if text.startswith("model@explainer_model."):
        return f"{text!r} does not fit: no model of that name is chosen, so add it by +{text}."
    if text.startswith("model@explainer."):
        return f"{text!r} does not fit: {EXPLAINER_MODELS}, that of a single one by +{text}."
    names = [place for place in places.split(", ") if place and not place.startswith("model@explainer_model.")]
    inner = [f"{place}=NAME" for place in names]
    inner_models = f", those of simulators and scorers by {' or '.join(inner)}" if inner else ""
    return f"{text!r} does not fit: {EXPLAINER_MODELS}{inner_models}."


def _unknown(key: str, config: DictConfig) -> str:
    """Return the first part of a dotted key that does not exist, and what was meant by it."""
    parts, place = key.split("."), config
    if parts[0] not in config and parts[-1] in config:
        return f"there is no config key {key}; did you mean {parts[-1]}?"
    for depth, step in enumerate(parts, start=1):
        if not isinstance(place, DictConfig) or step not in place:
            return _unknown_in(place, ".".join(parts[:depth]))
        place = place[step]
    return f"there is no config key {key}."


def _unknown_in(place: object, key: str) -> str:
    names = [str(name) for name in place] if isinstance(place, DictConfig) else []
    if re.fullmatch(r"explainer\..*\.model", key):
        return f"there is no config key {key}; {EXPLAINER_MODELS}, that of a single one by +model@{key}=NAME."
    sentence = unknown_key(key, names)
    if USE in names and "did you mean" not in sentence:
        return f"{sentence.rstrip('.')}; write +{key}=VALUE for another argument of its class."
    return sentence


def _messages(error: BaseException) -> str:
    """Return the messages of an error and of its causes."""
    messages = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        messages.append(str(error))
    return "\n".join(messages)
