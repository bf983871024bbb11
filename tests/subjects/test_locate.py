"""The down projection is found from the tree, in every family, and never mistaken for another linear."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    BertConfig,
    BloomConfig,
    FalconConfig,
    Gemma4TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    Lfm2Config,
    LlamaConfig,
    MixtralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    RwkvConfig,
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


OTHERS = {
    "a decoder that is deeper than its encoder": (
        BartConfig(vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=2, decoder_attention_heads=2,
                   decoder_ffn_dim=24),
        "model.decoder.layers.{}.fc2", 24,
    ),
    "up and down in blocks of their own": (
        BertConfig(**SIZES, intermediate_size=24, is_decoder=True), "bert.encoder.layer.{}.output.dense", 24,
    ),
    "layers that convolve": (
        Lfm2Config(**SIZES, intermediate_size=24, num_key_value_heads=2, layer_types=["conv", "full_attention"],
                   block_auto_adjust_ff_dim=False),
        "model.layers.{}.feed_forward.w2", 24,
    ),
    "layers without attention": (
        RwkvConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, intermediate_size=24),
        "rwkv.blocks.{}.feed_forward.value", 24,
    ),
    "bottlenecks beside the MLP": (
        Gemma4TextConfig(**SIZES, intermediate_size=24, num_key_value_heads=1, head_dim=8,
                         hidden_size_per_layer_input=4, vocab_size_per_layer_input=50, num_kv_shared_layers=0),
        "model.layers.{}.mlp.down_proj", 24,
    ),
}  # fmt: skip
CASES |= OTHERS


@pytest.mark.parametrize("name", CASES)
def test_the_down_projection_of_each_layer_is_found(name: str) -> None:
    config, path, width = CASES[name]
    model = built(config)
    located = locate(model)
    expected = [model.get_submodule(path.format(layer)) for layer in range(2)]
    assert [id(one) for one in located.projections] == [id(one) for one in expected]
    assert located.widths == (width, width)
    pairs = zip(located.inputs, located.projections, strict=True)
    assert all(linear is not down for beside, down in pairs for linear in beside)
    assert len(decoder_layers(model)) == 2


def test_a_mixture_of_experts_is_refused_with_what_was_looked_for() -> None:
    model = built(MixtralConfig(**SIZES, intermediate_size=24, num_local_experts=2, num_key_value_heads=2))
    with pytest.raises(NeuroglossError, match=r"2 decoder layers.*found 0; use a model with one dense MLP"):
        locate(model)


class Experts(nn.Module):
    """Two experts, of which every token happens to go to the first."""

    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.experts = nn.ModuleList([first, nn.Linear(16, 16)])

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.experts[0](states)
        return result


def test_separate_experts_are_not_taken_for_one_mlp() -> None:
    model = built(LlamaConfig(**SIZES, intermediate_size=24))
    for layer in model.model.layers:
        layer.mlp = Experts(layer.mlp)
    with pytest.raises(NeuroglossError, match="no MLP that is recognised"):
        locate(model)


def test_what_is_no_language_model_is_refused() -> None:
    with pytest.raises(NeuroglossError, match="Linear cannot be run on the ids of a few tokens"):
        locate(torch.nn.Linear(2, 2))


def test_an_mlp_all_of_whose_neurons_are_silent_is_found() -> None:
    model = built(OPTConfig(**SIZES, ffn_dim=24, word_embed_proj_dim=16))
    for layer in model.model.decoder.layers:
        layer.fc1.bias.data.fill_(-10.0)
    assert locate(model).projections[1] is model.model.decoder.layers[1].fc2


def test_layers_that_run_twice_in_a_pass_are_refused() -> None:
    model = built(LlamaConfig(**SIZES, intermediate_size=24))
    run = model.model.forward
    model.model.forward = lambda **settings: (run(**settings), run(**settings))
    with pytest.raises(NeuroglossError, match="no decoder layers that are recognised"):
        decoder_layers(model)


def test_a_projection_whose_weights_are_used_without_a_call_is_refused() -> None:
    config = BloomConfig(vocab_size=50, hidden_size=16, n_layer=2, n_head=2, slow_but_exact=True, pretraining_tp=2)
    with pytest.raises(NeuroglossError, match=r"one pass goes through once.*found 0"):
        locate(built(config))


def test_the_model_is_as_before_when_it_has_been_observed() -> None:
    model = built(LlamaConfig(**SIZES, intermediate_size=24))
    locate(model)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model(torch.tensor([[1, 2]])).logits.shape == (1, 2, 50)
