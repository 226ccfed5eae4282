"""Where in a folder, an archive or a list of files the adapter lies, by names alone.

People hand over what they have: a trainer's folder with checkpoints and optimiser states, a zip of
a zip's folder, files that a browser renamed. One folder that holds a config and weights is looked
for; everything else is named as left out and never opened.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from workbench.errors import IntakeError
from workbench.intake.field_checks import NAME as CONFIG_NAME
from workbench.intake.file_names import is_archive_name, is_pickle_name
from workbench.intake.wording import shown

WEIGHTS_NAME = "adapter_model.safetensors"

# How browsers and file managers name a second copy: "(1)", " (1)", "-1", " copy".
_COPY = r"(?:[ _-]?\(\d{1,3}\)|[ _-]\d{1,3}|[ _-]copy)?"
_CONFIG = re.compile(rf"adapter_config{_COPY}\.json", re.IGNORECASE)
_WEIGHTS = re.compile(rf"adapter_model{_COPY}\.safetensors", re.IGNORECASE)
_MLX = re.compile(rf"adapters{_COPY}\.safetensors", re.IGNORECASE)
_MLX_STATE = re.compile(r"(\d{1,9})_adapters\.safetensors")  # in the middle of a training
_SHARD = re.compile(r"adapter_model-(\d{5})-of-(\d{5})\.safetensors")
_PICKLED = re.compile(
    r"(?:adapter|adapters|adapter_model|adapter_\d+|pytorch_lora_weights|pytorch_model|lora"
    rf"|consolidated|mp_rank_\w+){_COPY}[\w.-]*\.(?:bin|pt|pth|ckpt|pkl|pickle|npz)",
    re.IGNORECASE,
)
_CHECKPOINT = re.compile(r"(?:checkpoint|step|epoch|iter)[-_]?(\d+)")
_ROWS = re.compile(r"\.(?:parquet|jsonl|ndjson|csv|tsv)(?:\.gz)?\Z", re.IGNORECASE)
_JUNK_FOLDERS = ("__MACOSX", ".ipynb_checkpoints", ".git", "__pycache__", ".cache")
_JUNK_FILES = ("thumbs.db", "desktop.ini", ".ds_store", "icon\r")
_NAMED = 8  # of what is left out, or of adapters to choose from


@dataclass(frozen=True)
class Layout:
    """The files of one adapter.

    Attributes:
        folder: path of the folder that holds them; "" is the top.
        config: path of its adapter_config.json, however it is called.
        weights: path of the one file of weights, or of its parts in order.
        mlx: the weights are in MLX's own form.
        left_out: in words, what lies beside them and is not read.
    """

    folder: str
    config: str
    weights: tuple[str, ...]
    mlx: bool = False
    left_out: tuple[str, ...] = ()


class SeveralAdapters(IntakeError):
    """Which of them is meant has to be said; ``choices`` are the folders, the likeliest last."""

    def __init__(self, message: str, choices: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.choices = tuple(choices)


def find(names: Iterable[str], where: str, part: str = "") -> Layout:
    """The adapter among files.

    Args:
        names: paths with "/" of ordinary files.
        where: what error sentences call the whole.
        part: the folder that is meant where several hold an adapter.

    Raises:
        SeveralAdapters: it must be said which one.
        IntakeError: there is none; the sentence says what is missing.
    """
    files = [name for name in names if not _is_junk(name)]
    folders: dict[str, list[str]] = {}
    for name in files:
        folders.setdefault(_parent(name), []).append(name)
    found = {}
    for folder, members in folders.items():
        layout = _in_one_folder(folder, members, where)
        if layout is not None:
            found[folder] = layout
    if not found:
        raise IntakeError(_why_none(files, where))
    layout = found[_chosen(found, where, part)]
    taken = {layout.config, *layout.weights}
    left_out = _summary(layout.folder, [name for name in files if name not in taken])
    return Layout(layout.folder, layout.config, layout.weights, layout.mlx, left_out)


def _several(where: str, choices: Sequence[str]) -> SeveralAdapters:
    named = ", ".join(shown(name or "(top)", 80) for name in choices[-_NAMED:])
    return SeveralAdapters(
        f"{where} holds {len(choices)} adapters: {named}. Say which one: hand over that folder "
        "alone, or give --adapter-part FOLDER in a terminal.",
        choices,
    )


def pickle_sentence(name: str) -> str:
    """Why pickled weights are refused, and the three lines that convert them."""
    plain = shown(PurePosixPath(name).name)
    return (
        f"{shown(name)} is a pickle. Pickles can run code when they are read, so they are never "
        "opened here. Convert it where you trust it, in Python:\n"
        "import torch; from safetensors.torch import save_file\n"
        f'weights = torch.load("{plain}", map_location="cpu", weights_only=True)\n'
        f'save_file({{k: v.contiguous() for k, v in weights.items()}}, "{WEIGHTS_NAME}")'
    )


def _is_junk(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = path.name.casefold() in _JUNK_FILES or path.name.startswith("._")
    return hidden or any(part in _JUNK_FOLDERS for part in path.parts[:-1])


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _file(name: str) -> str:
    return unicodedata.normalize("NFC", name.rpartition("/")[2])


def _in_one_folder(folder: str, members: list[str], where: str) -> Layout | None:
    config = _one(_CONFIG, CONFIG_NAME, members, where)
    if config is None:
        return None
    whole = _one(_WEIGHTS, WEIGHTS_NAME, members, where)
    if whole is not None:
        return Layout(folder, config, (whole,))
    matches = [(name, match) for name in members if (match := _SHARD.fullmatch(_file(name)))]
    shards = {int(match[1]): (int(match[2]), name) for name, match in matches}
    if shards:
        total = next(iter(shards.values()))[0]
        missing = sorted(set(range(1, total + 1)) - set(shards))
        if missing:
            raise IntakeError(
                f"{where}: part {missing[0]} of {total} of the weights is missing. Hand over all."
            )
        return Layout(folder, config, tuple(shards[number][1] for number in sorted(shards)))
    mlx = _one(_MLX, "adapters.safetensors", members, where)
    states = {
        int(match[1]): name for name in members if (match := _MLX_STATE.fullmatch(_file(name)))
    }
    if mlx is None and states:
        mlx = states[max(states)]
    return None if mlx is None else Layout(folder, config, (mlx,), mlx=True)


def _one(pattern: re.Pattern[str], plain: str, members: list[str], where: str) -> str | None:
    """The member of this name, or the only one that is a renamed copy of it."""
    matches = [name for name in members if pattern.fullmatch(_file(name))]
    exact = [name for name in matches if _file(name) == plain]
    if len(exact) == 1 and not any(_file(m).casefold() == plain for m in matches if m not in exact):
        return exact[0]
    if len(matches) > 1:
        raise IntakeError(
            f"{where} holds {plain} twice ({', '.join(shown(_file(m)) for m in matches[:3])}). "
            "Hand over one adapter at a time."
        )
    return matches[0] if matches else None


def _chosen(found: dict[str, Layout], where: str, part: str) -> str:
    if part:
        wanted = part.strip("/") if part.strip("/") not in (".", "(top)") else ""
        matches = [folder for folder in found if folder == wanted]
        matches = matches or [folder for folder in found if folder.endswith(f"/{wanted}")]
        if len(matches) != 1:
            raise _several(f"There is no single adapter {shown(part)}: {where}", sorted(found))
        return matches[0]
    if len(found) == 1:
        return next(iter(found))
    # A trainer keeps checkpoints below the finished adapter.
    finished = [folder for folder in found if _steps(folder) is None]
    if len(finished) == 1:
        return finished[0]
    order = finished or sorted(found, key=lambda folder: (_steps(folder) or 0, folder))
    raise _several(where, sorted(order) if finished else order)


def _steps(folder: str) -> int | None:
    """The number of a checkpoint's folder, or None."""
    match = _CHECKPOINT.fullmatch(folder.rpartition("/")[2])
    return int(match[1]) if match else None


