"""Families of published dictionaries: how each is stored, and what its tensors mean.

A family is a row of :data:`FAMILIES`: the files by which it is known, and a function from tensors and config to the
neutral :class:`~harness.subjects.dictionary.Dictionary` and the hooks that it was trained on. Shapes: d is the width of
the input, m the number of latents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from harness.subjects.dictionary import Dictionary, Gate, Scaling
from harness.types import NeuroglossError

Tensors = Mapping[str, torch.Tensor]
Config = Mapping[str, Any]
SOURCE = "source.json"
"""The file in which a conversion says what was converted: its folder, its name and its digest."""


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


@dataclass(frozen=True)
class Family:
    """A way to publish dictionaries.

    Attributes:
        name: what people call it.
        file: the pattern of the file of weights, within the folder of a dictionary.
        config: of the file of settings beside it, or above its folder; empty if there is none.
        parse: makes a checkpoint of the tensors, the settings, and the path of the weights.
        second: what in the name of the file of weights to replace, and by what, for a second file of weights.
    """

    name: str
    file: str
    config: str
    parse: Callable[[Tensors, Config, Path], Checkpoint]
    second: tuple[str, str] | None = None

    def weights(self, path: Path) -> list[Path]:
        """Return the files of weights in a folder, or the file itself; none if it is of another family."""
        files = [path] if path.is_file() and path.match(self.file) else sorted(path.glob(self.file))
        return [file for file in files if not self.config or self.settings(file) is not None]

    def settings(self, weights: Path) -> Path | None:
        """Return the file of settings of a file of weights; None if there is none."""
        places = [folder / self.config for folder in (weights.parent, weights.parent.parent)]
        return next((place for place in places if self.config and place.is_file()), None)

    def files(self, weights: Path) -> list[Path]:
        """Return all files of weights of a dictionary."""
        return [weights] if self.second is None else [weights, weights.with_name(weights.name.replace(*self.second))]


# ------------------------------------------------------------------------------------------------------------- SAELens


def _saelens(tensors: Tensors, config: Config, path: Path) -> Checkpoint:
    """SAELens: W_enc [d, m], W_dec [m, d]; batch top-k and matryoshka dictionaries are saved as ``jumprelu``.

    Raises:
        NeuroglossError: the architecture is not read here, or the factor of the input is not in the file.
    """
    architecture = _architecture(config, path)
    encoder, decoder = tensors["W_enc"].T, tensors["W_dec"]
    if "scaling_factor" in tensors:  # of fine-tuning, in versions before 6
        decoder = decoder * tensors["scaling_factor"][:, None]
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
    hook = str(places.get("hook_name") or places.get("hook_point") or places.get("hf_hook_name") or "")
    return Checkpoint(dictionary, hook, str(places.get("hook_name_out") or places.get("out_hook_name") or ""))


_ARCHITECTURES = {
    **{name: name for name in ("standard", "gated", "jumprelu", "topk")},
    "transcoder": "standard",
    "skip_transcoder": "standard",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
"""An architecture of SAELens -> what it does to latents."""


def _architecture(config: Config, path: Path) -> str:
    name = str(config.get("architecture", "standard"))
    if name not in _ARCHITECTURES:
        raise NeuroglossError(f"{path} is a dictionary of the architecture {name}, which is not read here.")
    activation = config.get("activation_fn_str", config.get("activation_fn"))  # in versions before 6
    return "topk" if _ARCHITECTURES[name] == "standard" and activation == "topk" else _ARCHITECTURES[name]


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


# --------------------------------------------------------------------------------------------------------- Gemma Scope


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


# ------------------------------------------------------------------------------------ sparsify and dictionary_learning


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


def _dictionary_learning(tensors: Tensors, config: Config, path: Path) -> Checkpoint:
    """dictionary_learning: ``ae.pt``, converted; encoder.weight [m, d] and decoder.weight [d, m], or W_enc and W_dec.

    Raises:
        NeuroglossError: the class of the dictionary is not read here.
    """
    trainer = config["trainer"]
    name = str(trainer["dict_class"])
    if name not in _CLASSES:
        raise NeuroglossError(f"{path} is a dictionary of the class {name}, which is not read here.")
    hook = f"blocks.{trainer['layer']}.{_submodule(trainer)}" if _submodule(trainer) else ""
    k = trainer.get("k")
    return Checkpoint(_CLASSES[name](tensors), hook, active=None if k is None else float(k))


def _submodule(trainer: Config) -> str:
    """Return the hook within a layer by the name that trainers give to what they read; empty for another one."""
    name = re.sub(r"_layer_\d+$", "", str(trainer.get("submodule_name") or "resid_post"))
    return {"resid_post": "hook_resid_post", "mlp_out": "hook_mlp_out"}.get(name, "")


def _plain(tensors: Tensors) -> Dictionary:
    centre = tensors["bias"]
    encoder, decoder = tensors["encoder.weight"], tensors["decoder.weight"].T
    return centred(Dictionary(encoder, tensors["encoder.bias"], decoder, centre), centre)


def _plain_uncentred(tensors: Tensors) -> Dictionary:
    encoder, decoder = tensors["encoder.weight"], tensors["decoder.weight"].T
    return Dictionary(encoder, tensors["encoder.bias"], decoder, tensors["decoder.bias"])


def _largest_k(tensors: Tensors) -> Dictionary:
    """Return a dictionary that keeps the k largest latents of a token."""
    encoder, decoder = _matrices(tensors)
    bias = tensors["encoder.bias"] if "encoder.bias" in tensors else tensors["b_enc"]
    return centred(Dictionary(encoder, bias, decoder, tensors["b_dec"], k=int(tensors["k"])), tensors["b_dec"])


def _batch_topk(tensors: Tensors) -> Dictionary:
    """Return a dictionary with one threshold; where that was never set, it is below 0, and the k largest are kept."""
    largest = _largest_k(tensors)
    threshold = float(tensors["threshold"])
    return largest if threshold < 0 else replace(largest, k=None, threshold=torch.full_like(largest.bias, threshold))


def _gated(tensors: Tensors) -> Dictionary:
    encoder, decoder = _matrices(tensors)
    gate, centre = Gate(tensors["gate_bias"], tensors["r_mag"].exp()), tensors["decoder_bias"]
    dictionary = Dictionary(encoder, tensors["mag_bias"], decoder, centre, gate=gate)
    return stretched(centred(dictionary, centre), decoder.norm(dim=-1))


def _jump_relu(tensors: Tensors) -> Dictionary:
    encoder, decoder = _matrices(tensors)
    dictionary = Dictionary(encoder, tensors["b_enc"], decoder, tensors["b_dec"], tensors["threshold"])
    return stretched(dictionary, decoder.norm(dim=-1))


def _matrices(tensors: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """Return E [m, d] and D [m, d], under either names."""
    if "W_enc" in tensors:
        return tensors["W_enc"].T, tensors["W_dec"]
    return tensors["encoder.weight"], tensors["decoder.weight"].T


_CLASSES: Mapping[str, Callable[[Tensors], Dictionary]] = {
    "AutoEncoder": _plain,
    "AutoEncoderNew": _plain_uncentred,
    "AutoEncoderTopK": _largest_k,
    "BatchTopKSAE": _batch_topk,
    "MatryoshkaBatchTopKSAE": _batch_topk,
    "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _jump_relu,
}
"""A class of dictionary_learning -> what its tensors mean."""


# -------------------------------------------------------------------------------------------- Llama Scope, Qwen-Scope


def _llama_scope(tensors: Tensors, config: Config, _: Path) -> Checkpoint:
    """Llama Scope: encoder.weight [m, d], decoder.weight [d, m], JumpReLU, a fixed factor of the input.

    There is one threshold in the settings, or the logarithm of one for each latent among the tensors.
    """
    encoder = tensors["encoder.weight"]
    norm = (config.get("dataset_average_activation_norm") or {}).get("in")
    factor = 1.0 if norm is None else encoder.shape[1] ** 0.5 / float(norm)
    bias, decoder = tensors["encoder.bias"], tensors["decoder.weight"].T
    decoder_bias = tensors.get("decoder.bias", torch.zeros(decoder.shape[1]))
    if "log_jumprelu_threshold" in tensors:
        threshold = tensors["log_jumprelu_threshold"].exp().expand(len(bias))
    else:
        threshold = torch.full_like(bias, float(config["jump_relu_threshold"]))
    dictionary = Dictionary(encoder * factor, bias, decoder / factor, decoder_bias / factor, threshold)
    return Checkpoint(dictionary, str(config.get("hook_point_in", "")), str(config.get("hook_point_out", "")))


def _qwen_scope(tensors: Tensors, config: Config, path: Path) -> Checkpoint:
    """Qwen-Scope: ``layerN.sae.pt``, converted; W_enc [m, d], W_dec [d, m]; the name of its folder says k.

    Raises:
        NeuroglossError: the folder of what was converted has another name than its publisher's.
    """
    k = re.search(r"L0_(\d+)", str(config.get("folder", "")))
    if k is None:
        raise NeuroglossError(
            f"{path} was converted from the folder {config.get('folder')!r}, whose name does not say how many latents "
            "are active; name that folder as its publisher does (like SAE-Res-Qwen3-8B-Base-W64K-L0_50), and convert "
            "again."
        )
    encoder, decoder = tensors["W_enc"], tensors["W_dec"].T
    dictionary = Dictionary(encoder, tensors["b_enc"], decoder, tensors["b_dec"], k=int(k[1]))
    layer = re.search(r"\d+", path.name)
    return Checkpoint(dictionary, "" if layer is None else f"blocks.{layer[0]}.hook_resid_post")


# ------------------------------------------------------------------------------------------------------ circuit-tracer


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
    return Checkpoint(dictionary, *_hooks_of_layer(config, path.stem.removeprefix("layer_")))


def _cross_layer(tensors: Tensors, config: Config, path: Path) -> Checkpoint:
    """One layer of a cross-layer transcoder: W_enc_i [m, d], W_dec_i [m, layers - i, d], which writes at all above."""
    layer = path.stem.removeprefix("W_enc_")
    first, *later = tensors[f"W_dec_{layer}"].unbind(dim=1)
    dictionary = Dictionary(
        tensors[f"W_enc_{layer}"], tensors[f"b_enc_{layer}"], first, tensors[f"b_dec_{layer}"],
        tensors.get(f"threshold_{layer}"), later=tuple(later), alone=False,
    )  # fmt: skip
    return Checkpoint(dictionary, *_hooks_of_layer(config, layer))


def _hooks_of_layer(config: Config, layer: str) -> tuple[str, str]:
    return f"blocks.{layer}.{config['feature_input_hook']}", f"blocks.{layer}.{config['feature_output_hook']}"


FAMILIES = (
    Family("SAELens", "sae_weights.safetensors", "cfg.json", _saelens),
    Family("sparsify", "sae.safetensors", "cfg.json", _sparsify),
    Family("Llama Scope", "checkpoints/final.safetensors", "hyperparams.json", _llama_scope),
    Family("Llama Scope R1", "sae_weights.safetensors", "config.json", _llama_scope),
    Family("Gemma Scope 2", "params.safetensors", "config.json", _gemma_scope_2),
    Family("Gemma Scope", "params.npz", "", _gemma_scope),
    Family("circuit-tracer", "layer_*.safetensors", "config.yaml", _circuit_tracer),
    Family("cross-layer transcoder", "W_enc_*.safetensors", "config.yaml", _cross_layer, ("W_enc_", "W_dec_")),
    Family("dictionary_learning, converted", "ae.safetensors", "config.json", _dictionary_learning),
    Family("Qwen-Scope, converted", "layer*.sae.safetensors", SOURCE, _qwen_scope),
)
"""The families, in the order in which they are looked for."""


# ------------------------------------------------------------------------------------------------------------- folding


def centred(dictionary: Dictionary, centre: torch.Tensor) -> Dictionary:
    """Return a dictionary that takes ``centre`` [width] from its scaled input; it is folded into the biases."""
    shift = dictionary.encoder @ centre
    if dictionary.gate is None:
        return replace(dictionary, bias=dictionary.bias - shift)
    gate = replace(dictionary.gate, bias=dictionary.gate.bias - shift)
    return replace(dictionary, bias=dictionary.bias - shift * gate.gain, gate=gate)


def stretched(dictionary: Dictionary, factors: torch.Tensor) -> Dictionary:
    """Return a dictionary whose latents are ``factors`` [latents] as large, and that writes the same."""
    gate = dictionary.gate
    return replace(
        dictionary,
        encoder=dictionary.encoder * factors[:, None],
        bias=dictionary.bias * factors,
        decoder=dictionary.decoder / factors[:, None],
        threshold=None if dictionary.threshold is None else dictionary.threshold * factors,
        gate=None if gate is None else replace(gate, bias=gate.bias * factors),
    )
