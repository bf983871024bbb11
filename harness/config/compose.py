"""Composition of configs by Hydra: schemas, search path, and plain values with the digest that names a run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.config import plugins, sentences
from harness.config.build import check_value, unknown_key
from harness.config.settings import OPEN, AuditSettings, CollectSettings, RunSettings, StudySettings, TuneSettings
from harness.config.tasks import task_options, unit_option
from harness.files import shipped
from harness.types import NeuroglossError

SCHEMAS = {
    "run": RunSettings,
    "collect": CollectSettings,
    "audit": AuditSettings,
    "study": StudySettings,
    "tune": TuneSettings,
}
"""The settings of each config of ``conf/``."""

NOT_PART_OF_A_RUN = ("output", "store", "track", "publish")
"""Keys that say where results go, not what they are: two runs that differ only here are the same run."""

NAMES_A_FILE = ("file", "path", "plugins")
"""Keys whose values may name a file; its content enters the digest of a run."""


def composed(name: str, overrides: Sequence[str], folders: Sequence[Path] = ()) -> DictConfig:
    """Return the config ``conf/<name>.yaml`` with ``overrides``, as Hydra composes it for one job.

    Args:
        name: ``run``, ``collect``, ``audit``, ``study`` or ``tune``.
        overrides: as on the command line; plugins that they name are loaded.
        folders: further folders of configs, searched last (``--config-dir``).

    Raises:
        NeuroglossError: Hydra refuses an override, which is named with what to write instead.
    """
    parsed = [sentences.parsed(text) for text in overrides]
    plugins.load(_named_plugins(parsed))
    register(folders)
    with searching(folders), initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        sentences.check_lists(name, parsed)
        try:
            config = compose(name, complete(overrides))
        except sentences.REFUSALS as error:
            sentences.check_choices(name, parsed)
            raise NeuroglossError(sentences.refusal(name, overrides, error)) from error
    plugins.load(config.get("plugins") or ())
    return config


def complete(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of one job with those that its task brings; what hands over to Hydra itself needs these."""
    return [*overrides, *_units_of_a_folder([sentences.parsed(text) for text in overrides])]


