"""Trans-LoRA Workbench: move a LoRA adapter to another base model, almost without data."""

__version__ = "0.1.0"
