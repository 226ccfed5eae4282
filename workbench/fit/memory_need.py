"""How much memory each step of a transfer takes, from the shapes of the bases."""

from dataclasses import dataclass

from workbench import machine
from workbench.fit.workload import PROMPT_TOKENS, lengths, trained_rows
from workbench.inputs import Inputs
from workbench.models import references
from workbench.recipe import TransferRecipe
from workbench.stages import Stage
from workbench.synthesis_plan import expected_writer

# Memory, measured part by part on the example pair.
_PROCESS_BYTES = 1_000_000_000  # interpreter, torch and libraries 480 MB, two tokenizers, the rest
_FOUR_BIT_BYTES = 0.56  # NF4 with double quantisation, per weight of a linear layer
_VALUES_KEPT = 2.25  # that training keeps per token, for each into or out of a linear layer
_LOGIT_BYTES = 14  # in bf16, in fp32, their softmax and gradients
_READ_LOGIT_BYTES = 10  # in bf16, in fp32 and their softmax, without gradients
_ROWS_SCORED = 64  # together
_PROMPTS = 96  # of a round, where the recipe leaves it open
_ADAPTER_BYTES = 16  # weight, gradient and two moments
_LONGEST = 1.8  # the longest row of a batch, by the mean: all are padded to it
_FREED_SHARE = 0.3  # of freed memory, lost between allocations of other sizes
_VOCABULARY = 262_144  # of a base that is not on this machine yet: Gemma's, the largest
_SIZES = (
    *("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads"),
    "vocab_size",
)


@dataclass(frozen=True)
class Place:
    """Where the models are.

    Attributes:
        process_bytes: taken before there is a model.
        number_bytes: of a weight that is not in 4-bit; see models.resident.
        dense_bytes: what copies of 4-bit weights for decoding may take; see models.resident.
        mapped_bytes: of a 4-bit base's file: it stays mapped beside what is made of it.
        batch_tokens, batch_logits: see models.batches.
    """

    process_bytes: int
    number_bytes: int
    dense_bytes: int
    mapped_bytes: int
    batch_tokens: int
    batch_logits: int


# Context, kernels and their workspaces: some 600 MB.
GPU = Place(600_000_000, 2, 0, 0, 16384, 2**29)


def memory_by_stage(
    recipe: TransferRecipe, inputs: Inputs, source: int, target: int, place: Place
) -> tuple[int, dict[Stage, int]]:
    """Bytes that cannot be done without (batches may shrink, models not), and by stage.

    Both bases stay loaded from the first stage to the last, and little is ever given back.
    """
    shapes = {"target": _shape(recipe.target_base, target)}
    shapes["source"] = _shape(recipe.source_base, source)
    number = place.number_bytes
    both = place.process_bytes + number * source
    both += _target_bytes(recipe, target, shapes["target"], place)
    item, row, answer = lengths(inputs)
    # Prompts of a round are read together; answers are scored in batches.
    synthesis, writer = recipe.synthesis, shapes[recipe.synthesis.generator]
    prompt = synthesis.seeds_per_prompt * item + PROMPT_TOKENS
    reading = prompt * number * writer.widest + (2 * prompt) * number * writer.cached
    reading += _READ_LOGIT_BYTES * writer.vocabulary
    asked = _ROWS_SCORED * answer * shapes["source"].vocabulary
    most = place.batch_logits
    scoring = _READ_LOGIT_BYTES * (
        most if expected_writer(recipe, inputs) == "label" else min(most, asked)
    )
    writing = (synthesis.prompts_per_round or _PROMPTS) * reading + scoring
    # Each micro-batch of a training step is kept until its gradients are there.
    rows = recipe.training.settled(trained_rows(recipe, inputs)).batch_rows
    shape = shapes["target"]
    kept = _VALUES_KEPT * number * shape.ends * min(place.batch_tokens, rows * _LONGEST * row)
    kept += _LOGIT_BYTES * min(most, rows * answer * shape.vocabulary)
    adapter = _ADAPTER_BYTES * recipe.student.rank * shape.ends
    return int(both + adapter), {
        Stage.SYNTHESIZE: int(both + writing),
        Stage.LABEL: int(both + scoring),
        Stage.DISTIL: int(both + max(writing, kept * (1 + _FREED_SHARE) + adapter)),
        Stage.EVALUATE: int(both + scoring + kept * _FREED_SHARE + adapter),
    }


@dataclass(frozen=True)
class _Shape:
    """Attributes:
    vocabulary: tokens.
    embeddings: parameters that are no linear layer's.
    ends: values that go into and come out of all linear layers, per token.
    widest: the same of one layer of the model.
    cached: keys and values per token.
    """

    vocabulary: int
    embeddings: int
    ends: float
    widest: float
    cached: float


def _shape(reference: str, count: int) -> _Shape:
    """From the base's config.json where it is on this machine, else as bases of its size have."""
    config = references.text_config(reference)
    try:
        width, layers, inner, heads, vocabulary = (int(config[name]) for name in _SIZES)
        head = int(config.get("head_dim") or width / heads)
        pair = head * int(config.get("num_key_value_heads") or heads)
    except (ValueError, KeyError, TypeError):
        embeddings = int(min(0.62 * count, 300_000_000))
        # Width and depth grow together: 240,000 at 0.1 B, 2.5 million at 6.5 B.
        ends = 240e3 * ((count - embeddings) / 1e8) ** 0.57
        return _Shape(_VOCABULARY, embeddings, ends, ends / 18, ends / 10)
    # Queries, keys, values and output; gate, up and down.
    widest = 4 * width + 2 * head * heads + 2 * pair + 3 * width + 3 * inner
    return _Shape(vocabulary, vocabulary * width, layers * widest, widest, layers * 2 * pair)


def processor() -> Place:
    """This machine, where its processor does the work."""
    return Place(_PROCESS_BYTES, machine.number_bytes(), 2**30, 5_000_000_000, 1024, 2**26)


def _target_bytes(recipe: TransferRecipe, target: int, shape: _Shape, place: Place) -> int:
    number = place.number_bytes
    if not recipe.quantize_target:
        return number * target
    linear = max(0, target - shape.embeddings)
    dense = number * linear if number * linear <= place.dense_bytes else 0
    mapped = max(number * shape.embeddings, min(2 * target, place.mapped_bytes))
    return int(mapped + _FOUR_BIT_BYTES * linear + dense)
