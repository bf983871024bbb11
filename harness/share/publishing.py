"""A run's dataset brought where a person asks for it: to a folder, or to the Hugging Face hub.

Each publication is a revision, named by the task and its digest. One that is there already stays as it is; another one
takes its place only if that is asked for. Nothing is published in which a secret or a path of this machine stands.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.config.settings import PublishSettings
from harness.files import put, sync_tree, unfinished
from harness.guards import secrets
from harness.share import hub, leaks
from harness.share.dataset import FOLDER, MANIFEST, Manifest, file_digest, files_of, published_config, read_manifest
from harness.types import NeuroglossError


def check(settings: PublishSettings, run_id: str = "", config: Mapping[str, object] | None = None) -> None:
    """Refuse, before any work, settings with which :func:`publish` could not publish a run.

    Args:
        settings: where to.
        run_id: of the run, by which an older dataset of it is known; empty if it has none yet.
        config: of the run, in which a path of this machine may stand.

    Raises:
        NeuroglossError: they do not hold, with what to write instead.
    """
    check_place(settings)
    if settings.to == "folder":
        _check_target(settings, run_id)
    if settings.to == "hub":
        _check_access(settings)
    if settings.to != "run" and not settings.shorten_paths:
        _check_config(config or {})


def check_place(settings: PublishSettings) -> None:
    """Refuse settings that name no place, or one that is not asked for; their token is a secret from now on.

    Raises:
        NeuroglossError: they do, with what to write instead.
    """
    secrets.watch(settings.token_env)
    if settings.to != "hub" and settings.repo_id:
        raise NeuroglossError("publish.repo_id is given, but nothing goes to the hub; write publish=hub as well.")
    if settings.to != "folder" and settings.folder:
        raise NeuroglossError("publish.folder is given, but nothing goes there; write publish=local as well.")
    if settings.to == "folder" and not settings.folder:
        raise NeuroglossError("publish=local needs a folder; add publish.folder=FOLDER to the command.")
    if settings.to == "hub":
        hub.check_name(settings.repo_id)


def _check_target(settings: PublishSettings, run_id: str) -> None:
    folder = _target(settings)
    if folder.exists() and not _is_ours(folder):
        raise NeuroglossError(
            f"publish.folder {folder} holds something else, or files that were changed; give a new folder, or remove "
            "that one."
        )
    manifest = read_manifest(folder / MANIFEST) if run_id and not settings.force else None
    if manifest is not None and manifest.run_id != run_id:
        raise NeuroglossError(_another(str(folder), manifest))


def _check_access(settings: PublishSettings) -> None:
    from huggingface_hub import constants  # noqa: PLC0415  # only where the hub is asked for

    if not os.environ.get(settings.token_env):
        raise NeuroglossError(
            f"the environment variable {settings.token_env} is not set, and publish=hub needs a token in it that may "
            "write; set it, or write publish=none."
        )
    if constants.HF_HUB_OFFLINE:
        raise NeuroglossError("HF_HUB_OFFLINE is set, so nothing can go to the hub; unset it, or write publish=none.")


def _check_config(config: Mapping[str, object]) -> None:
    """Refuse a path of this machine in a config before a run, rather than after it."""
    for where, what in leaks.in_document(published_config(config)):
        raise NeuroglossError(
            f"{where} holds {what}, which is not published; write a path relative to where you work, or add "
            "publish.shorten_paths=true, by which it is published as .../NAME."
        )


def _another(place: str, manifest: Manifest) -> str:
    """Return why a publication that is there already is not replaced."""
    return (
        f"{place} holds run {manifest.run_id[:12]} as {manifest.tag} already, and a revision is never overwritten; "
        "give another place, or replace it (--force, publish.force=true)."
    )


# ---------------------------------------------------------------------------------------------------------- publishing


def publish(folder: Path, settings: PublishSettings) -> str | None:
    """Bring a dataset where the settings say, and return that place; None if it stays in the run's folder.

    Args:
        folder: the run's, with its ``dataset/``, which stays whatever happens.
        settings: where to.

    Raises:
        NeuroglossError: the settings do not hold (see :func:`check`), a secret or a path of this machine would be
            published, another publication is there, or the hub refused or could not be reached.
    """
    if settings.to == "run":
        check_place(settings)
        return None
    dataset = folder / FOLDER
    manifest = read_manifest(dataset / MANIFEST)
    if manifest is None:
        raise NeuroglossError(f"{dataset} is no dataset of a run; make it again: neurogloss publish {folder}.")
    check(settings, manifest.run_id)
    leaks.refuse(dataset)
    if settings.to == "hub":
        return hub.upload(dataset, manifest, settings)
    return str(_copy(dataset, manifest, settings))


def listing(dataset: Path) -> Iterator[tuple[str, int]]:
    """Yield each file of a dataset that would be published, by its path there, and its bytes.

    Raises:
        NeuroglossError: a secret or a path of this machine stands in one.
    """
    leaks.refuse(dataset)
    yield from ((name, path.stat().st_size) for name, path in files_of(dataset).items())


def _copy(dataset: Path, manifest: Manifest, settings: PublishSettings) -> Path:
    """Copy a dataset, whole or not at all; one of the same publication that is there stays."""
    target = _target(settings)
    present = read_manifest(target / MANIFEST)
    if present is not None and present.is_same(manifest):
        return target
    if present is not None and not settings.force:
        raise NeuroglossError(_another(str(target), present))
    try:
        with unfinished(target) as draft:
            shutil.copytree(dataset, draft, dirs_exist_ok=True)
            sync_tree(draft)
            put(draft, target)
    except OSError as error:
        raise NeuroglossError(
            f"the dataset cannot be written to {target} ({error.strerror or error}); it is whole in {dataset}."
        ) from error
    return target


def _target(settings: PublishSettings) -> Path:
    return Path(str(settings.folder)).expanduser().resolve()


def _is_ours(folder: Path) -> bool:
    """Return whether a folder holds nothing but a dataset as we wrote it, or nothing: such a folder may be replaced."""
    if not folder.is_dir():
        return False
    paths = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    if not paths:
        return not any(folder.iterdir())
    manifest = read_manifest(folder / MANIFEST)
    if manifest is None or any(path.is_symlink() or not path.is_file() for path in paths):
        return False
    digests = {name: file_digest(path) for name, path in files_of(folder).items() if name != MANIFEST}
    return bool(digests) and digests == manifest.files
