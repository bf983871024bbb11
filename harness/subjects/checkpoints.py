"""Checkpoints of dictionaries, family by family: safetensors and npz, never a pickle.

A family is a row of :data:`FAMILIES`: the files by which it is known, and a function from tensors and config to the
neutral :class:`~harness.subjects.dictionary.Dictionary` and the hooks that it was trained on. Shapes: d is the width of
the input, m the number of latents.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load

from harness.subjects.dictionary import Dictionary, Gate, Scaling
from harness.subjects.sites import Site
from harness.types import NeuroglossError

Tensors = Mapping[str, torch.Tensor]
Config = Mapping[str, Any]
PICKLES = (".pt", ".pth", ".bin", ".pkl")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A dictionary as it was published.

    Attributes:
        dictionary: its weights.
        reads: the hook that it reads; empty if the checkpoint does not say.
        writes: the hook that it writes at; empty for that which it reads.
        digest: a hash of its files.
        active: the published number of active latents at a token (L0); None if the checkpoint does not say.
    """

    dictionary: Dictionary
    reads: str
    writes: str = ""
    digest: str = ""
    active: float | None = None


def read(path: Path) -> Checkpoint:
    """Return the dictionary in a folder, or in a file.

    Raises:
        NeuroglossError: there is none, it is a pickle, or it is not what its family's are.
    """
    for family in FAMILIES:
        weights = family.weights(path)
        if weights is not None:
            return _read(family, weights)
    _refuse_pickles(path)
    listing = "; ".join(
        f"{family.name}: {' and '.join(filter(None, (family.file, family.config)))}" for family in FAMILIES
    )
    raise NeuroglossError(f"{path} holds no dictionary that is known here; looked for {listing}.")


@dataclass(frozen=True)
class Family:
    """A way to publish dictionaries.

    Attributes:
        name: what people call it.
        file: the pattern of the file of weights, within the folder of a dictionary.
        config: of the file of settings beside it, or above its folder; empty if there is none.
        parse: makes a checkpoint of the tensors, the settings, and the path of the weights.
    """

    name: str
    file: str
    config: str
    parse: Callable[[Tensors, Config, Path], Checkpoint]

    def weights(self, path: Path) -> Path | None:
        """Return the file of weights of a folder or file; None if it is of another family."""
        files = [path] if path.is_file() and path.match(self.file) else sorted(path.glob(self.file))
        return files[0] if len(files) == 1 and (not self.config or self.settings(files[0]) is not None) else None

    def settings(self, weights: Path) -> Path | None:
        """Return the file of settings of a file of weights; None if there is none."""
        places = [folder / self.config for folder in (weights.parent, weights.parent.parent)]
        return next((place for place in places if self.config and place.is_file()), None)


def _read(family: Family, weights: Path) -> Checkpoint:
    settings = family.settings(weights)
    contents = [place.read_bytes() for place in (weights, settings) if place is not None]
    try:
        config = {} if settings is None else _settings(settings, contents[-1])
        checkpoint = family.parse(_tensors(weights, contents[0]), config, weights)
    except KeyError as error:
        raise NeuroglossError(f"{weights} looks like a dictionary of {family.name}, and lacks {error}.") from error
    digest = hashlib.sha256("".join(hashlib.sha256(content).hexdigest() for content in contents).encode()).hexdigest()
    return replace(checkpoint, digest=digest)


