"""The down projection is found from the tree, in every family, and never mistaken for another linear."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
)

from harness.subjects.locate import decoder_layers, locate
from harness.types import NeuroglossError

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
GPT2_SIZES = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2}


def built(config: PreTrainedConfig) -> Any:
    config.bos_token_id = config.eos_token_id = config.pad_token_id = 0
    return AutoModelForCausalLM.from_config(config)


CASES = {
    "llama": (LlamaConfig(**SIZES, intermediate_size=24), "model.layers.{}.mlp.down_proj", 24),
    "llama as wide as its residual": (LlamaConfig(**SIZES, intermediate_size=16), "model.layers.{}.mlp.down_proj", 16),
    "gpt2": (GPT2Config(**GPT2_SIZES, n_inner=24), "transformer.h.{}.mlp.c_proj", 24),
    "gpt2 as wide as its residual": (GPT2Config(**GPT2_SIZES, n_inner=16), "transformer.h.{}.mlp.c_proj", 16),
    "gpt2 by default": (GPT2Config(**GPT2_SIZES), "transformer.h.{}.mlp.c_proj", 64),
    "neox": (GPTNeoXConfig(**SIZES, intermediate_size=24), "gpt_neox.layers.{}.mlp.dense_4h_to_h", 24),
    "neox as wide": (GPTNeoXConfig(**SIZES, intermediate_size=16), "gpt_neox.layers.{}.mlp.dense_4h_to_h", 16),
    "gate and up in one linear": (Phi3Config(**SIZES, intermediate_size=24), "model.layers.{}.mlp.down_proj", 24),
    "no module for the MLP": (
        OPTConfig(**SIZES, ffn_dim=24, word_embed_proj_dim=16),
        "model.decoder.layers.{}.fc2",
        24,
    ),
    "parallel attention": (GPTJConfig(**GPT2_SIZES, rotary_dim=4), "transformer.h.{}.mlp.fc_out", 64),
    "falcon": (FalconConfig(**SIZES), "transformer.h.{}.mlp.dense_4h_to_h", 64),
}


@pytest.mark.parametrize("name", CASES)
def test_the_down_projection_of_each_layer_is_found(name: str) -> None:
    config, path, width = CASES[name]
    model = built(config)
    located = locate(model)
    expected = [model.get_submodule(path.format(layer)) for layer in range(2)]
    assert [id(one) for one in located.projections] == [id(one) for one in expected]
    assert located.neurons == width
    assert len(decoder_layers(model)) == 2


def test_a_mixture_of_experts_is_refused_with_what_was_looked_for() -> None:
    model = built(MixtralConfig(**SIZES, intermediate_size=24, num_local_experts=2, num_key_value_heads=2))
    with pytest.raises(NeuroglossError, match=r"2 decoder layers.*hidden size 16.*one dense MLP"):
        locate(model)


def test_separate_experts_are_not_taken_for_one_mlp() -> None:
    model = built(LlamaConfig(**SIZES, intermediate_size=24))
    for layer in model.model.layers:
        layer.mlp = nn.ModuleList([layer.mlp, built(LlamaConfig(**SIZES, intermediate_size=24)).model.layers[0].mlp])
    with pytest.raises(NeuroglossError, match="no MLP that is recognised"):
        locate(model)


def test_what_is_no_language_model_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="Linear has no decoder layers"):
        locate(torch.nn.Linear(2, 2))
