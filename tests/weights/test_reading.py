"""Models are loaded whole, from safetensors alone, and refused in one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import weights
from harness.types import NeuroglossError
from tests.weights.damage import broken_config, cut_weights, lost_tensor, no_config, only_pickles


def test_a_folder_is_named_by_the_content_that_loading_reads(copy: Path) -> None:
    name = str(copy)
    first = weights.identify(name)
    (copy / "README.md").write_text("notes")
    assert weights.identify(name) == first == weights.load(name).identity
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(config.replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    assert weights.identify(name).revision != first.revision
    assert weights.identify(name, dtype="bfloat16").dtype == "bfloat16"


def test_a_loaded_model_is_ready(tiny_gpt2: Path) -> None:
    loaded = weights.load(str(tiny_gpt2), dtype="bfloat16")
    assert not loaded.model.training
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.tokenizer("boats").input_ids == weights.load_tokenizer(str(tiny_gpt2))("boats").input_ids


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (no_config, "it has no config.json"),
        (only_pickles, "no weights in safetensors, and pickles are never read"),
        (cut_weights, "cannot be read"),
        (lost_tensor, "layers.1.mlp.down_proj.weight is missing"),
        (broken_config, "cannot be read"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(
    copy: Path, damage: Callable[[Path], None], complaint: str
) -> None:
    damage(copy)
    with pytest.raises(NeuroglossError, match=complaint) as caught:
        weights.load(str(copy))
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_dtype_or_device_is_refused(tiny_gpt2: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"model\.dtype is 'int8'; write one of float32"):
        weights.load(str(tiny_gpt2), dtype="int8")
    with pytest.raises(NeuroglossError, match=r"model\.device is 'nowhere'; write cpu, cuda"):
        weights.device_of("nowhere")
    with pytest.raises(NeuroglossError, match=r"cannot be put on model\.device=xpu"):
        weights.load(str(tiny_gpt2), device="xpu")


def quantised(config: dict[str, Any]) -> None:
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 8}


def of_code_of_its_own(config: dict[str, Any]) -> None:
    config["model_type"] = "nobody_knows"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}


def of_another_time(config: dict[str, Any]) -> None:
    config["model_type"] = "nobody_knows"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (quantised, "needs a package that is not installed"),
        (of_code_of_its_own, "brings code of its own, which is not run unless model.trust_remote_code=true"),
        (of_another_time, "of a type that the installed transformers does not know"),
    ],
)
def test_what_cannot_be_loaded_here_says_what_it_needs(
    copy: Path, change: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    config = json.loads((copy / "config.json").read_text())
    change(config)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(NeuroglossError, match=complaint) as caught:
        weights.load(str(copy))
    assert str(copy.parent) not in str(caught.value)


def test_equal_weights_in_two_folders_are_one_model_and_no_path_is_its_name(copy: Path, tmp_path: Path) -> None:
    other = shutil.copytree(copy, tmp_path / "elsewhere" / copy.name)
    assert weights.identify(str(copy)) == weights.identify(str(other))
    assert weights.identify(str(copy)).name == copy.name


@pytest.mark.parametrize(("accelerator", "device"), [(torch.device("cuda"), "cuda"), (None, "cpu")])
def test_auto_is_an_accelerator_where_there_is_one(
    accelerator: torch.device | None, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: accelerator)
    assert weights.device_of("auto") == device
    assert weights.device_of("mps") == "mps"


def test_a_model_is_the_same_on_the_device_that_is_chosen(tiny_llama: Path) -> None:
    """On a machine without an accelerator this holds that both paths are one."""
    chosen, named = (
        weights.load(str(tiny_llama), device=device).model for device in ("auto", weights.device_of("auto"))
    )
    ids = torch.tensor([[1, 2, 3]], device=named.device)
    assert torch.equal(chosen(ids).logits, named(ids).logits)