def _why_none(files: list[str], where: str) -> str:
    def named(pattern: re.Pattern[str]) -> str | None:
        return next((name for name in files if pattern.fullmatch(_file(name))), None)

    pickled = named(_PICKLED)
    if pickled is not None and is_pickle_name(pickled):
        return pickle_sentence(pickled)
    if named(_CONFIG) is None and any(_file(name) == "config.json" for name in files):
        return (
            f"{where} holds no adapter. It looks like a whole model (config.json): give that as a "
            'base, or as what moves (on the page "A model that was fine-tuned as a whole", in the '
            f"terminal --source-model); an adapter is {CONFIG_NAME} and {WEIGHTS_NAME}."
        )
    if named(_CONFIG) is None and (sentence := _of_rows(files, where)):
        return sentence
    archive = next((name for name in files if is_archive_name(name)), None)
    if archive is not None and named(_CONFIG) is None:
        return (
            f"{where} holds an archive ({shown(archive)}). Unpack it and hand over what is in it."
        )
    missing = WEIGHTS_NAME if named(_CONFIG) else CONFIG_NAME
    if named(_CONFIG) and (named(_WEIGHTS) or named(_MLX)):
        missing = f"{CONFIG_NAME} beside the weights"
    return (
        f"{missing} is missing. An adapter is the two files {CONFIG_NAME} and {WEIGHTS_NAME}, a "
        "folder with both, or a zip of them."
    )


def _of_rows(files: list[str], where: str) -> str:
    """What to do with a folder of a data set; "" where it is none."""
    if any(name.endswith(".arrow") for name in files):
        return (
            f"{where} is a data set as `save_to_disk` writes it. Write it as a file of rows: "
            'datasets.load_from_disk("FOLDER")["train"].to_json("rows.jsonl")'
        )
    rows = [name for name in files if _ROWS.search(name)]
    if not rows:
        return ""
    listed = ", ".join(shown(name, 80) for name in rows[:_NAMED])
    return f"{where} holds no adapter, but rows: {listed}. Hand over one of these files."


def _summary(folder: str, others: list[str]) -> tuple[str, ...]:
    """Files beside the adapter by name, folders with the number of files in them."""
    prefix = f"{folder}/" if folder else ""
    beside, deeper, elsewhere = [], Counter(), 0
    for name in others:
        if not name.startswith(prefix):
            elsewhere += 1
            continue
        head, slash, _ = name[len(prefix) :].partition("/")
        if slash:
            deeper[head] += 1
        else:
            beside.append(head)
    words = [shown(name) for name in sorted(beside)]
    words += [f"{shown(name)}/ ({count} files)" for name, count in sorted(deeper.items())]
    if elsewhere:
        words.append(f"{elsewhere} files in other folders")
    return tuple(words)
