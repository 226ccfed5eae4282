"""Tokens per second of a base of a given shape with random weights: `bench_speed --shape 8b`.

Nothing is downloaded: speed does not depend on what the weights are. Rows have about 150 tokens of
prompt and 60 of answer. Training is LoRA of rank 16 on all linear layers, the loss on answers, no
gradient checkpointing; the first steps, which load kernels, do not count. Decoding is 256 rows for
60 tokens; "steps" is what a further token costs, "own prompts" and "one prompt" are whole calls
with what reading the prompts takes. Other programs get the same rows, and are left out when they
are not installed. Prints a line for each, then a table, then one JSON object.
"""

import gc
import importlib.util
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from transformers.integrations.bitsandbytes import replace_with_bnb_linear

from workbench.models.decoding import decode
from workbench.models.fused import use_liger
from workbench.models.number_types import compute_dtype, nf4
from workbench.models.resident import Resident
from workbench.models.training import TrainingRow, train
from workbench.recipe import LoraSettings, TrainingSettings

SHAPES: dict[str, dict[str, int]] = {
    "8b": {
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "135m": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "tiny": {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
LORA = LoraSettings(rank=16, alpha=32)
NOT_COUNTED = 2  # first steps of a training
COUNTED = 4
NEW_TOKENS = 60
FEW_TOKENS = 8  # of the call that a whole one is compared with
BATCHES = {"tiny": (1, 2)}  # rows of a training step; else
USUAL_BATCHES = (16, 64)
WRITTEN = {"tiny": 4}  # rows decoded together; else
USUALLY_WRITTEN = 256


@dataclass(frozen=True)
class Speed:
    """One line of the table.

    Attributes:
        what: training or decoding, and how.
        weights: "bf16" or "NF4".
        rows: of a batch.
        program: whose loop it is.
        tokens_per_second: of prompts and answers in training, of what is written in decoding.
        in_use_gb, taken_gb: of the GPU, at most: by tensors, and by the program.
    """

    what: str
    weights: str
    rows: int
    program: str
    tokens_per_second: float
    in_use_gb: float
    taken_gb: float


def run(shape: str, only: list[str] | None) -> list[Speed]:
    """Measure the jobs that were asked for, all by default; prints each as it is known."""
    found: list[Speed] = []
    for name in only or JOBS:
        for speed in JOBS[name](shape):
            found.append(speed)
            print(_line(speed), flush=True)
    print("\n| job | weights | rows | program | tokens/s | GB in use | GB taken |")
    print("|---|---|---|---|---|---|---|")
    for speed in found:
        numbers = (speed.tokens_per_second, speed.in_use_gb, speed.taken_gb)
        names = (speed.what, speed.weights, str(speed.rows), speed.program)
        cells = (*names, *(f"{number:,.0f}" for number in numbers))
        print(f"| {' | '.join(cells)} |")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    liger = importlib.util.find_spec("liger_kernel") is not None
    about = {"device": device, "torch": torch.__version__, "liger": liger}
    print(json.dumps({"shape": shape, **about, "speeds": [asdict(speed) for speed in found]}))
    return found


def _line(speed: Speed) -> str:
    return json.dumps(asdict(speed))


def random_model(shape: str, quantize: bool) -> Resident:
    """A Llama of this shape with random weights, in 4-bit as ``load`` would have it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = compute_dtype(device)
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=8192)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(0)
        with device:
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.set_attn_implementation("eager" if device.type == "cpu" else "sdpa")
    if quantize:
        _quantize(model, dtype)
    model.requires_grad_(False)
    model.eval()
    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    return Resident(model, tokenizer, device, quantize, Path())


def _quantize(model: Any, dtype: torch.dtype) -> None:
    weights = {name: m.weight.data for name, m in model.named_modules() if hasattr(m, "weight")}
    replace_with_bnb_linear(model, ["lm_head"], nf4(dtype))
    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            weight = weights.pop(name)
            options = {"quant_type": "nf4", "compress_statistics": True, "module": module}
            module.weight = Params4bit(weight, requires_grad=False, **options).to(weight.device)
    model.is_loaded_in_4bit = True


def random_rows(shape: str, count: int) -> list[TrainingRow]:
    """Rows of 120 to 180 and 45 to 75 tokens."""
    draw = random.Random(0)

    def ids(low: int, high: int) -> list[int]:
        length = draw.randint(low, high)
        return [draw.randrange(3, SHAPES[shape]["vocab_size"]) for _ in range(length)]

    return [TrainingRow(ids(120, 180), ids(45, 75)) for _ in range(count)]


def ours_training(shape: str, quantize: bool, sizes: tuple[int, ...]) -> Iterator[Speed]:
    """Our own training, at several rows a step."""
    resident = random_model(shape, quantize)
    if resident.device.type == "cuda":
        use_liger(resident.model)
    for size in sizes:
        rows = random_rows(shape, size * (NOT_COUNTED + COUNTED))
        settings = TrainingSettings(epochs=1, batch_rows=size, warmup_fraction=0.0)
        resident.attach_new("student", LORA, seed=0)
        clock = Clock()
        for step in train(resident, "student", rows, settings, seed=0):
            clock.tick(step.tokens)
        resident.detach("student")
        yield Speed("training", _name(quantize), size, "ours", clock.rate, *memory_gb())


def trl_training(shape: str, sizes: tuple[int, ...]) -> Iterator[Speed]:
    """The same rows by TRL's SFTTrainer on the NF4 base."""
    if not importlib.util.find_spec("trl"):
        return
    for size in sizes:
        resident = random_model(shape, quantize=True)
        rows = random_rows(shape, size * (NOT_COUNTED + COUNTED))
        settings = TrainingSettings(epochs=1, batch_rows=size, warmup_fraction=0.0)
        tokens = sum(len(row.prompt_ids + row.answer_ids) for row in rows)
        clock = Clock()
        ticks = _Ticks(clock, tokens // (NOT_COUNTED + COUNTED))
        with tempfile.TemporaryDirectory() as folder:
            trl_trainer(resident, rows, settings, LORA, folder, [ticks]).train()
        yield Speed("training", "NF4", size, "TRL", clock.rate, *memory_gb())


def trl_trainer(
    resident: Resident,
    rows: Sequence[TrainingRow],
    settings: TrainingSettings,
    lora: LoraSettings,
    folder: str,
    callbacks: Sequence[TrainerCallback] = (),
) -> Any:
    """TRL's SFTTrainer for the training that ``train`` does, without warm-up and checkpointing."""
    import datasets  # noqa: PLC0415 (with TRL: requirements-bench.txt)
    import trl  # noqa: PLC0415

    columns = {
        "input_ids": [row.prompt_ids + row.answer_ids for row in rows],
        "completion_mask": [[0] * len(row.prompt_ids) + [1] * len(row.answer_ids) for row in rows],
    }
    return trl.SFTTrainer(
        model=resident.model,  # type: ignore[arg-type]
        args=trl.SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=settings.batch_rows,
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.clip_norm,
            optim="adamw_torch_fused",
            bf16=resident.model.dtype == torch.bfloat16,
            use_cpu=resident.device.type == "cpu",
            gradient_checkpointing=False,
            completion_only_loss=True,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_dict(columns),
        processing_class=resident.tokenizer,
        peft_config=LoraConfig(
            r=lora.rank,
            lora_alpha=int(lora.alpha),
            lora_dropout=lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        callbacks=list(callbacks),
    )


class _Ticks(TrainerCallback):
    def __init__(self, clock: "Clock", tokens: int) -> None:
        self.clock, self.tokens = clock, tokens

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.tick(self.tokens)


def decoding(shape: str, quantize: bool) -> Iterator[Speed]:
    """Our decoding beside transformers' ``generate``."""
    resident = random_model(shape, quantize)
    rows = WRITTEN.get(shape, USUALLY_WRITTEN)
    prompts = [row.prompt_ids for row in random_rows(shape, rows)]
    one = [prompts[0]] * rows

    def generate(asked: list[list[int]], tokens: int) -> None:
        longest = max(map(len, asked))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in asked])
        resident.model.generate(
            input_ids=ids.to(resident.device),
            attention_mask=(ids > 0).long().to(resident.device),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )

    def ours(asked: list[list[int]], tokens: int) -> None:
        for _ in decode(resident, asked, new_tokens=tokens, stop_ids=[], sampling=None, rows=rows):
            pass

    yield from _written("transformers", quantize, {"own prompts": prompts}, generate)
    if resident.device.type == "cuda":
        use_liger(resident.model)
    yield from _written("ours", quantize, {"own prompts": prompts, "one prompt": one}, ours)


def _written(
    program: str,
    quantize: bool,
    asked: dict[str, list[list[int]]],
    write: Callable[[list[list[int]], int], None],
) -> Iterator[Speed]:
    for name, prompts in asked.items():
        memory_gb()
        write(prompts, FEW_TOKENS)  # loads kernels
        few, whole = (_seconds(write, prompts, tokens) for tokens in (FEW_TOKENS, NEW_TOKENS))
        rates = {"steps": len(prompts) * (NEW_TOKENS - FEW_TOKENS) / max(whole - few, 1e-9)}
        rates[name] = len(prompts) * NEW_TOKENS / whole
        memory = memory_gb()
        for part, rate in rates.items():
            what = f"decoding, {part}" if part == name else f"decoding, {part} ({name})"
            yield Speed(what, _name(quantize), len(prompts), program, rate, *memory)


def _seconds(
    write: Callable[[list[list[int]], int], None], prompts: list[list[int]], tokens: int
) -> float:
    started = now()
    write(prompts, tokens)
    return now() - started


class Clock:
    """Tokens per second over steps that end, without the first."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, int]] = []
        memory_gb()

    def tick(self, tokens: int) -> None:
        """A step has ended that saw so many tokens."""
        self.steps.append((now(), tokens))

    @property
    def rate(self) -> float:
        """Over the steps that count."""
        counted = self.steps[NOT_COUNTED:]
        seconds = counted[-1][0] - self.steps[NOT_COUNTED - 1][0]
        return sum(tokens for _, tokens in counted) / seconds


def now() -> float:
    """Seconds, when the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def memory_gb() -> tuple[float, float]:
    """Most that was in use and taken of the GPU since the last call, which starts anew."""
    if not torch.cuda.is_available():
        return 0.0, 0.0
    most = torch.cuda.max_memory_allocated() / 1e9, torch.cuda.max_memory_reserved() / 1e9
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return most


def _name(quantize: bool) -> str:
    return "NF4" if quantize else "bf16"


JOBS: dict[str, Callable[[str], Iterator[Speed]]] = {
    "training-nf4": lambda shape: ours_training(
        shape, quantize=True, sizes=BATCHES.get(shape, USUAL_BATCHES)
    ),
    "training-bf16": lambda shape: ours_training(
        shape, quantize=False, sizes=BATCHES.get(shape, USUAL_BATCHES)[1:]
    ),
    "training-trl": lambda shape: trl_training(shape, sizes=BATCHES.get(shape, USUAL_BATCHES)),
    "decoding-bf16": lambda shape: decoding(shape, quantize=False),
    "decoding-nf4": lambda shape: decoding(shape, quantize=True),
}
