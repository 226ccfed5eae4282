"""Every method that the pinned PEFT knows: what is taken of its config, with type and bounds.

``taken`` fields become our settings, from which PEFT's config is built; ``at_rest`` ones only
matter while training or starting and are dropped after a look at their type. Every other field must
be off. ``mark`` begins the last parts of a tensor's name, before which the layer stands.
"""

from dataclasses import dataclass, field

from workbench.intake.field_checks import (
    Check,
    flag,
    indices,
    maybe,
    number,
    one_of,
    pattern,
    text,
    whole,
    word,
)
from workbench.limits import LIMITS

_RANK = whole(1, LIMITS.rank)
_ALPHA = number(1e-6, 65536)
_SEED = maybe(whole(-(2**62), 2**62))
_ONE_TASK = "It is of several tasks, and nothing says which one is asked."
_ANY = number(-1e6, 1e6)


@dataclass(frozen=True)
class Method:
    """How a method is taken in.

    Attributes:
        mark: how the part of a tensor's name that is the method's own begins; "" for methods of
            virtual tokens, whose tensors belong to no layer.
        taken: field -> its check.
        required: fields that must be there.
        at_rest: fields that only matter while training or starting.
        by_name: the weights do not tell the layers, so the config must name them plainly.
        refused: the true reason why the method cannot be a teacher here; "" when it can.
    """

    mark: str = ""
    taken: dict[str, Check] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    at_rest: tuple[str, ...] = ()
    by_name: bool = False
    refused: str = ""


def _layers(mark: str, taken: dict[str, Check], at_rest: str = "", **more: object) -> Method:
    required = tuple(name for name in ("r",) if name in taken)
    return Method(mark, taken, required, tuple(at_rest.split()), **more)  # type: ignore[arg-type]


def _virtual(taken: dict[str, Check] | None = None, at_rest: str = "") -> Method:
    shape = "token_dim num_transformer_submodules num_attention_heads num_layers "
    return Method(
        taken={"num_virtual_tokens": whole(1, 4096), **(taken or {})},
        required=("num_virtual_tokens",),
        at_rest=tuple((shape + at_rest).split()),
    )


_TEXT_START = "prompt_tuning_init prompt_tuning_init_text tokenizer_name_or_path tokenizer_kwargs"
_PROJECTED: dict[str, Check] = {
    "r": _RANK,
    "projection_prng_key": _SEED,
    "save_projection": flag,
}
_RANKS = {"r": _RANK, "rank_pattern": pattern(_RANK)}
_BOTH = {**_RANKS, "alpha": _ALPHA, "alpha_pattern": pattern(_ALPHA)}
_CAYLEY: dict[str, Check] = {"use_cayley_neumann": flag, "num_cayley_neumann_terms": whole(1, 32)}

