"""Tiny bases of four families, and an adapter of every method that PEFT knows for each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from torch import Tensor
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

_SIZE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
}
_WINDOW: dict[str, Any] = {
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"],
}
_GPT2: dict[str, Any] = {
    "vocab_size": 96,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 128,
}
FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    "Llama": lambda: LlamaForCausalLM(LlamaConfig(**_SIZE, tie_word_embeddings=True)),
    "Gemma": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**_SIZE, **_WINDOW, head_dim=16, query_pre_attn_scalar=16)
    ),
    "GPT-2": lambda: GPT2LMHeadModel(GPT2Config(**_GPT2)),
    "Qwen": lambda: Qwen2ForCausalLM(Qwen2Config(**_SIZE, tie_word_embeddings=False)),
}
_TARGETS = {"GPT-2": ["c_attn", "mlp.c_proj"]}
_NORMS = {"GPT-2": ["ln_1"]}
_EMBEDDING = {"GPT-2": "wte"}

# Row of the table -> PEFT's name and the fields besides the layers.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "LoRA": ("LORA", {"r": 4}),
    "rsLoRA": ("LORA", {"r": 4, "use_rslora": True}),
    "DoRA": ("LORA", {"r": 4, "use_dora": True}),
    "DoRA with rsLoRA": ("LORA", {"r": 4, "use_dora": True, "use_rslora": True}),
    "LoRA with ranks and alphas by patterns": (
        "LORA",
        {"r": 4, "rank_pattern": {r".*\.1\..*c_attn|q_proj": 2}, "alpha_pattern": {"^.*0.*": 16}},
    ),
    "LoRA with biases of its own": ("LORA", {"r": 4, "lora_bias": True}),
    "LoRA started by MiCA": ("LORA", {"r": 4, "init_lora_weights": "mica"}),
    "LoRA with bias lora_only": ("LORA", {"r": 4, "bias": "lora_only"}),
    "LoRA on embeddings and LM head": ("LORA", {"r": 4, "target_modules": "embeddings"}),
    "LoRA and a whole LM head": ("LORA", {"r": 4, "modules_to_save": ["lm_head"]}),
    "LoRA and trainable tokens": ("LORA", {"r": 4, "trainable_token_indices": [3, 9]}),
    "PROMPT_TUNING": ("PROMPT_TUNING", {"num_virtual_tokens": 3}),
    "MULTITASK_PROMPT_TUNING": (
        "MULTITASK_PROMPT_TUNING",
        {"num_virtual_tokens": 3, "num_tasks": 1, "num_ranks": 2},
    ),
    "P_TUNING": ("P_TUNING", {"num_virtual_tokens": 3, "encoder_hidden_size": 16}),
    "PREFIX_TUNING": ("PREFIX_TUNING", {"num_virtual_tokens": 3}),
    "CARTRIDGE": ("CARTRIDGE", {"num_virtual_tokens": 3}),
    "CPT": (
        "CPT",
        {"cpt_token_ids": [5, 6, 7], "cpt_mask": [1, 1, 1], "cpt_tokens_type_mask": [1, 2, 3]},
    ),
    "ADALORA": ("ADALORA", {"init_r": 4, "target_r": 2, "total_step": 100}),
    "ADAMSS": ("ADAMSS", {"r": 8, "num_subspaces": 2}),
    "ADAPTION_PROMPT": ("ADAPTION_PROMPT", {"adapter_len": 4, "adapter_layers": 1}),
    "BEFT": ("BEFT", {}),
    "BOFT": ("BOFT", {"boft_block_size": 4}),
    "C3A": ("C3A", {"block_size": 16}),
    "DEFT": ("DEFT", {"r": 4}),
    "DELORA": ("DELORA", {"r": 4}),
    "FOURIERFT": ("FOURIERFT", {"n_frequency": 20}),
    "FROD": ("FROD", {}),
    "GLORA": ("GLORA", {"r": 4}),
    "GRALORA": ("GRALORA", {"r": 4, "gralora_k": 2}),
    "HIRA": ("HIRA", {"r": 4}),
    "HRA": ("HRA", {"r": 4}),
    "IA3": ("IA3", {"feedforward_modules": "last"}),
    "LILY": ("LILY", {"r": 4}),
    "LN_TUNING": ("LN_TUNING", {"target_modules": "norms"}),
    "LOHA": ("LOHA", {"r": 4}),
    "LOKR": ("LOKR", {"r": 4}),
    "MISS": ("MISS", {"r": 4}),
    "OFT": ("OFT", {"oft_block_size": 16}),
    "OSF": ("OSF", {"effective_rank": 8}),
    "PEANUT": ("PEANUT", {"r": 4}),
    "POLY": ("POLY", {"r": 4}),
    "PSOFT": ("PSOFT", {"r": 4, "psoft_alpha": 4}),
    "PVERA": ("PVERA", {"r": 8}),
    "RANDLORA": ("RANDLORA", {"r": 4}),
    "ROAD": ("ROAD", {"group_size": 16}),
    "SHADOW": ("SHADOW", {"r": 4}),
    "SHIRA": ("SHIRA", {"r": 2, "random_seed": 3}),
    "SUPERTUNING": ("SUPERTUNING", {}),
    "TINYLORA": ("TINYLORA", {"r": 2, "u": 8}),
    "TRAINABLE_TOKENS": ("TRAINABLE_TOKENS", {"token_indices": [3, 9], "target_modules": None}),
    "UNILORA": ("UNILORA", {"r": 4, "theta_d_length": 32}),
    "VBLORA": ("VBLORA", {"r": 4, "num_vectors": 8, "vector_length": 16}),
    "VERA": ("VERA", {"r": 8}),
    "WAVEFT": ("WAVEFT", {"n_frequency": 20}),
    "XLORA": ("XLORA", {}),
}
_WITHOUT_LAYERS = ("PROMPT", "PREFIX", "P_TUNING", "CARTRIDGE", "CPT", "ADAPTION", "MULTITASK")


def base(family: str) -> PreTrainedModel:
    """The family's tiny model, float32, spread out so that different inputs differ."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FAMILIES[family]()
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                embedded = any(part in name for part in ("embed", "wte", "wpe"))
                parameter.data.normal_(std=0.05 if embedded else 0.15)
    return model.eval()


