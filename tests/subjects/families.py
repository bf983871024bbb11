"""Tiny random models of many families, by the name that transformers gives to their configs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

SIZES = {
    "vocab_size": 310,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
OPT = {**SIZES, "ffn_dim": 24, "word_embed_proj_dim": 16, "max_position_embeddings": 64}
SHARED = {**SIZES, "num_key_value_heads": 1}
WIDE = {**SHARED, "head_dim": 12}
GPT = {"vocab_size": 310, "n_embd": 16, "n_layer": 2, "n_head": 2}

FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "GPT-2": ("gpt2", GPT),
    "GPT-BigCode": ("gpt_bigcode", GPT),
    "GPT-NeoX": ("gpt_neox", SIZES),
    "Llama": ("llama", SHARED),
    "SmolLM3": ("smollm3", SHARED),
    "Qwen2": ("qwen2", SHARED),
    "Qwen3": ("qwen3", WIDE),
    "Mistral": ("mistral", SHARED),
    "Gemma": ("gemma", WIDE),
    "Gemma 2": ("gemma2", WIDE),
    "Gemma 3": ("gemma3_text", WIDE),
    "OPT": ("opt", OPT),
    "OPT, norms behind": ("opt", {**OPT, "do_layer_norm_before": False}),
    "Phi": ("phi", SIZES),
    "Phi 3": ("phi3", SHARED),
    "StableLM": ("stablelm", {**SIZES, "num_key_value_heads": 2, "hidden_size": 64, "partial_rotary_factor": 0.25}),
    "Granite": ("granite", {**SHARED, "residual_multiplier": 0.22}),
    "OLMo": ("olmo", SIZES),
    "OLMo 2": ("olmo2", SHARED),
    "Cohere": ("cohere", SHARED),
    "Starcoder 2": ("starcoder2", SHARED),
    "DeepSeek 3, dense": (
        "deepseek_v3",
        {**SIZES, "num_key_value_heads": 2, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4,
         "qk_nope_head_dim": 4, "v_head_dim": 8, "first_k_dense_replace": 2},
    ),
    "Falcon": ("falcon", SIZES),
    "Bloom": ("bloom", {"vocab_size": 310, "hidden_size": 16, "n_layer": 2, "n_head": 2}),
    "GPT-J": ("gptj", {**GPT, "rotary_dim": 4}),
    "MPT": ("mpt", {"vocab_size": 310, "d_model": 16, "n_layers": 2, "n_heads": 2, "expansion_ratio": 2}),
    "Mixtral": ("mixtral", {**SHARED, "num_local_experts": 2}),
    "Qwen 3 MoE": ("qwen3_moe", {**WIDE, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8}),
    "BitNet": ("bitnet", SHARED),
    "Qwen 3.5": (
        "qwen3_5_text",
        {**WIDE, "layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 2,
         "linear_num_key_heads": 1, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    ),
    "LFM 2": ("lfm2", {**SHARED, "layer_types": ["conv", "full_attention"]}),
    "Granite, hybrid": (
        "granitemoehybrid",
        {**SHARED, "layer_types": ["mamba", "attention"], "mamba_n_heads": 2, "mamba_d_head": 16, "mamba_expand": 2,
         "mamba_d_state": 8, "shared_intermediate_size": 24, "num_local_experts": 0},
    ),
    "Mamba": ("mamba", {"vocab_size": 310, "hidden_size": 16, "num_hidden_layers": 2}),
}  # fmt: skip

NO_INTERFACE = "no layer of it attends by way of transformers' attention interface"
WITHOUT_HEADS = {
    "Falcon": NO_INTERFACE,
    "Bloom": NO_INTERFACE,
    "GPT-J": NO_INTERFACE,
    "MPT": NO_INTERFACE,
    "BitNet": "what they attend to is changed before it enters a linear",
    "Qwen 3.5": "what they attend to is changed before it enters a linear",
    "Mamba": NO_INTERFACE,
}
"""Family -> why its heads cannot be read."""
WITHOUT_NEURONS = {"Mixtral": "no MLP", "Qwen 3 MoE": "no MLP", "Mamba": "no MLP"}
"""Family -> why its neurons cannot be read."""
HYBRID = {"LFM 2": [False, True], "Granite, hybrid": [False, True]}
"""Family -> which of its layers attend."""


@functools.cache
def built(name: str) -> Any:
    """The model of a family, always with the same weights, which are large enough for each unit to matter."""
    kind, sizes = FAMILIES[name]
    config = CONFIG_MAPPING[kind](**sizes)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = 0
    config.initializer_range = 0.3
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()