METHODS: dict[str, Method] = {
    "PROMPT_TUNING": _virtual(at_rest=_TEXT_START),
    "MULTITASK_PROMPT_TUNING": _virtual(
        {
            "num_ranks": whole(1, LIMITS.rank),
            "num_tasks": one_of(1, remedy=_ONE_TASK),
        },
        f"{_TEXT_START} prompt_tuning_init_state_dict_path prompt_tuning_init_task",
    ),
    "P_TUNING": _virtual(
        at_rest="encoder_reparameterization_type encoder_hidden_size encoder_num_layers "
        "encoder_dropout"
    ),
    "PREFIX_TUNING": _virtual(at_rest="encoder_hidden_size prefix_projection init_weights"),
    "CARTRIDGE": _virtual({"num_frozen_tokens": whole(0, 4096)}),
    "CPT": Method(
        taken={"cpt_token_ids": indices, "cpt_mask": indices, "cpt_tokens_type_mask": indices},
        required=("cpt_token_ids",),
        at_rest=(
            *("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"),
            *("num_virtual_tokens", "opt_weighted_loss_type", "opt_loss_decay_factor"),
            *("opt_projection_epsilon", "opt_projection_format_epsilon", "tokenizer_name_or_path"),
        ),
    ),
    "ADALORA": _layers(
        "lora_",
        {"init_r": _RANK, "lora_alpha": _ALPHA},
        "r target_r tinit tfinal deltaT beta1 beta2 orth_reg_weight total_step rank_pattern "
        "lora_dropout init_lora_weights use_rslora alpha_pattern megatron_core qalora_group_size "
        "runtime_config",
    ),
    "ADAPTION_PROMPT": Method(
        "adaption_",
        {"adapter_len": whole(1, 4096), "adapter_layers": whole(1, 1024), "target_modules": text},
        ("adapter_len", "adapter_layers"),
    ),
    "BEFT": _layers("beft_", {}),
    "BOFT": _layers(
        "boft_",
        {
            "boft_block_size": whole(0, 65536),
            "boft_block_num": whole(0, 65536),
            "boft_n_butterfly_factor": whole(0, 32),
        },
        "boft_dropout",
    ),
    "C3A": _layers(
        "c3a_", {"block_size": whole(1, 65536), "block_size_pattern": pattern(whole(1, 65536))}
    ),
    "DEFT": _layers(
        "deft_",
        {
            "r": _RANK,
            "decomposition_method": one_of("relu", "qr"),
            "alpha": maybe(_ALPHA),
            "para": flag,
        },
        "deft_dropout init_scale",
    ),
    "DELORA": _layers(
        "delora_",
        {**_RANKS, "delora_lambda": _ANY, "lambda_pattern": pattern(_ANY)},
        "module_dropout",
    ),
    "FOURIERFT": _layers(
        "fourierft_",
        {
            "n_frequency": whole(1, 10**7),
            "scaling": _ANY,
            "random_loc_seed": _SEED,
            "n_frequency_pattern": pattern(whole(1, 10**7)),
        },
    ),
    "FROD": _layers(
        "frod_",
        {
            "projection_prng_key": _SEED,
            "save_projection": flag,
            "sparse_rate": number(0, 1),
            "regularization_alpha": number(0, 1),
        },
        "frod_dropout progressbar runtime_offload_base_weight",
    ),
    "GLORA": _layers(
        "glora_",
        {
            "r": _RANK,
            "config_A_B": one_of("lora", "vector", "constant", "none"),
            "config_C": one_of("lora", "vector", "none"),
            "config_D_E": one_of("vector", "constant", "none"),
        },
    ),
    "GRALORA": _layers(
        "gralora_",
        {
            "r": _RANK,
            "alpha": _ALPHA,
            "gralora_k": whole(1, 256),
            "hybrid_r": whole(0, LIMITS.rank),
        },
        "gralora_dropout",
    ),
    "HIRA": _layers("hira_", _RANKS, "hira_dropout"),
    "HRA": _layers("hra_", {"r": _RANK, "apply_GS": flag}),
    "IA3": _layers("ia3_", {}, "feedforward_modules init_ia3_weights"),
    "LN_TUNING": _layers("ln_tuning_", {}),
    "LOHA": _layers(
        "hada_", {**_BOTH, "use_effective_conv2d": flag}, "rank_dropout module_dropout"
    ),
    "LOKR": _layers(
        "lokr_",
        {
            **_BOTH,
            "use_effective_conv2d": flag,
            "decompose_both": flag,
            "decompose_factor": whole(-1, 65536),
        },
        "rank_dropout module_dropout rank_dropout_scale",
    ),
    "MISS": _layers(
        "miss_",
        {
            "r": _RANK,
            "mini_r": whole(1, LIMITS.rank),
            "init_weights": one_of(True, False, "bat", "mini"),
        },
        "miss_dropout",
    ),
    "OFT": _layers(
        "oft_",
        {
            "r": whole(0, 65536),
            "oft_block_size": whole(0, 65536),
            "coft": flag,
            "eps": number(0, 1),
            "block_share": flag,
            **_CAYLEY,
        },
        "module_dropout",
    ),
    "OSF": _layers(
        "osf_",
        {"effective_rank": maybe(number(0, 65536)), "rank_pattern": pattern(number(0, 65536))},
        "target_svd_config",
    ),
    "PEANUT": _layers(
        "peanut_",
        {
            "r": _RANK,
            "depth": whole(0, 64),
            "act_fn": word,
            "scaling": _ANY,
        },
    ),
    "POLY": _layers(
        "poly_",
        {
            "r": _RANK,
            "poly_type": one_of("poly"),
            "n_tasks": one_of(1, remedy=_ONE_TASK),
            "n_skills": whole(1, 256),
            "n_splits": whole(1, 256),
        },
    ),
    "PSOFT": _layers(
        "psoft_",
        {
            "r": _RANK,
            "psoft_alpha": _ALPHA,
            "ab_svd_init": one_of("psoft_init", "pissa_init"),
            "psoft_svd": one_of("full", remedy="An approximate decomposition differs every time."),
            "psoft_orth": flag,
            "psoft_mag_b": flag,
            "psoft_mag_a": flag,
            "cayley_neumann_eps": maybe(number(0, 1)),
            **_CAYLEY,
        },
        "psoft_dropout psoft_svd_lowrank_niter random_seed",
    ),
    "PVERA": _layers(
        "pvera_",
        {
            **_PROJECTED,
            "sample_at_inference": one_of(
                False, None, remedy="Its answers are drawn at random: no labels can be had of it."
            ),
        },
        "pvera_dropout d_initial generator_seed",
    ),
    "RANDLORA": _layers(
        "randlora_",
        {**_PROJECTED, "sparse": flag, "very_sparse": flag, "randlora_alpha": _ALPHA},
        "randlora_dropout",
    ),
    "ROAD": _layers(
        "road_",
        {"variant": one_of("road_1", "road_2", "road_4"), "group_size": whole(1, 65536)},
    ),
    "SHIRA": _layers("shira_", {"r": _RANK, "random_seed": _SEED, "mask_type": one_of("random")}),
    "SUPERTUNING": _layers(
        "supertuning_",
        {
            "sparsity": number(0, 1),
            "select_top": flag,
            "r": maybe(_RANK),
            "lora_alpha": maybe(_ALPHA),
            "save_precomputed_indices": flag,
        },
        "lora_dropout",
    ),
    "TINYLORA": _layers(
        "tinylora_",
        {
            "r": _RANK,
            "u": whole(1, 65536),
            "weight_tying": number(0, 1),
            "projection_seed": _SEED,
            "save_projection": flag,
        },
        "tinylora_dropout init_v_bound",
    ),
    "TRAINABLE_TOKENS": _layers("trainable_tokens_", {"token_indices": indices}),
    "UNILORA": _layers(
        "unilora_",
        {
            "r": _RANK,
            "proj_seed": _SEED,
            "theta_d_length": whole(1, 10**7),
            "save_indices": flag,
        },
        "unilora_dropout init_theta_d_bound",
        by_name=True,
    ),
    "VBLORA": _layers(
        "vblora_",
        {
            "r": _RANK,
            "num_vectors": whole(1, 10**6),
            "vector_length": whole(1, 65536),
            "topk": whole(1, 256),
            "save_only_topk_weights": flag,
        },
        "vblora_dropout init_vector_bank_bound init_logits_std",
    ),
    "VERA": _layers("vera_", _PROJECTED, "vera_dropout d_initial"),
    "WAVEFT": _layers(
        "waveft_",
        {
            "n_frequency": whole(1, 10**7),
            "scaling": _ANY,
            "random_loc_seed": _SEED,
            "wavelet_family": word,
            "use_idwt": flag,
            "n_frequency_pattern": pattern(whole(1, 10**7)),
            "proportional_parameters": flag,
        },
    ),
    "XLORA": Method(
        refused="It only chooses between LoRA adapters that lie elsewhere. Hand over one of those."
    ),
    "LILY": Method(
        refused="Its router averages over everything that is asked at once, so an answer depends "
        "on its neighbours. Train a LoRA instead."
    ),
    "ADAMSS": Method(
        refused="Its subspaces are found anew by clustering, for which scikit-learn is missing "
        "here. Merge it into the base and hand over the whole model."
    ),
    "SHADOW": Method(
        refused="It runs a second model beside the base, which the pinned PEFT cannot do with "
        "plain text models. Merge it, or train a LoRA."
    ),
}
