"""Dictionaries of each family are read as their makers define them, and one that does not fit is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from harness.collect.corpora import TextFiles
from harness.collect.corpus_pass import collect
from harness.collect.sample import All
from harness.subjects.checkpoints import read, site_of
from harness.subjects.dictionary import Dictionary, Scaling, fit
from harness.subjects.latents import Latents
from harness.subjects.sites import Site, changing, reading
from harness.subjects.transformers_subject import TransformersSubject
from harness.tasks.collected import CollectionSettings
from harness.types import NeuroglossError
from tests.fixtures import TEXT

WIDTH, LATENTS = 32, 48
Tensors = Mapping[str, torch.Tensor]
STATES = 2 * torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / 4


TENSORS: Tensors = {
    "E": drawn(2, LATENTS, WIDTH),
    "b": drawn(3, LATENTS),
    "D": drawn(4, LATENTS, WIDTH),
    "b_dec": drawn(5, WIDTH),
    "threshold": drawn(6, LATENTS).abs(),
    "b_gate": drawn(7, LATENTS),
    "r_mag": drawn(8, LATENTS),
    "skip": drawn(9, WIDTH, WIDTH),
}


def saelens(folder: Path, config: Mapping[str, Any], **more: torch.Tensor) -> Path:
    tensors = {"W_enc": TENSORS["E"].T, "W_dec": TENSORS["D"], "b_enc": TENSORS["b"], "b_dec": TENSORS["b_dec"], **more}
    save_file(
        {name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors"
    )
    (folder / "cfg.json").write_text(json.dumps({"metadata": {"hook_name": "blocks.1.hook_resid_post"}, **config}))
    return folder


def sparsify(folder: Path, **config: Any) -> Path:
    folder = folder / "layers.1"
    folder.mkdir()
    tensors = {"encoder.weight": "E", "encoder.bias": "b", "W_dec": "D", "b_dec": "b_dec"}
    save_file({name: TENSORS[ours].contiguous() for name, ours in tensors.items()}, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"k": 5, "d_in": WIDTH, **config}))
    return folder


def llama_scope(folder: Path) -> Path:
    (folder / "checkpoints").mkdir()
    tensors = {"encoder.weight": TENSORS["E"], "encoder.bias": TENSORS["b"], "decoder.weight": TENSORS["D"].T}
    tensors["decoder.bias"] = TENSORS["b_dec"]
    weights = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(weights, folder / "checkpoints" / "final.safetensors")
    config = {"dataset_average_activation_norm": {"in": 11.0, "out": 11.0}, "jump_relu_threshold": 0.2}
    config["hook_point_in"] = config["hook_point_out"] = "blocks.1.hook_resid_post"
    (folder / "hyperparams.json").write_text(json.dumps(config))
    return folder


def gemma_scope(folder: Path) -> Path:
    folder = folder / "gemma-scope-2b-pt-mlp" / "layer_1" / "width_16k" / "average_l0_7"
    folder.mkdir(parents=True)
    names = {"W_enc": TENSORS["E"].T, "W_dec": TENSORS["D"], "b_enc": TENSORS["b"], "b_dec": TENSORS["b_dec"]}
    np.savez(folder / "params.npz", threshold=TENSORS["threshold"], **names)
    return folder


def gemma_scope_2(folder: Path) -> Path:
    folder = folder / "resid_post" / "layer_1_width_16k_l0_medium"
    folder.mkdir(parents=True)
    names = {"w_enc": TENSORS["E"].T, "w_dec": TENSORS["D"], "b_enc": TENSORS["b"], "b_dec": TENSORS["b_dec"]}
    weights = {name: tensor.contiguous() for name, tensor in {**names, "threshold": TENSORS["threshold"]}.items()}
    save_file(weights, folder / "params.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "jump_relu"}))
    return folder


def circuit_tracer(folder: Path, **config: Any) -> Path:
    names = {"W_enc": TENSORS["E"], "W_dec": TENSORS["D"], "b_enc": TENSORS["b"], "b_dec": TENSORS["b_dec"]}
    save_file({**names, "W_skip": TENSORS["skip"]}, folder / "layer_1.safetensors")
    hooks = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
    (folder / "config.yaml").write_text(yaml.safe_dump({**hooks, **config}))
    return folder / "layer_1.safetensors"


def saved(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)


def llama_scope_r1(folder: Path) -> Path:
    tensors = {"encoder.weight": TENSORS["E"], "encoder.bias": TENSORS["b"], "decoder.weight": TENSORS["D"].T}
    tensors |= {"decoder.bias": TENSORS["b_dec"], "log_jumprelu_threshold": TENSORS["threshold"].log()}
    saved(folder / "sae_weights.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps({"hook_point_in": "blocks.1.hook_resid_post"}))
    return folder


def learned(folder: Path, dict_class: str, **tensors: torch.Tensor) -> Path:
    """A dictionary of dictionary_learning after its conversion."""
    if "W_enc" not in tensors:
        tensors = {"encoder.weight": TENSORS["E"], "decoder.weight": TENSORS["D"].T, **tensors}
    saved(folder / "ae.safetensors", tensors)
    trainer = {"dict_class": dict_class, "layer": 1, "submodule_name": "resid_post_layer_1", "k": 6}
    (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}))
    return folder


def qwen_scope(folder: Path) -> Path:
    names = {"W_enc": TENSORS["E"], "W_dec": TENSORS["D"].T, "b_enc": TENSORS["b"], "b_dec": TENSORS["b_dec"]}
    saved(folder / "layer1.sae.safetensors", names)
    (folder / "source.json").write_text(json.dumps({"folder": "SAE-Res-Qwen3-8B-Base-W64K-L0_6"}))
    return folder


def cross_layer(folder: Path, layer: int = 1) -> Path:
    names = {"W_enc": TENSORS["E"], "b_enc": TENSORS["b"], "b_dec": TENSORS["b_dec"], "threshold": TENSORS["threshold"]}
    saved(folder / f"W_enc_{layer}.safetensors", {f"{name}_{layer}": tensor for name, tensor in names.items()})
    written = torch.stack([TENSORS["D"], -2 * TENSORS["D"]], dim=1)
    saved(folder / f"W_dec_{layer}.safetensors", {f"W_dec_{layer}": written})
    hooks = {"feature_input_hook": "hook_resid_mid", "feature_output_hook": "hook_mlp_out"}
    (folder / "config.yaml").write_text(yaml.safe_dump({"model_kind": "cross_layer_transcoder", **hooks}))
    return folder


def largest(latents: torch.Tensor, k: int) -> torch.Tensor:
    least = latents.sort(dim=-1, descending=True).values[:, k - 1 : k]
    return torch.where(latents >= least, latents, 0.0)


def jumped(latents: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    return torch.where(latents > threshold, latents, 0.0)


T = {name: tensor.double() for name, tensor in TENSORS.items()}
X = STATES.double()
NORMS = T["D"].norm(dim=-1)
CENTRED = (X - T["b_dec"]) @ T["E"].T
UNCENTRED = X @ T["E"].T
UNIT = X * WIDTH**0.5 / X.norm(dim=-1, keepdim=True)
FACTOR = WIDTH**0.5 / 11.0

CASES: dict[str, tuple[Callable[[Path], Path], torch.Tensor, torch.Tensor]] = {
    "SAELens": (
        lambda folder: saelens(folder, {"architecture": "standard"}),
        (CENTRED + T["b"]).relu(),
        (CENTRED + T["b"]).relu() @ T["D"] + T["b_dec"],
    ),
    "SAELens, the input as it is": (
        lambda folder: saelens(folder, {"architecture": "standard", "apply_b_dec_to_input": False}),
        (UNCENTRED + T["b"]).relu(),
        (UNCENTRED + T["b"]).relu() @ T["D"] + T["b_dec"],
    ),
    "SAELens, JumpReLU, of one norm": (
        lambda folder: saelens(
            folder,
            {
                "architecture": "jumprelu",
                "apply_b_dec_to_input": False,
                "normalize_activations": "constant_norm_rescale",
            },
            threshold=TENSORS["threshold"],
        ),
        jumped(UNIT @ T["E"].T + T["b"], T["threshold"]),
        (jumped(UNIT @ T["E"].T + T["b"], T["threshold"]) @ T["D"] + T["b_dec"])
        * X.norm(dim=-1, keepdim=True)
        / WIDTH**0.5,
    ),
    "SAELens, gated": (
        lambda folder: saelens(
            folder, {"architecture": "gated"}, b_gate=TENSORS["b_gate"], r_mag=TENSORS["r_mag"], b_mag=TENSORS["b"]
        ),
        (CENTRED + T["b_gate"] > 0) * (CENTRED * T["r_mag"].exp() + T["b"]).relu(),
        ((CENTRED + T["b_gate"] > 0) * (CENTRED * T["r_mag"].exp() + T["b"]).relu()) @ T["D"] + T["b_dec"],
    ),
    "SAELens, top-k by what is written": (
        lambda folder: saelens(folder, {"architecture": "topk", "k": 6, "rescale_acts_by_decoder_norm": True}),
        largest(((CENTRED + T["b"]) * NORMS).relu(), 6),
        largest(((CENTRED + T["b"]) * NORMS).relu(), 6) / NORMS @ T["D"] + T["b_dec"],
    ),
    "sparsify": (
        sparsify,
        largest((CENTRED + T["b"]).relu(), 5),
        largest((CENTRED + T["b"]).relu(), 5) @ T["D"] + T["b_dec"],
    ),
    "Llama Scope": (
        llama_scope,
        jumped(X * FACTOR @ T["E"].T + T["b"], 0.2),
        (jumped(X * FACTOR @ T["E"].T + T["b"], 0.2) @ T["D"] + T["b_dec"]) / FACTOR,
    ),
    "Gemma Scope": (
        gemma_scope,
        jumped(UNCENTRED + T["b"], T["threshold"]),
        jumped(UNCENTRED + T["b"], T["threshold"]) @ T["D"] + T["b_dec"],
    ),
    "Gemma Scope 2": (
        gemma_scope_2,
        jumped(UNCENTRED + T["b"], T["threshold"]),
        jumped(UNCENTRED + T["b"], T["threshold"]) @ T["D"] + T["b_dec"],
    ),
    "circuit-tracer": (
        circuit_tracer,
        (UNCENTRED + T["b"]).relu(),
        (UNCENTRED + T["b"]).relu() @ T["D"] + T["b_dec"] + X @ T["skip"].T,
    ),
    "circuit-tracer, top-k": (
        lambda folder: circuit_tracer(folder, activation="topk", k=40),
        largest(UNCENTRED + T["b"], 40),
        largest(UNCENTRED + T["b"], 40) @ T["D"] + T["b_dec"] + X @ T["skip"].T,
    ),
    "SAELens before 6, top-k, tuned": (
        lambda folder: saelens(
            folder,
            {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 6}, "normalize_activations": False},
            scaling_factor=TENSORS["threshold"],
        ),
        largest((CENTRED + T["b"]).relu(), 6),
        (largest((CENTRED + T["b"]).relu(), 6) * T["threshold"]) @ T["D"] + T["b_dec"],
    ),
    "Llama Scope R1": (
        llama_scope_r1,
        jumped(UNCENTRED + T["b"], T["threshold"]),
        jumped(UNCENTRED + T["b"], T["threshold"]) @ T["D"] + T["b_dec"],
    ),
    "Qwen-Scope": (
        qwen_scope,
        largest((UNCENTRED + T["b"]).relu(), 6),
        largest((UNCENTRED + T["b"]).relu(), 6) @ T["D"] + T["b_dec"],
    ),
    "cross-layer": (
        cross_layer,
        jumped((UNCENTRED + T["b"]).relu(), T["threshold"]),
        jumped((UNCENTRED + T["b"]).relu(), T["threshold"]) @ T["D"] + T["b_dec"],
    ),
    "dictionary_learning": (
        lambda folder: learned(folder, "AutoEncoder", **{"encoder.bias": TENSORS["b"], "bias": TENSORS["b_dec"]}),
        (CENTRED + T["b"]).relu(),
        (CENTRED + T["b"]).relu() @ T["D"] + T["b_dec"],
    ),
    "dictionary_learning, new": (
        lambda folder: learned(
            folder, "AutoEncoderNew", **{"encoder.bias": TENSORS["b"], "decoder.bias": TENSORS["b_dec"]}
        ),
        (UNCENTRED + T["b"]).relu(),
        (UNCENTRED + T["b"]).relu() @ T["D"] + T["b_dec"],
    ),
    "dictionary_learning, top-k": (
        lambda folder: learned(
            folder,
            "AutoEncoderTopK",
            **{"encoder.bias": TENSORS["b"], "b_dec": TENSORS["b_dec"], "k": torch.tensor(6)},
        ),
        largest((CENTRED + T["b"]).relu(), 6),
        largest((CENTRED + T["b"]).relu(), 6) @ T["D"] + T["b_dec"],
    ),
    "dictionary_learning, batch top-k": (
        lambda folder: learned(
            folder,
            "BatchTopKSAE",
            threshold=torch.tensor(0.5),
            **{"encoder.bias": TENSORS["b"], "b_dec": TENSORS["b_dec"], "k": torch.tensor(6)},
        ),
        jumped((CENTRED + T["b"]).relu(), 0.5),
        jumped((CENTRED + T["b"]).relu(), 0.5) @ T["D"] + T["b_dec"],
    ),
    "dictionary_learning, batch top-k without a threshold": (
        lambda folder: learned(
            folder,
            "MatryoshkaBatchTopKSAE",
            W_enc=TENSORS["E"].T,
            W_dec=TENSORS["D"],
            b_enc=TENSORS["b"],
            b_dec=TENSORS["b_dec"],
            k=torch.tensor(6),
            threshold=torch.tensor(-1.0),
        ),
        largest((CENTRED + T["b"]).relu(), 6),
        largest((CENTRED + T["b"]).relu(), 6) @ T["D"] + T["b_dec"],
    ),
    "dictionary_learning, gated": (
        lambda folder: learned(
            folder,
            "GatedAutoEncoder",
            decoder_bias=TENSORS["b_dec"],
            r_mag=TENSORS["r_mag"],
            gate_bias=TENSORS["b_gate"],
            mag_bias=TENSORS["b"],
        ),
        (CENTRED + T["b_gate"] > 0) * (CENTRED * T["r_mag"].exp() + T["b"]).relu() * NORMS,
        ((CENTRED + T["b_gate"] > 0) * (CENTRED * T["r_mag"].exp() + T["b"]).relu()) @ T["D"] + T["b_dec"],
    ),
    "dictionary_learning, JumpReLU": (
        lambda folder: learned(
            folder,
            "JumpReluAutoEncoder",
            W_enc=TENSORS["E"].T,
            W_dec=TENSORS["D"],
            b_enc=TENSORS["b"],
            b_dec=TENSORS["b_dec"],
            threshold=TENSORS["threshold"],
        ),
        jumped(UNCENTRED + T["b"], T["threshold"]) * NORMS,
        jumped(UNCENTRED + T["b"], T["threshold"]) @ T["D"] + T["b_dec"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_latents_and_what_they_write_are_those_of_the_familys_formula(name: str, tmp_path: Path) -> None:
    make, latents, written = CASES[name]
    dictionary = read(make(tmp_path)).dictionary
    ours = dictionary.encode(STATES)
    torch.testing.assert_close(ours.double(), latents, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dictionary.decode(ours, STATES).double(), written, rtol=1e-4, atol=1e-4)
    few = [7, 0, 41]
    torch.testing.assert_close(dictionary.encode(STATES, few), ours[:, few], rtol=1e-5, atol=1e-6)
    assert 0 < (latents != 0).double().mean() < 1


def test_layer_normalised_input_is_scaled_back() -> None:
    identity = torch.eye(WIDTH)
    plain = Dictionary(
        identity, torch.zeros(WIDTH), identity, torch.zeros(WIDTH), scaling=Scaling.LAYER_NORM, rectified=False
    )
    torch.testing.assert_close(plain.decode(plain.encode(STATES), STATES), STATES, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.encode(STATES).std(dim=-1), torch.ones(5), rtol=1e-4, atol=1e-4)


HOOKS = {
    "blocks.12.hook_resid_post": Site(12),
    "blocks.0.hook_resid_pre": Site(0, "residual_before"),
    "blocks.3.hook_mlp_out": Site(3, "mlp_output"),
    "blocks.3.mlp.hook_in": Site(3, "mlp_input"),
    "blocks.3.attn.hook_z": Site(3, "heads"),
    "model.layers.7": Site(7),
    "layers.7.output": Site(7),
    "transformer.h.5.mlp.output": Site(5, "mlp_output"),
    "layers.5.mlp.input": Site(5, "mlp_input"),
    "blocks.3.hook_resid_mid": Site(3, "residual_mid"),
    "blocks.3.ln2.hook_normalized": Site(3, "mlp_normalised"),
    "model.layers.3.pre_feedforward_layernorm.output": Site(3, "mlp_input"),
    "model.layers.3.post_feedforward_layernorm.output": Site(3, "mlp_output"),
    "model.layers.3.self_attn.o_proj.input": Site(3, "heads"),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_a_site(hook: str) -> None:
    assert site_of(hook) == HOOKS[hook]


@pytest.mark.parametrize("hook", ["blocks.3.ln1.hook_normalized", "blocks.3.attn.hook_q", ""])
def test_a_hook_that_is_no_site_is_refused(hook: str) -> None:
    with pytest.raises(NeuroglossError, match=r"no site that is read here; give unit\.layer"):
        site_of(hook)


PLAIN = {"encoder.bias": TENSORS["b"], "bias": TENSORS["b_dec"]}


@pytest.mark.parametrize(
    ("make", "reads", "writes", "active"),
    [
        (lambda folder: saelens(folder, {}), Site(1), Site(1), None),
        (sparsify, Site(1), Site(1), 5),
        (lambda folder: sparsify(folder, transcode=True), Site(1, "residual_before"), Site(1), 5),
        (llama_scope, Site(1), Site(1), None),
        (gemma_scope, Site(1, "mlp_output"), Site(1, "mlp_output"), 7),
        (gemma_scope_2, Site(1), Site(1), None),
        (circuit_tracer, Site(1, "mlp_input"), Site(1, "mlp_output"), None),
        (cross_layer, Site(1, "residual_mid"), Site(1, "mlp_output"), None),
        (llama_scope_r1, Site(1), Site(1), None),
        (qwen_scope, Site(1), Site(1), 6),
        (lambda folder: learned(folder, "AutoEncoder", **PLAIN), Site(1), Site(1), 6),
    ],
)
def test_a_checkpoint_says_its_sites(
    make: Callable[[Path], Path], reads: Site, writes: Site, active: float | None, tmp_path: Path
) -> None:
    latents = Latents(str(make(tmp_path)))
    assert (latents._reads, latents._writes, latents._published) == (reads, writes, active)
    elsewhere = Latents(latents.path, layer=0, site="mlp_input", writes="mlp_output")
    assert (elsewhere._reads, elsewhere._writes) == (Site(0, "mlp_input"), Site(0, "mlp_output"))
    assert len({latents.digest, elsewhere.digest, Latents(latents.path, layer=0, site="mlp_output").digest}) == 3


def refused(folder: Path, sentence: str, **settings: Any) -> None:
    subject = TransformersSubject("unused", unit=Latents(str(folder), **settings))
    with pytest.raises(NeuroglossError, match=sentence):
        subject.unit.digest  # noqa: B018


def test_what_is_no_dictionary_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, r"no dictionary that is known here; looked for SAELens: sae_weights.safetensors and cfg.json")
    (tmp_path / "ae.pt").write_bytes(b"\x80\x04}")
    refused(tmp_path, r"ae\.pt is a pickle, which can run code.*neurogloss dictionary convert \S+ae\.pt FOLDER")
    saelens(tmp_path, {"architecture": "temporal"})
    refused(tmp_path, "of the architecture temporal, which is not read here")
    saelens(tmp_path, {"architecture": "standard", "normalize_activations": "expected_average_only_in"})
    refused(tmp_path, "scales its input by a factor")
    saelens(tmp_path, {"architecture": "gated"})
    refused(tmp_path, "looks like a dictionary of SAELens, and lacks 'b_gate'")
    saelens(tmp_path, {"architecture": "standard"}, b_dec=torch.zeros(WIDTH + 1))
    refused(tmp_path, "a tensor of shape")
    saelens(tmp_path, {"architecture": "standard"})
    refused(tmp_path, "has the digest [0-9a-f]{64}, not abc", sha256="abc")
    (tmp_path / "sae_weights.safetensors").write_bytes(b"no tensors")
    refused(tmp_path, "cannot be read as numbers alone")


def test_several_dictionaries_are_told_apart(tmp_path: Path) -> None:
    """The file of one names it; of a cross-layer transcoder, both files of a layer count."""
    for layer in (0, 1):
        cross_layer(tmp_path, layer)
    refused(
        tmp_path, r"holds 2 dictionaries of cross-layer transcoder; name the file of one of them, such as \S+W_enc_0"
    )
    named = Latents(str(tmp_path / "W_enc_1.safetensors"))
    assert named._reads == Site(1, "residual_mid")
    assert named.digest != Latents(str(tmp_path / "W_enc_0.safetensors")).digest
    (tmp_path / "W_dec_1.safetensors").unlink()
    refused(tmp_path / "W_enc_1.safetensors", r"W_dec_1\.safetensors, a file of a dictionary of cross-layer transcoder")


def test_what_a_converted_dictionary_lacks_is_said(tmp_path: Path) -> None:
    learned(tmp_path, "CrossCoder", **PLAIN)
    refused(tmp_path, "of the class CrossCoder, which is not read here")
    (tmp_path / "config.json").unlink()
    qwen_scope(tmp_path)
    (tmp_path / "source.json").write_text(json.dumps({"folder": "weights"}))
    refused(tmp_path, "converted from the folder 'weights', whose name does not say how many latents are active")
    with pytest.raises(NeuroglossError, match="there is no dictionary 'embedded:other'"):
        Latents("embedded:other").digest  # noqa: B018


def test_objects_in_an_npz_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "params.npz", W_enc=np.array([{}], dtype=object))
    refused(tmp_path, "cannot be read as numbers alone")


def test_a_dictionary_of_another_width_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    saelens(tmp_path, {}, W_enc=torch.zeros(7, LATENTS), W_dec=torch.zeros(LATENTS, 7), b_dec=torch.zeros(7))
    subject = TransformersSubject(str(tiny_llama), unit=Latents(str(tmp_path)))
    with pytest.raises(NeuroglossError, match=r"vectors of 7 for the residual of layer 1, which has 32"):
        subject.units  # noqa: B018


# --------------------------------------------------------------------------------------------------- whether it fits


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A dictionary of the residual stream behind layer 1: both signs of its principal components, thresholded."""
    subject = TransformersSubject(str(tiny_llama))
    ids = torch.tensor([subject.encode(TEXT)[:400]])
    states: dict[int, torch.Tensor] = {}
    with torch.inference_mode(), subject._model.keeping_input(2, states):
        subject._model.run(ids)
    vectors = states[2][0, 1:]
    centred = vectors - vectors.mean(dim=0)
    _, sizes, axes = torch.linalg.svd(centred, full_matrices=False)
    both = torch.cat([axes, -axes])
    threshold = torch.cat([sizes, sizes]) / len(vectors) ** 0.5
    folder = tmp_path_factory.mktemp("fitted")
    return saelens(
        folder,
        {"architecture": "jumprelu"},
        W_enc=both.T,
        W_dec=both,
        b_enc=torch.zeros(len(both)),
        b_dec=vectors.mean(dim=0),
        threshold=threshold,
    )


