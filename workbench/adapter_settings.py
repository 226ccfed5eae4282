"""What kind of adapter something is: PEFT's name of the method and the fields of its config.

One form for a teacher that intake accepted and for a student that a recipe asks for; PEFT's config
is built from it in ``models.adapters.peft_config`` and nowhere else. No torch here.
"""

from dataclasses import dataclass
from typing import Any

from workbench.recipe import LoraSettings
from workbench.recipe.sections import StudentSettings
from workbench.students import STUDENTS, TOKEN_KINDS

LORA = "LORA"
ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class AdapterSettings:
    """An adapter's shape.

    Attributes:
        method: PEFT's ``peft_type``, e.g. "LORA" or "PREFIX_TUNING".
        fields: of PEFT's config for that method, by PEFT's names, as plain JSON values. Names of
            layers in patterns ("rank_pattern") are full names, no regular expressions;
            ``target_modules`` ["all-linear"] is every linear layer but the LM head.
    """

    method: str
    fields: dict[str, Any]

    @property
    def title(self) -> str:
        """The method's name as people write it."""
        if self.method != LORA:
            return TITLES.get(self.method, self.method)
        dora, scaled = self.fields.get("use_dora"), self.fields.get("use_rslora")
        return (
            " with ".join(word for word, on in (("DoRA", dora), ("rsLoRA", scaled)) if on) or "LoRA"
        )

    @property
    def shape(self) -> str:
        """The fields in words, e.g. "r 8, lora_alpha 16, target_modules q_proj, v_proj"."""
        parts = [f"{name} {_words(value)}" for name, value in self.fields.items() if _says(value)]
        return ", ".join(parts)[:300]

    def file(self, base: str | None) -> dict[str, Any]:
        """adapter_config.json: only what describes this adapter, so that older PEFT reads it too.

        Args:
            base: Hub id; None names no base.
        """
        fields = dict(self.fields)
        if fields.get("target_modules") == [ALL_LINEAR]:
            fields["target_modules"] = ALL_LINEAR
        return {
            "peft_type": self.method,
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "inference_mode": True,
            **(_LORA_FILE if self.method == LORA else {}),
            **fields,
        }


# What PEFT of all versions expects in the file of a LoRA.
_LORA_FILE = {"fan_in_fan_out": False, "modules_to_save": None}


# Names as people write them, where they are not PEFT's.
TITLES = {
    "PROMPT_TUNING": "prompt tuning",
    "MULTITASK_PROMPT_TUNING": "multitask prompt tuning",
    "P_TUNING": "P-tuning",
    "PREFIX_TUNING": "prefix tuning",
    "ADALORA": "AdaLoRA",
    "ADAPTION_PROMPT": "LLaMA-Adapter",
    "IA3": "IA³",
    "LOHA": "LoHa",
    "LOKR": "LoKr",
    "LN_TUNING": "LN tuning",
    "VERA": "VeRA",
    "FOURIERFT": "FourierFT",
    "XLORA": "X-LoRA",
    "VBLORA": "VB-LoRA",
    "MISS": "MiSS",
    "RANDLORA": "RandLoRA",
    "ROAD": "RoAd",
    "TRAINABLE_TOKENS": "trainable tokens",
    "SHIRA": "SHiRA",
    "HIRA": "HiRA",
    "WAVEFT": "WaveFT",
    "DELORA": "DeLoRA",
    "GRALORA": "GraLoRA",
    "POLY": "Poly",
    "LILY": "Lily",
    "CARTRIDGE": "cartridge",
    "TINYLORA": "TinyLoRA",
    "UNILORA": "Uni-LoRA",
    "PVERA": "PVeRA",
    "GLORA": "GLoRA",
    "FROD": "FRoD",
    "PEANUT": "PEANuT",
    "SHADOW": "ShadowPEFT",
    "ADAMSS": "AdaMSS",
    "SUPERTUNING": "supertuning",
}


def _says(value: Any) -> bool:
    return value not in (None, False, "none", {}, [], 0.0)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return f"for {len(value)} layers"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def adapter_settings(settings: LoraSettings | AdapterSettings) -> AdapterSettings:
    """A recipe's adapter in PEFT's words; what is in them already stays as it is."""
    if isinstance(settings, AdapterSettings):
        return settings
    targets = sorted(settings.target_modules)
    if isinstance(settings, StudentSettings):
        if settings.method in TOKEN_KINDS:
            method = STUDENTS[settings.method].method
            return AdapterSettings(method, {"num_virtual_tokens": settings.virtual_tokens})
        others: dict[str, dict[str, Any]] = {
            # No layer counts as feed-forward: every one has a factor per output.
            "ia3": {"target_modules": targets, "feedforward_modules": []},
            "oft": {"r": 0, "oft_block_size": settings.rank, "target_modules": targets},
            "miss": {"r": settings.rank, "target_modules": targets},
        }
        if settings.method in others:
            return AdapterSettings(STUDENTS[settings.method].method, others[settings.method])
    alpha = settings.alpha
    return AdapterSettings(
        LORA,
        {
            "r": settings.rank,
            "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
            "lora_dropout": settings.dropout,
            "target_modules": targets,
            "rank_pattern": dict(settings.rank_pattern),
            "alpha_pattern": dict(settings.alpha_pattern),
            "use_rslora": settings.method == "rslora",
            "use_dora": settings.method == "dora",
            "bias": "none",
        },
    )
