"""Plugins: classes, configs and prompts of one's own, from modules that a config names and no others.

A plugin is a module or a package that can be imported, a ``.py`` file, or an installed entry point of the group
``neurogloss.plugins``. Importing it may call :func:`harness.config.registry.register`; a folder ``conf`` beside it
joins the search path of configs, and its folders ``prompts`` that of prompts.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

from harness.types import NeuroglossError

ENTRY_POINTS = "neurogloss.plugins"
"""The group of entry points whose names a config can use."""


@dataclass(frozen=True)
class Plugin:
    """A plugin that is loaded.

    Attributes:
        name: as the config has it.
        folder: of its module; None for a module without a file.
        package: the folder is the plugin's own.
    """

    name: str
    folder: Path | None
    package: bool


_LOADED: dict[str, Plugin] = {}


def load(names: Iterable[str]) -> None:
    """Import the plugins of a config; those that are loaded already stay as they are.

    Raises:
        NeuroglossError: one cannot be imported, or registers a name that is taken.
    """
    for name in names:
        key = str(Path(name).expanduser().resolve()) if _is_file_name(name) else name
        if key not in _LOADED:
            _LOADED[key] = _plugin(name, _imported(name))


def conf_folders() -> list[Path]:
    """Return the folders of configs that the loaded plugins bring."""
    folders = [plugin.folder / "conf" for plugin in _LOADED.values() if plugin.folder is not None]
    return [folder for folder in folders if folder.is_dir()]


def prompt_folders() -> list[Path]:
    """Return the folders of prompts that the loaded plugins bring: anywhere in a package, or beside a ``.py`` file."""
    folders: list[Path] = []
    for plugin in _LOADED.values():
        if plugin.folder is not None:
            folders += sorted(plugin.folder.rglob("prompts")) if plugin.package else [plugin.folder / "prompts"]
    return [folder for folder in folders if folder.is_dir()]


def _is_file_name(name: str) -> bool:
    return name.endswith(".py")


def _imported(name: str) -> ModuleType:
    """Import a plugin; whatever ends its import is told in one sentence."""
    try:
        return _importer(name)()
    except NeuroglossError as error:
        raise NeuroglossError(f"plugin {name}: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise NeuroglossError(_not_there(name)) from error
        raise NeuroglossError(_broken(name, error)) from error
    except Exception as error:
        raise NeuroglossError(_broken(name, error)) from error


def _importer(name: str) -> Callable[[], ModuleType]:
    if _is_file_name(name):
        return lambda: _import_file(name)
    installed = {entry.name: entry.module for entry in metadata.entry_points(group=ENTRY_POINTS)}
    return lambda: importlib.import_module(installed.get(name, name))


def _import_file(name: str) -> ModuleType:
    """Import a ``.py`` file under a name of its own, by which dataclasses and annotations find it."""
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise NeuroglossError(f"there is no file {path}.")
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"neurogloss_plugin_{path.stem}_{digest}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _plugin(name: str, module: ModuleType) -> Plugin:
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    if folders:
        return Plugin(name, folders[0], package=True)
    file = getattr(module, "__file__", None)
    return Plugin(name, Path(file).parent if file else None, package=False)


def _not_there(name: str) -> str:
    installed = sorted(entry.name for entry in metadata.entry_points(group=ENTRY_POINTS))
    return (
        f"plugin {name} cannot be imported: there is no module of that name; install it, write the path of its .py "
        f"file, or name an installed plugin ({', '.join(installed) or 'there are none'})."
    )


def _broken(name: str, error: Exception) -> str:
    """A sentence on an exception within a plugin, with its line."""
    *_, frame = traceback.extract_tb(error.__traceback__)
    reason, file, line = str(error).partition("\n")[0] or "no message", frame.filename, frame.lineno
    if isinstance(error, SyntaxError):
        reason, file, line = error.msg, error.filename or file, error.lineno
    return f"plugin {name} cannot be imported: {type(error).__name__}: {reason} ({file}, line {line})."
