"""Loading of models and tokenizers, from safetensors alone, because a pickle can run code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.types import Identity, NeuroglossError
from harness.weights.conversion import converted
from harness.weights.places import Location, identity, locate
from harness.weights.quiet import first_line, quieten

DTYPES = ("float32", "bfloat16", "float16")
AUTO = "auto"
"""The setting of a device by which it is chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A causal language model in evaluation mode, its tokenizer and its identity."""

    model: Any
    tokenizer: Any
    identity: Identity


def check_dtype(dtype: str) -> None:
    """Refuse a number format in which weights cannot be loaded."""
    if dtype not in DTYPES:
        raise NeuroglossError(f"model.dtype is {dtype!r}; write one of {', '.join(DTYPES)}.")


def device_of(setting: str) -> str:
    """Return the device that a setting names: ``auto`` is an accelerator where there is one, and else ``cpu``.

    Raises:
        NeuroglossError: there is no device of such a name.
    """
    if setting != AUTO:
        try:
            return str(torch.device(setting))
        except RuntimeError as error:
            raise NeuroglossError(f"model.device is {setting!r}; write cpu, cuda, cuda:0, mps or {AUTO}.") from error
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if accelerator is None else accelerator.type


def load(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> Loaded:
    """Load a model and its tokenizer; see :func:`harness.weights.locate` for the names.

    Args:
        name: the name of the weights.
        revision: the hub's commit, branch or tag.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``, see :func:`device_of`.
        trust_remote_code: whether to run code that comes with the weights.

    Raises:
        NeuroglossError: the weights cannot be found, read or put on the device.
    """
    check_dtype(dtype)
    location = locate(name, revision)
    folder = converted(location)
    model = _read_model(location, folder, dtype, trust_remote_code)
    try:
        model = model.to(device_of(device))
    except (RuntimeError, AssertionError) as error:
        raise NeuroglossError(f"{name} cannot be put on model.device={device}: {first_line(error)}") from error
    return Loaded(model, _read_tokenizer(location, folder, trust_remote_code), identity(location, dtype))


def load_tokenizer(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer of a model, without its weights."""
    location = locate(name, revision)
    return _read_tokenizer(location, converted(location), trust_remote_code)


# ------------------------------------------------------------------------------------------------------------- reading


def _read_model(location: Location, folder: Path, dtype: str, trust_remote_code: bool) -> Any:
    quieten()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except ImportError as error:
        raise NeuroglossError(
            f"the model {location.name} needs a package that is not installed ({first_line(error)}); install it, or "
            "name weights that are not quantised."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise NeuroglossError(_unreadable(location, folder, error)) from error
    if report["missing_keys"]:
        absent = f"{min(report['missing_keys'])} is missing"
        raise NeuroglossError(_unreadable(location, folder, absent))
    return model.requires_grad_(False).eval()


def _read_tokenizer(location: Location, folder: Path, trust_remote_code: bool) -> Any:
    quieten()
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise NeuroglossError(_unreadable(location, folder, error)) from error


def _unreadable(location: Location, folder: Path, error: Exception | str) -> str:
    if "trust_remote_code" in str(error):
        return (
            f"the model {location.name} brings code of its own, which is not run unless model.trust_remote_code=true."
        )
    if "model type" in str(error) and "does not recognize" in str(error):
        return f"the model {location.name} is of a type that the installed transformers does not know; update it."
    remedy = f"delete {folder} and run again" if location.gguf else location.remedy
    return f"the model {location.name} cannot be read from {folder} ({first_line(error)}); {remedy}."
