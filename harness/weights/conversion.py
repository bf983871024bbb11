"""Conversion of GGUF files, once, into folders of safetensors under the user's cache.

transformers reads a GGUF file in half a minute or more, and a converted folder in a fraction of a second. It is in
float32, because dequantized values need that precision. One folder serves every version of transformers, for what they
write with ``save_pretrained`` later ones read.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from harness import files
from harness.types import NeuroglossError
from harness.weights.places import CONTENTS, Location, is_complete
from harness.weights.quiet import first_line, quieten

_SIZE_IN_FLOAT32 = 7  # times that of a file with about 4.5 bits a weight

_log = logging.getLogger(__name__)


def converted(location: Location) -> Path:
    """Return the folder to read; convert it from GGUF if it is missing or incomplete."""
    if location.gguf is None or is_complete(location.folder):
        return location.folder
    return _convert(location, location.gguf)


def _convert(location: Location, gguf: Path) -> Path:
    """Convert into an unfinished folder and rename it: the first process wins, and an interruption leaves nothing."""
    _log.warning("converting %s, once: this takes a minute or so, and later runs start at once", location.name)
    folder = location.folder
    try:
        with files.unfinished(folder) as draft:
            _write_converted(location, gguf, draft)
            _publish(draft, folder)
    except (OSError, SafetensorError) as error:
        needed = round(_SIZE_IN_FLOAT32 * gguf.stat().st_size / 1e9, 1)
        raise NeuroglossError(
            f"{location.name} cannot be converted into {folder.parent} ({first_line(error)}); "
            f"free {needed} GB there, or set XDG_CACHE_HOME to a folder on another disk."
        ) from error
    return folder


def _write_converted(location: Location, gguf: Path, folder: Path) -> None:
    model, tokenizer = _read_gguf(location, gguf)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    (folder / CONTENTS).write_text(json.dumps(sizes), encoding="utf-8")
    files.sync_tree(folder)


def _read_gguf(location: Location, gguf: Path) -> tuple[Any, Any]:
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    quieten()
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
        raise NeuroglossError(f"{gguf} cannot be read ({first_line(error)}); {location.remedy}.") from error
    return model, tokenizer


def _publish(draft: Path, folder: Path) -> None:
    if folder.exists() and not is_complete(folder):
        shutil.rmtree(folder)
    try:
        draft.rename(folder)
    except OSError:
        if not is_complete(folder):  # otherwise another process was faster, and its folder holds the same files
            raise