def _tensors(path: Path, content: bytes) -> Tensors:
    """Return the tensors of a file by name, in float32."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}
        return {name: tensor.float() for name, tensor in load(content).items()}
    except (SafetensorError, ValueError, OSError) as error:
        raise NeuroglossError(f"{path} cannot be read as numbers alone: {error}.") from error


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
            f"{pickles[0]} is a pickle, which can run code when it is read; write its tensors into a safetensors file."
        )


# ------------------------------------------------------------------------------------------------------- the families


def _saelens(tensors: Tensors, config: Config, path: Path) -> Checkpoint:
    """SAELens: W_enc [d, m], W_dec [m, d]; batch top-k and matryoshka dictionaries are saved as ``jumprelu``.

    Raises:
        NeuroglossError: the architecture is not read here, or the factor of the input is not in the file.
    """
    name = str(config.get("architecture", "standard"))
    architecture = _ARCHITECTURES.get(name)
    if architecture is None:
        raise NeuroglossError(f"{path} is a dictionary of the architecture {name}, which is not read here.")
    encoder, decoder = tensors["W_enc"].T, tensors["W_dec"]
    gate = None
    if architecture == "gated":
        gate, bias = Gate(tensors["b_gate"], tensors["r_mag"].exp()), tensors["b_mag"]
    else:
        bias = tensors["b_enc"]
    dictionary = Dictionary(
        encoder,
        bias,
        decoder,
        tensors["b_dec"],
        threshold=tensors["threshold"] if architecture == "jumprelu" else None,
        k=_topk(config) if architecture == "topk" else None,
        gate=gate,
        skip=tensors.get("W_skip"),
        scaling=_scaling(config, path),
    )
    if config.get("apply_b_dec_to_input", True):
        dictionary = centred(dictionary, tensors["b_dec"])
    if config.get("rescale_acts_by_decoder_norm", False):
        dictionary = stretched(dictionary, decoder.norm(dim=-1))
    places = {**config, **(config.get("metadata") or {})}
    hook = str(places.get("hook_name") or places.get("hook_point") or "")
    return Checkpoint(dictionary, hook, str(places.get("hook_name_out") or places.get("out_hook_name") or ""))


_ARCHITECTURES = {
    **{name: name for name in ("standard", "gated", "jumprelu", "topk")},
    "transcoder": "standard",
    "skip_transcoder": "standard",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
"""An architecture of SAELens -> what it does to latents."""


def _topk(config: Config) -> int:
    return int((config.get("activation_fn_kwargs") or config)["k"])


def _scaling(config: Config, path: Path) -> Scaling:
    name = config.get("normalize_activations", Scaling.NONE)
    if name in (None, False):
        return Scaling.NONE
    if name not in list(Scaling):
        raise NeuroglossError(
            f"{path} scales its input by a factor ({name}) that its files do not hold; fold it into the weights first."
        )
    return Scaling(name)


def _gemma_scope(tensors: Tensors, _: Config, path: Path) -> Checkpoint:
    """Gemma Scope: W_enc [d, m], W_dec [m, d], JumpReLU; where it is for stands in its path alone."""
    dictionary = Dictionary(
        tensors["W_enc"].T, tensors["b_enc"], tensors["W_dec"], tensors["b_dec"], tensors["threshold"],
        skip=tensors.get("affine_skip_connection"),
    )  # fmt: skip
    active = re.search(r"average_l0_(\d+)", str(path))
    return Checkpoint(dictionary, *_hooks_of_path(path), active=None if active is None else float(active[1]))


def _gemma_scope_2(tensors: Tensors, config: Config, path: Path) -> Checkpoint:
    """Gemma Scope 2: as Gemma Scope, in lower case, with the hooks in the settings or in the path."""
    matrices = {"W_enc": tensors["w_enc"], "W_dec": tensors["w_dec"]}
    checkpoint = _gemma_scope({**tensors, **matrices}, config, path)
    hooks = [str(config.get(f"hf_hook_point_{way}") or "") for way in ("in", "out")]
    return replace(checkpoint, reads=hooks[0], writes=hooks[1]) if hooks[0] else checkpoint


def _hooks_of_path(path: Path) -> tuple[str, str]:
    """Return the hooks of a Gemma Scope path: read, and written at."""
    layer = re.search(r"layer_(\d+)", str(path))
    if layer is None:
        return "", ""
    block, text = f"blocks.{layer[1]}", str(path)
    if "transcoder" in text:
        return f"{block}.ln2.hook_normalized", f"{block}.hook_mlp_out"
    parts = {"att": "attn.hook_z", "mlp": "hook_mlp_out", "res": "hook_resid_post", "resid_post": "hook_resid_post"}
    match = re.search(r"[-/](att|mlp|res|resid_post|attn_out|mlp_out)(?=/)", text.rpartition("layer_")[0])
    hook = None if match is None else parts.get(match[1].removesuffix("_out"))
    return ("" if hook is None else f"{block}.{hook}"), ""


def _sparsify(tensors: Tensors, config: Config, path: Path) -> Checkpoint:
    """EleutherAI's sparsify: encoder.weight [m, d], W_dec [m, d]; ReLU, then the largest k; b_dec centres the input.

    Raises:
        NeuroglossError: the activation is ``groupmax``.
    """
    if config.get("activation", "topk") != "topk":
        raise NeuroglossError(f"{path} has the activation {config['activation']}, which is not read here.")
    dictionary = Dictionary(
        tensors["encoder.weight"], tensors["encoder.bias"], tensors["W_dec"], tensors["b_dec"], k=int(config["k"]),
        skip=tensors.get("W_skip"),
    )  # fmt: skip
    module = path.parent.name
    if config.get("transcode"):
        return Checkpoint(dictionary, f"{module}.input", f"{module}.output")
    return Checkpoint(centred(dictionary, tensors["b_dec"]), f"{module}.output")


def _llama_scope(tensors: Tensors, config: Config, _: Path) -> Checkpoint:
    """Llama Scope: encoder.weight [m, d], decoder.weight [d, m], JumpReLU with one threshold, a fixed factor."""
    encoder = tensors["encoder.weight"]
    norm = (config.get("dataset_average_activation_norm") or {}).get("in")
    factor = 1.0 if norm is None else encoder.shape[1] ** 0.5 / float(norm)
    bias, decoder = tensors["encoder.bias"], tensors["decoder.weight"].T
    decoder_bias = tensors.get("decoder.bias", torch.zeros(decoder.shape[1]))
    threshold = torch.full_like(bias, float(config["jump_relu_threshold"]))
    dictionary = Dictionary(encoder * factor, bias, decoder / factor, decoder_bias / factor, threshold)
    return Checkpoint(dictionary, str(config.get("hook_point_in", "")), str(config.get("hook_point_out", "")))


def _circuit_tracer(tensors: Tensors, config: Config, path: Path) -> Checkpoint:
    """Transcoders of circuit-tracer: W_enc [m, d], W_dec [m, d], one file a layer; top-k is not rectified."""
    activation = str(config.get("activation", "relu"))
    threshold = tensors.get("activation_function.threshold")
    encoder = tensors["W_enc"]
    k = config.get("k") if "topk" in activation.replace("_", "") else None
    dictionary = Dictionary(
        encoder, tensors["b_enc"], tensors["W_dec"], tensors["b_dec"],
        None if threshold is None else threshold.expand(len(encoder)),
        None if k is None else int(k), skip=tensors.get("W_skip"), rectified=k is None,
    )  # fmt: skip
    block = f"blocks.{path.stem.removeprefix('layer_')}"
    return Checkpoint(dictionary, f"{block}.{config['feature_input_hook']}", f"{block}.{config['feature_output_hook']}")


FAMILIES = (
    Family("SAELens", "sae_weights.safetensors", "cfg.json", _saelens),
    Family("sparsify", "sae.safetensors", "cfg.json", _sparsify),
    Family("Llama Scope", "checkpoints/final.safetensors", "hyperparams.json", _llama_scope),
    Family("Gemma Scope 2", "params.safetensors", "config.json", _gemma_scope_2),
    Family("Gemma Scope", "params.npz", "", _gemma_scope),
    Family("circuit-tracer", "layer_*.safetensors", "config.yaml", _circuit_tracer),
)
"""The families, in the order in which they are looked for."""


def centred(dictionary: Dictionary, centre: torch.Tensor) -> Dictionary:
    """Return a dictionary that takes ``centre`` [width] from its scaled input; it is folded into the biases."""
    shift = dictionary.encoder @ centre
    if dictionary.gate is None:
        return replace(dictionary, bias=dictionary.bias - shift)
    gate = replace(dictionary.gate, bias=dictionary.gate.bias - shift)
    return replace(dictionary, bias=dictionary.bias - shift * gate.gain, gate=gate)


def stretched(dictionary: Dictionary, factors: torch.Tensor) -> Dictionary:
    """Return a dictionary whose latents are ``factors`` [latents] as large, and that writes the same."""
    return replace(
        dictionary,
        encoder=dictionary.encoder * factors[:, None],
        bias=dictionary.bias * factors,
        decoder=dictionary.decoder / factors[:, None],
    )


# ---------------------------------------------------------------------------------------------------------- the hooks

_HOOKS = (
    (r"blocks\.(\d+)\.hook_resid_post", "residual"),
    (r"blocks\.(\d+)\.hook_resid_pre", "residual_before"),
    (r"blocks\.(\d+)\.hook_mlp_out", "mlp_output"),
    (r"blocks\.(\d+)\.mlp\.hook_in", "mlp_input"),
    (r"blocks\.(\d+)\.attn\.hook_z", "heads"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)(?:\.output)?", "residual"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.input", "residual_before"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.mlp(?:\.output)?", "mlp_output"),
    (r"(?:.*\.)?(?:layers|h)\.(\d+)\.mlp\.input", "mlp_input"),
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
