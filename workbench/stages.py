"""The stages of a transfer in order, with the words shown to people."""

from enum import StrEnum


class Stage(StrEnum):
    """One step of the transfer (Trans-LoRA section 3). A run is finished after EXPORT."""

    SYNTHESIZE = "synthesize"  # generate, drop duplicates, score, until enough are kept
    LABEL = "label"  # the teacher answers what is kept and not yet answered
    DISTIL = "distil"  # train the new adapter on the target base
    EVALUATE = "evaluate"  # compare the arms on held-out rows
    EXPORT = "export"  # write the adapter bundle


ORDER = tuple(Stage)

WORDS = {
    Stage.SYNTHESIZE: "Write",
    Stage.LABEL: "Answer",
    Stage.DISTIL: "Train",
    Stage.EVALUATE: "Compare",
    Stage.EXPORT: "Take home",
}

# The models that answer the evaluation rows: result.json names them so, people are told this.
ARM_WORDS = {
    "source_base": "Source base",
    "source_adapter": "Source + adapter",
    "target_base": "Target base",
    "target_few_shot": "Target base, examples in the prompt",
    "copied": "Target + source adapter, copied as it is",
    "transferred": "Target + new adapter",
}

# Who may write the inputs of a run (recipe field synthesis.writer).
WRITERS = {
    "kit": "The kit's writer writes the inputs",
    "own": "The adapter writes its own inputs",
    "label": "A base writes from the examples, label by label where answers are labels",
    "list": "A base continues a numbered list of examples",
}
