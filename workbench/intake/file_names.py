"""What a file's name tells before it is opened: dangerous, harmless, or neither.

A name is never proof of what is inside; contents are checked where they are read.
"""

from pathlib import PurePosixPath

# Formats that can run code when they are read, or are read by libraries that can.
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".dill")
_PICKLES += (".mar", ".nemo", ".h5", ".keras")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".jar", ".whl")
# What training tools and file managers put beside an adapter.
_HARMLESS_SUFFIXES = (".md", ".txt", ".jinja", ".model", ".png", ".jpg", ".svg")
_HARMLESS = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "generation_config.json", "chat_template.json", "processor_config.json"),
    *("preprocessor_config.json", "trainer_state.json", "all_results.json", "train_results.json"),
    *("eval_results.json", "recipe.json", "samples.jsonl", "license", "notice"),
    *(".gitattributes", ".gitignore", ".ds_store"),
)


def is_pickle_name(name: str) -> bool:
    """Whether the extension is one of a format that can run code when it is read."""
    return _last(name).suffix in _PICKLES


def is_archive_name(name: str) -> bool:
    """Whether the extension is that of an archive or a compressed file."""
    return _last(name).suffix in _ARCHIVES


def is_harmless_name(name: str) -> bool:
    """Whether a file of this name may lie beside the wanted ones; it is not read either way."""
    return _last(name).name in _HARMLESS or _last(name).suffix in _HARMLESS_SUFFIXES


def _last(name: str) -> PurePosixPath:
    return PurePosixPath(PurePosixPath(name.casefold()).name)