def collected(subject: TransformersSubject, folder: Path) -> int:
    (folder / "text.txt").write_text(TEXT)
    settings = CollectionSettings(excerpt_tokens=16, top=8, random=6, minimum_token_count=1, batch_size=4)
    return len(collect(subject, TextFiles(str(folder / "text.txt")), All(), settings).records)


def test_a_dictionary_that_fits_is_collected(fitted: Path, tiny_llama: Path, tmp_path: Path) -> None:
    assert collected(TransformersSubject(str(tiny_llama), unit=Latents(str(fitted), active=10.0)), tmp_path) > 40


def faulty(fitted: Path, folder: Path, fault: str) -> Latents:
    """The dictionary with one fault planted."""
    from safetensors.torch import load_file

    tensors = load_file(fitted / "sae_weights.safetensors")
    config = json.loads((fitted / "cfg.json").read_text())
    if fault == "a transposed matrix":
        half = tensors["W_dec"][:WIDTH]
        tensors["W_dec"] = torch.cat([half.T, -half.T])
    if fault == "another normalisation":
        config["normalize_activations"] = "constant_norm_rescale"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    return Latents(str(folder), active=10.0, **({"site": "mlp_input"} if fault == "another hook" else {}))


@pytest.mark.parametrize("fault", ["another hook", "a transposed matrix", "another normalisation"])
def test_a_dictionary_that_does_not_fit_is_refused(fitted: Path, tiny_llama: Path, tmp_path: Path, fault: str) -> None:
    subject = TransformersSubject(str(tiny_llama), unit=faulty(fitted, tmp_path, fault))
    with pytest.raises(NeuroglossError, match=r"does not fit .* wrong hook or normalisation\?"):
        collected(subject, tmp_path)


