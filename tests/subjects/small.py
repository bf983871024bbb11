"""Small random models of every causal family that the installed transformers can build so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LARGEST = 30_000_000
"""Number of parameters of the largest model that is built."""

SIZES = {
    "vocab_size": 310, "hidden_size": 32, "d_model": 32, "n_embd": 32, "dim": 32, "embed_dim": 32, "emb_dim": 32,
    "dim_model": 32, "embedding_size": 32, "word_embed_proj_dim": 32, "num_hidden_layers": 2, "n_layer": 2,
    "n_layers": 2, "num_layers": 2, "decoder_layers": 2, "encoder_layers": 3, "num_blocks": 2,
    "num_encoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 4, "n_head": 4, "n_heads": 4,
    "num_heads": 4, "decoder_attention_heads": 4, "encoder_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "ffn_dim": 48, "decoder_ffn_dim": 48, "encoder_ffn_dim": 48, "d_ff": 48, "n_inner": 48,
    "d_inner": 48, "dim_ff": 48, "head_dim": 8, "max_position_embeddings": 64, "n_positions": 64, "n_ctx": 64,
    "num_experts": 2, "num_local_experts": 2, "n_routed_experts": 2, "moe_intermediate_size": 16,
    "num_experts_per_tok": 1, "rotary_dim": 4, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "qk_head_dim": 8,
    "v_head_dim": 8, "q_lora_rank": 16, "kv_lora_rank": 8, "index_head_dim": 8, "index_n_heads": 2,
}  # fmt: skip
"""Setting -> its value in a small model, wherever the default is a number too."""

PER_LAYER = {"hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 310}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_expand": 2, "mamba_d_state": 8, "mamba_n_groups": 1}
FURTHER: Mapping[str, Mapping[str, Any]] = {
    "bamba": {**MAMBA, "attn_layer_indices": [1]},
    "deepseek_v2": {"num_experts_per_tok": 1, "topk_method": "greedy"},
    "gemma3n_text": {**PER_LAYER, "num_kv_shared_layers": 0, "laurel_rank": 4, "activation_sparsity_pattern": None},
    "gemma4_text": PER_LAYER,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {**MAMBA, "layer_types": ["mamba", "attention"], "num_local_experts": 0},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "kimi_linear": {"num_experts_per_token": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 2},
    "mamba2": {"num_heads": 8, "n_groups": 2, "state_size": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2, "head_dim": 8},
    "reformer": {"axial_pos_embds": False, "attn_layers": ["local", "local"], "is_decoder": True},
    "zamba": {"num_hidden_layers": 3},
    "zamba2": {"num_hidden_layers": 54},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
}
"""Family -> settings of its own."""

VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bloom, weights without a call": ("bloom", {"slow_but_exact": True, "pretraining_tp": 2}),
    "gemma4_text, shared keys": ("gemma4_text", {**PER_LAYER, "num_hidden_layers": 4, "num_kv_shared_layers": 2,
                                 "layer_types": ["sliding_attention", "full_attention"] * 2}),
    "jamba, dense": ("jamba", {"num_experts": 1, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8,
                               "use_mamba_kernels": False}),
    "recurrent_gemma, all kinds": ("recurrent_gemma", {"num_hidden_layers": 3}),
    "deepseek_v3, dense": ("deepseek_v3", {"first_k_dense_replace": 2}),
}  # fmt: skip
"""Name -> a family, and settings under which it is another case."""

FAMILIES = (*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *VARIANTS)


def small(family: str) -> Any:
    """Return a model of a family with random weights, which are large enough for each unit to matter.

    A layer of each kind that the family's default has is there.

    Raises:
        ValueError: the family cannot be built small this way, or any error of its own code.
    """
    family, further = VARIANTS.get(family, (family, FURTHER.get(family, {})))
    kind = CONFIG_MAPPING[family]
    default = kind()
    settings = {**_settings(default), **further}
    for name in getattr(kind, "sub_configs", None) or ():
        if (part := getattr(default, name, None)) is not None and name not in settings:
            settings[name] = _settings(part)
    config = kind(**settings)
    for part in [config, *(getattr(config, name, None) for name in getattr(kind, "sub_configs", None) or ())]:
        for token in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
            if part is not None and hasattr(part, token):
                setattr(part, token, 0)
    config.initializer_range = 0.2
    config.is_decoder = True
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"{size} parameters")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).float().eval()


def _settings(default: Any) -> dict[str, Any]:
    """Return the settings of a small config of the kind of a default one."""
    values = default.to_dict()
    settings = {
        name: size
        for name, size in SIZES.items()
        if isinstance(values.get(name), int) and not isinstance(values[name], bool)
    }
    if "qk_rope_head_dim" in values:  # from which these derive the size of a head
        settings.pop("head_dim", None)
        settings.pop("qk_head_dim", None)
    kinds = values.get("layer_types")
    if isinstance(kinds, list) and "layer_types" not in getattr(type(default), "attribute_map", {}):
        distinct = list(dict.fromkeys(kinds))
        settings["layer_types"] = distinct if len(distinct) > 1 else distinct * 2
        settings["num_hidden_layers"] = len(settings["layer_types"])
    return settings