def jobs(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each job of a sweep (``explainer=a,b``), in the order of Hydra's sweeper."""
    choices = [_choices(sentences.parsed(text)) for text in overrides]
    return [list(choice) for choice in itertools.product(*choices)]


def register(folders: Sequence[Path] = ()) -> None:
    """Make known to Hydra what ``conf/`` builds on: the schemas, the frozen tasks, and the configs of plugins.

    :func:`composed` does it by itself; a command that hands over to Hydra does it before.

    Args:
        folders: further folders of configs that Hydra will search (``--config-dir``).
    """
    store = ConfigStore.instance()
    for name, settings in SCHEMAS.items():
        if f"{name}_schema.yaml" not in store.repo:
            store.store(f"{name}_schema", schema(settings))
    store.repo.pop("task", None)
    for name, option in task_options([shipped("conf"), *plugins.conf_folders(), *folders]).items():
        store.store(name, option, group="task", package="_global_")
    Plugins.instance().register(PluginConfigs)


class PluginConfigs(SearchPathPlugin):
    """Adds the configs of plugins, and of ``--config-dir``, behind those that ship."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append a place for each folder."""
        for folder in (*plugins.conf_folders(), *_FOLDERS):
            search_path.append("neurogloss", f"file://{folder}")


@functools.cache
def schema(settings: type) -> type:
    """Return an open twin of a frozen settings dataclass, nested ones included: Hydra cannot override a frozen one.

    A field with ``open`` in its metadata has no default there, so that a config can ask for its value by ``???``.
    """
    hints = typing.get_type_hints(settings)
    twins = [(item.name, *_twin(hints[item.name], item)) for item in dataclasses.fields(settings)]
    return dataclasses.make_dataclass(settings.__name__, twins)


def settings_from(kind: type[Any], values: Mapping[str, Any], where: str = "") -> Any:
    """Return the frozen settings of ``kind`` from a resolved plain mapping.

    Raises:
        NeuroglossError: a key does not exist, or a value is of another type or out of range.
    """
    hints = typing.get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            raise NeuroglossError(unknown_key(f"{where}{name}", names))
        is_group = dataclasses.is_dataclass(hints[name])
        check_value(f"{where}{name}", value, dict if is_group else hints[name])
        arguments[name] = settings_from(hints[name], value, f"{where}{name}.") if is_group else value
    return kind(**arguments)


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the config with every interpolation resolved, as plain values.

    Raises:
        NeuroglossError: a key is open, or an interpolation leads nowhere.
    """
    missing = sorted(open_keys(config))
    if missing:
        settings = " ".join(f"{key}=VALUE" for key in missing)
        raise NeuroglossError(f"the config leaves {' and '.join(missing)} open; add {settings} to the command.")
    try:
        return typing.cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        reason = sentences.first_line(str(error)).rstrip(".")
        raise NeuroglossError(f"the config cannot be resolved: {error.full_key}: {reason}.") from error


def open_keys(config: DictConfig) -> list[str]:
    """Return the keys that the user must fill in, and no key that takes its value from another."""
    return list(_open_keys(OmegaConf.to_container(config), ""))


def config_hash(config: Mapping[str, Any]) -> str:
    """Return a digest of everything in the config that can change results; a run's folder is named by it.

    The content of a file enters it too, where a key of :data:`NAMES_A_FILE` names it.

    Raises:
        NeuroglossError: a file cannot be read.
    """
    values = {key: value for key, value in config.items() if key not in NOT_PART_OF_A_RUN}
    digests = {f"{where} {name}": digest for where, name, digest in _file_digests(values, "")}
    return hashlib.sha256(json.dumps([values, digests], sort_keys=True).encode()).hexdigest()[:12]


def file_digests(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of each file that a run is fed by its config, by the key that names it."""
    values = {key: value for key, value in config.items() if key not in NOT_PART_OF_A_RUN}
    return {where: digest for where, _, digest in _file_digests(values, "")}


# ----------------------------------------------------------------------------------------------- the search path

_FOLDERS: list[Path] = []
"""Folders of configs that one composition searches beside those of plugins."""


@contextmanager
def searching(folders: Sequence[Path]) -> Iterator[None]:
    """Search further folders of configs within the context."""
    places = [Path(folder).expanduser().resolve() for folder in folders]
    for place in places:
        if not place.is_dir():
            raise NeuroglossError(f"there is no folder {place} of configs; correct --config-dir.")
    _FOLDERS[:] = places
    try:
        yield
    finally:
        _FOLDERS.clear()


def _named_plugins(overrides: Sequence[Override]) -> list[str]:
    """Return the plugins that overrides name; their configs are needed to compose the rest."""
    values = [item.value() for item in overrides if item.key_or_group == "plugins" and not item.is_sweep_override()]
    return [str(name) for value in values if isinstance(value, list) for name in value]


def _units_of_a_folder(overrides: Sequence[Override]) -> list[str]:
    """Return how the units of a task are read that is named by its folder, unless the overrides say it themselves."""
    values = {item.key_or_group: item.value() for item in overrides if not item.is_sweep_override()}
    folder = values.get("task.path")
    option = unit_option(Path(folder).expanduser()) if isinstance(folder, str) and "unit" not in values else None
    return [f"unit={option}"] if option else []


def _choices(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


# ----------------------------------------------------------------------------------------------- schemas, digests


def _twin(hint: Any, item: dataclasses.Field[Any]) -> tuple[Any, Any]:
    """Return the type and the default of a field in the open twin."""
    if dataclasses.is_dataclass(hint):
        twin = schema(typing.cast("type", hint))
        return twin, field(default_factory=twin)
    if item.default_factory is not dataclasses.MISSING:
        return hint, field(default_factory=item.default_factory)
    return hint, field(default=OPEN if item.metadata.get("open") else item.default)


def _open_keys(value: object, where: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _open_keys(item, f"{where}.{key}".lstrip("."))
    elif value == OPEN:
        yield where


def _file_digests(value: object, where: str, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the place, the name and the sha256 of each file that a config names under one of the keys that can."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _file_digests(item, f"{where}.{name}".lstrip("."), name)
    elif isinstance(value, list):
        for item in value:
            yield from _file_digests(item, where, key)
    elif isinstance(value, str) and key in NAMES_A_FILE:
        path = Path(value).expanduser()
        if path.is_file():
            yield where, value, _digest(path, where)
        elif path.is_dir():
            yield where, value, _digest_of_folder(path, where)


def _digest_of_folder(folder: Path, where: str) -> str:
    """Return a digest of the names and contents of all files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = [[path.relative_to(folder).as_posix(), _digest(path, where)] for path in paths]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _digest(path: Path, where: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NeuroglossError(f"{where} names {path}, which cannot be read: {error.strerror}.") from error
