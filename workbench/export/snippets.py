"""How to use a finished adapter elsewhere: short commands for what people serve models with."""

from collections.abc import Callable

from workbench.models import references
from workbench.recipe import TransferRecipe

_LORA = ("lora", "rslora")
_VLLM_RANKS = (8, 16, 32, 64, 128, 256)  # it takes no others up to the largest of a recipe


def vllm(recipe: TransferRecipe) -> str:
    """Serving base and adapter; vLLM takes plain LoRA, everything else merged."""
    base, name = _base(recipe), _name(recipe)
    if recipe.student.method not in _LORA:
        return (
            "# vLLM serves plain LoRA adapters. Merge this one under Take home, then:\n"
            "vllm serve ./merged"
        )
    most = max((recipe.student.rank, *recipe.student.rank_pattern.values()))
    rank = next(rank for rank in _VLLM_RANKS if rank >= most)
    return (
        f"vllm serve {base} --enable-lora --max-lora-rank {rank} \\\n"
        f"    --lora-modules {name}=./adapter\n"
        "# the adapter's folder is the unpacked zip; ask for model "
        f'"{name}"'
    )


def llama_cpp(recipe: TransferRecipe) -> str:
    """Base and adapter as GGUF, and the merged model as one file."""
    base, name = _base(recipe), _name(recipe)
    merged = (
        "# merged under Take home, as one file\n"
        f"python convert_hf_to_gguf.py ./merged --outfile {name}.gguf --outtype q8_0\n"
        f"llama-cli -m {name}.gguf"
    )
    if recipe.student.method not in _LORA:
        return f"# llama.cpp's adapters are plain LoRA, so this one is merged first\n{merged}"
    return (
        "# in a copy of llama.cpp; ./base is the base's folder\n"
        f"hf download {base} --local-dir ./base\n"
        "python convert_hf_to_gguf.py ./base --outfile base.gguf --outtype q8_0\n"
        f"python convert_lora_to_gguf.py ./adapter --base ./base --outfile {name}-lora.gguf\n"
        f"llama-cli -m base.gguf --lora {name}-lora.gguf\n\n{merged}"
    )


def merged(recipe: TransferRecipe) -> str:
    """The merged model with Transformers alone."""
    return (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("./merged")\n'
        'model = AutoModelForCausalLM.from_pretrained("./merged", dtype="bfloat16")'
    )


def _base(recipe: TransferRecipe) -> str:
    return references.hub_id(recipe.target_base) or "./base"


def _name(recipe: TransferRecipe) -> str:
    kept = "".join(letter if letter.isalnum() else "-" for letter in recipe.task_name.lower())
    return "-".join(part for part in kept.split("-") if part)[:40] or "adapter"


# What a person uses -> the commands.
SNIPPETS: dict[str, Callable[[TransferRecipe], str]] = {
    "vLLM": vllm,
    "llama.cpp (GGUF)": llama_cpp,
    "Merged model": merged,
}
