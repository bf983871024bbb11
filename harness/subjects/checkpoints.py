"""Checkpoints of dictionaries are read from safetensors and npz, never from a pickle."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load

from harness.subjects.dictionary_families import FAMILIES, Checkpoint, Config, Family, Tensors
from harness.subjects.sites import Site
from harness.types import NeuroglossError

PICKLES = (".pt", ".pth", ".bin", ".pkl")


def read(path: Path) -> Checkpoint:
    """Return the dictionary in a folder, or in a file.

    Raises:
        NeuroglossError: there is none, there are several, it is a pickle, or it is not what its family's are.
    """
    for family in FAMILIES:
        weights = family.weights(path)
        if len(weights) == 1:
            return _read(family, weights[0])
        if weights:
            raise NeuroglossError(
                f"{path} holds {len(weights)} dictionaries of {family.name}; name the file of one of them, such as "
                f"{weights[0]}."
            )
    _refuse_pickles(path)
    listing = "; ".join(
        f"{family.name}: {' and '.join(filter(None, (family.file, family.config)))}" for family in FAMILIES
    )
    raise NeuroglossError(f"{path} holds no dictionary that is known here; looked for {listing}.")


def _read(family: Family, weights: Path) -> Checkpoint:
    settings = family.settings(weights)
    places = [*family.files(weights), *([] if settings is None else [settings])]
    contents = {place: _bytes(place, family) for place in places}
    try:
        config = {} if settings is None else _settings(settings, contents[settings])
        checkpoint = family.parse(_tensors(contents, family.files(weights)), config, weights)
    except KeyError as error:
        raise NeuroglossError(f"{weights} looks like a dictionary of {family.name}, and lacks {error}.") from error
    digests = "".join(hashlib.sha256(content).hexdigest() for content in contents.values())
    return replace(checkpoint, digest=hashlib.sha256(digests.encode()).hexdigest())


def _bytes(path: Path, family: Family) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NeuroglossError(
            f"{path}, a file of a dictionary of {family.name}, cannot be read: {error.strerror or error}."
        ) from error


def _tensors(contents: dict[Path, bytes], paths: Sequence[Path]) -> Tensors:
    """Return the tensors of files by name, in float32."""
    tensors: dict[str, torch.Tensor] = {}
    for path in paths:
        try:
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    tensors |= {name: torch.from_numpy(arrays[name]) for name in arrays.files}
            else:
                tensors |= load(contents[path])
        except (SafetensorError, ValueError, OSError) as error:
            raise NeuroglossError(f"{path} cannot be read as numbers alone: {error}.") from error
    return {name: tensor.float() for name, tensor in tensors.items()}


def _settings(path: Path, content: bytes) -> Config:
    try:
        values = yaml.safe_load(content) if path.suffix == ".yaml" else json.loads(content)
    except (yaml.YAMLError, ValueError) as error:
        raise NeuroglossError(f"{path} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise NeuroglossError(f"{path} holds no settings of a dictionary.")
    return values


def _refuse_pickles(path: Path) -> None:
    pickles = [place for place in [path, *path.glob("*")] if place.suffix in PICKLES]
    if pickles:
        raise NeuroglossError(
            f"{pickles[0]} is a pickle, which can run code when it is read; write its tensors into a safetensors file: "
            f"neurogloss dictionary convert {pickles[0]} FOLDER"
        )


# ---------------------------------------------------------------------------------------------------------- the hooks

_HOOKS = (
    (r"blocks\.(\d+)\.hook_resid_post", "residual"),
    (r"blocks\.(\d+)\.hook_resid_pre", "residual_before"),
    (r"blocks\.(\d+)\.hook_resid_mid", "residual_mid"),
    (r"blocks\.(\d+)\.hook_mlp_out", "mlp_output"),
    (r"blocks\.(\d+)\.mlp\.hook_in", "mlp_input"),
    (r"blocks\.(\d+)\.ln2\.hook_normalized", "mlp_normalised"),
    (r"blocks\.(\d+)\.attn\.hook_z", "heads"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)(?:\.output)?", "residual"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.input", "residual_before"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.mlp(?:\.output)?", "mlp_output"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.mlp\.input", "mlp_input"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.pre_feedforward_layernorm\.output", "mlp_input"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.post_feedforward_layernorm\.output", "mlp_output"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.self_attn\.o_proj\.input", "heads"),
)
"""A hook of TransformerLens, or a module of transformers with which of its ends -> the part of a layer."""


def site_of(hook: str) -> Site:
    """Return the site that a hook names.

    Raises:
        NeuroglossError: it names none that can be read here.
    """
    for pattern, part in _HOOKS:
        match = re.fullmatch(pattern, hook)
        if match is not None:
            return Site(int(match[1]), part)
    raise NeuroglossError(
        f"the hook {hook or '(none is said)'} of the dictionary is no site that is read here; give unit.layer and "
        "unit.site, and unit.writes for a transcoder, if one of ours is the same."
    )