def config(case: str, family: str) -> Any:
    """PEFT's own config of a row of the table."""
    method, given = CASES[case]
    fields = dict(given)
    targets = _TARGETS.get(family, ["q_proj", "v_proj", "down_proj"])
    if fields.get("target_modules") == "norms":
        fields["target_modules"] = _NORMS.get(family, ["input_layernorm"])
    elif fields.get("target_modules") == "embeddings":
        fields["target_modules"] = [*targets, _EMBEDDING.get(family, "embed_tokens"), "lm_head"]
    elif not method.startswith(_WITHOUT_LAYERS):
        fields.setdefault("target_modules", targets)
    if fields.get("feedforward_modules") == "last":
        fields["feedforward_modules"] = targets[-1:]
    kind: Any = PEFT_TYPE_TO_CONFIG_MAPPING[method]  # type: ignore[index]
    return kind(task_type="CAUSAL_LM", **fields)


def saved(case: str, family: str, folder: Path, ids: Tensor) -> Tensor:
    """Save an adapter with random values as PEFT does; PEFT's logits [rows, tokens, vocabulary].

    Raises:
        Exception: PEFT cannot build, run or save this adapter on this family.
    """
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = get_peft_model(base(family), config(case, family))
        for _, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * 0.1)
    model.eval()
    one_task = CASES[case][0] in ("POLY", "MULTITASK_PROMPT_TUNING")
    tasks = {"task_ids": torch.zeros(len(ids), dtype=torch.long)} if one_task else {}
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=torch.ones_like(ids), **tasks)
    model.save_pretrained(str(folder))
    return output.logits[:, -ids.shape[1] :]