@torch.inference_mode()
def test_what_a_latent_writes_is_scaled_back_token_by_token(tiny_llama: Path, tmp_path: Path) -> None:
    folder = saelens(tmp_path, {"architecture": "standard", "normalize_activations": Scaling.CONSTANT_NORM})
    kind = Latents(str(folder))
    subject = TransformersSubject(str(tiny_llama), unit=kind)
    model, ids = subject._model, torch.tensor([[5, 17, 300, 2]])
    real: list[torch.Tensor] = []
    with kind.read(model, 1, [7], ids.shape, lambda read: real.append(read[..., 0].clone())):
        before = model.run(ids, stop=2)
    with kind.replace(model, 1, torch.tensor([7]), real[0] + 1.0, torch.tensor([1])):
        after = model.run(ids, stop=2)
    scale = before.norm(dim=-1, keepdim=True) / WIDTH**0.5
    torch.testing.assert_close((after - before)[0, 1:], (scale * TENSORS["D"][7])[0, 1:], rtol=1e-3, atol=1e-4)
    assert torch.equal(after[0, 0], before[0, 0])
    assert kind.direction(model, 1, [7]) is None


@torch.inference_mode()
def test_a_latent_of_a_cross_layer_transcoder_writes_in_all_layers_above(tiny_llama: Path, tmp_path: Path) -> None:
    """Its change passes through attention and MLP between; here it is compared at the outputs of the MLPs alone."""
    kind = Latents(str(cross_layer(tmp_path)))
    model, ids = TransformersSubject(str(tiny_llama), unit=kind)._model, torch.tensor([[5, 17, 300, 2]])
    assert kind.layers(model, 1) == range(1, 3)
    real: list[torch.Tensor] = []
    written: dict[int, list[torch.Tensor]] = {1: [], 2: []}
    first, leading = torch.tensor([7]), torch.tensor([1])
    with kind.read(model, 1, [7], ids.shape, lambda read: real.append(read[..., 0].clone())):
        model.run(ids)
    with ExitStack() as hooks:
        for layer, outputs in written.items():
            site, keep = Site(layer, "mlp_output"), outputs.append
            hooks.enter_context(reading(model, site, ids.shape, lambda states, keep=keep: keep(states.clone())))
        model.run(ids)
        with kind.replace(model, 1, first, real[0] + 1.0, leading):
            model.run(ids)
        change = written[1][1] - written[1][0]
        torch.testing.assert_close(change[0, 1:], TENSORS["D"][7].expand(3, -1), rtol=1e-4, atol=1e-5)
        with ExitStack() as both:  # the same change in layer 1 alone, made by hand, to see what layer 2 adds to it
            both.enter_context(changing(model, Site(1, "mlp_output"), ids.shape, lambda states: states + change))
            model.run(ids)
    added = written[2][1] - written[2][2]
    torch.testing.assert_close(added[0, 1:], (-2 * TENSORS["D"][7]).expand(3, -1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(kind.direction(model, 1, [7]), -TENSORS["D"][[7]], rtol=1e-5, atol=1e-6)


def test_a_layer_of_a_cross_layer_transcoder_is_checked_by_its_active_latents(tiny_llama: Path, tmp_path: Path) -> None:
    """What stands where it writes is the work of all layers below too."""
    cross_layer(tmp_path)
    subject = TransformersSubject(str(tiny_llama), unit=Latents(str(tmp_path)))
    subject.check_units([subject.encode(TEXT)[:200]])
    far = TransformersSubject(str(tiny_llama), unit=Latents(str(tmp_path), active=0.01))
    with pytest.raises(NeuroglossError, match=r"layer 1: [\d.]+ active latents a token, published 0\.01; wrong hook"):
        far.check_units([subject.encode(TEXT)[:200]])


def test_massive_tokens_are_left_out_of_what_a_dictionary_explains() -> None:
    """One of them would be all the variance; it counts neither in the text's favour nor against it."""
    dictionary = Dictionary(TENSORS["E"], TENSORS["b"], TENSORS["D"], TENSORS["b_dec"])
    states = 2 * torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(2))
    massive = torch.cat([states, 1000 * torch.ones(1, WIDTH)])
    assert fit(dictionary, massive, massive) == fit(dictionary, states, states)
