"""The command ``neurogloss dictionary convert``: a dictionary out of a pickle, in a form that runs read."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import files
from harness.progress import show
from harness.subjects import unpickled
from harness.subjects.checkpoints import PICKLES, read
from harness.subjects.dictionary_families import SOURCE
from harness.types import NeuroglossError

SETTINGS = ("config.json", "cfg.json")
"""Files beside a pickle that say what its tensors are."""


def convert(options: argparse.Namespace) -> None:
    """Write the tensors of a pickle into a new folder, and print what they are."""
    weights = converted(options.pickle, options.folder)
    dictionary = read(weights).dictionary
    latents, width = dictionary.encoder.shape
    show(
        f"{options.folder}: {latents} latents that read vectors of {width}", f"next: subject.unit.path={options.folder}"
    )


def converted(pickle: Path, folder: Path) -> Path:
    """Write the tensors of a pickle into a new folder, with its settings and its digest, and return their file.

    The pickle is read by another process (:mod:`harness.subjects.unpickled`).

    Raises:
        NeuroglossError: the folder exists, or the file cannot be read, or holds more than tensors and numbers.
    """
    if folder.exists():
        raise NeuroglossError(f"{folder} exists, and nothing is written over it; name a new folder.")
    if pickle.suffix not in PICKLES or not pickle.is_file():
        raise NeuroglossError(f"{pickle} is no file of {', '.join(PICKLES)}; name the pickle of a dictionary.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        weights = draft / f"{pickle.stem}.safetensors"
        _unpickle(pickle, weights)
        for settings in SETTINGS:
            if (pickle.parent / settings).is_file():
                shutil.copyfile(pickle.parent / settings, draft / settings)
        source = {"folder": pickle.resolve().parent.name, "file": pickle.name, "sha256": _digest(pickle)}
        files.write_whole(draft / SOURCE, (json.dumps(source, indent=1) + "\n").encode())
        read(weights)  # what cannot be read is not kept
        files.put(draft, folder)
    return folder / weights.name


def _unpickle(pickle: Path, weights: Path) -> None:
    command = [sys.executable, "-P", "-m", unpickled.__name__, str(pickle), str(weights)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        raise NeuroglossError(f"{pickle} cannot be converted: {reason}.")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
