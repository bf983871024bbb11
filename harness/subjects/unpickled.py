"""A process of its own that reads the tensors of a pickle and writes them as safetensors.

``python -m harness.subjects.unpickled PICKLE SAFETENSORS``. torch reads the file with ``weights_only=True``: its own
unpickler makes tensors, numbers, texts and containers of these, and calls nothing that a file names. It runs in a
process of its own all the same, so that what a file may do to that unpickler is not done to a run.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

REFUSED = 3
"""The exit status where a file holds what is not read; the reason is the last line of standard error."""


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors and the numbers of a pickle by name; names within names are joined by dots.

    Raises:
        ValueError: it holds something else, or is no pickle of torch's.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"torch reads no tensors alone from it ({str(error).strip().splitlines()[0]})") from error
    return dict(_leaves(content, ""))


def _leaves(value: object, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors within a value, by name; each has memory of its own."""
    if isinstance(value, torch.Tensor):
        yield name, value.detach().clone().contiguous()
    elif isinstance(value, int | float):
        yield name, torch.tensor(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    else:
        raise ValueError(  # noqa: TRY004  # a fault of the file, like the others
            f"{name or 'it'} is of the type {type(value).__name__}, and neither tensor nor number"
        )


if __name__ == "__main__":
    try:
        save_file(tensors(Path(sys.argv[1])), sys.argv[2])
    except ValueError as refusal:
        print(refusal, file=sys.stderr)
        raise SystemExit(REFUSED) from refusal
