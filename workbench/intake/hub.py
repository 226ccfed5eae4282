"""An adapter from the Hugging Face Hub: its files, as if a person had uploaded them.

The revision is resolved to a commit and sizes are read before anything is fetched; only the
config and the safetensors weights of one adapter are taken, and then pass the same checks as an
upload. No code, no pickles, no tokenizer of the repository is ever read. On a server that
strangers share every request goes without a login first, and with the visitor's own where that is
not enough; never with the server's.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from workbench.errors import IntakeError
from workbench.inputs import AdapterFiles
from workbench.intake.adapter import read_adapter
from workbench.intake.layout import SeveralAdapters, find
from workbench.intake.wording import shown, size_words
from workbench.limits import LIMITS
from workbench.models import hub_access

_NAMED = 8  # of adapters to choose from
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_FOLDERS = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}){0,7}"
_REFERENCE = re.compile(
    rf"(?:hub:|https://(?:huggingface\.co|hf\.co)/)?(?P<name>{_PART}/{_PART})"
    rf"(?:/tree/(?P<branch>{_PART}))?(?:/(?P<part>{_FOLDERS}))?/?"
    r"(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{0,99}))?"
)


def read_given(paths: Sequence[Path], workspace: Path, part: str = "") -> AdapterFiles:
    """An adapter as a person at this machine names it: paths, or hub:owner/name[/folder]."""
    reference = str(paths[0])
    if len(paths) == 1 and reference.startswith("hub:"):
        workspace.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=workspace) as fetched:
            return read_adapter(fetch_adapter(reference, Path(fetched), part), workspace)
    return read_adapter(paths, workspace, part=part, links=True)


def fetch_adapter(reference: str, folder: Path, part: str = "") -> list[Path]:
    """Fetch the adapter of ``owner/name[/folder][@revision]``, or of its page, below ``folder``.

    Args:
        part: the folder that is meant where the repository holds several.

    Raises:
        IntakeError: no such name, no access, no network, or files that are no adapter of ours.
    """
    match = _REFERENCE.fullmatch(reference.strip())
    if match is None:
        raise IntakeError(
            f'"{shown(reference, 80)}" is no id on the Hub. Write owner/name, owner/name@revision, '
            "or owner/name/folder where a repository holds several adapters."
        )
    name, revision = match["name"], match["revision"] or match["branch"]
    part = part or match["part"] or ""
    for token in (tokens := hub_access.current().tokens()):
        try:
            return _fetch(name, revision, token, folder, part)
        except IntakeError:
            raise
        except Exception as error:
            if token is tokens[-1] or not isinstance(error, RepositoryNotFoundError):
                raise IntakeError(_sentence(name, revision, error)) from error
    raise AssertionError("there is always a way to ask")


def _fetch(
    name: str, revision: str | None, token: str | bool | None, folder: Path, part: str
) -> list[Path]:
    info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=30, token=token)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    return [
        Path(hf_hub_download(name, file, revision=info.sha, local_dir=folder, token=token))
        for file in _wanted(name, sizes, part)
    ]


def _wanted(name: str, sizes: dict[str, int], part: str) -> list[str]:
    """The files to fetch; none is larger than is taken."""
    try:
        layout = find(sizes, f"{name} on the Hub", part)
    except SeveralAdapters as error:
        listed = ", ".join(shown(choice or "(top)", 80) for choice in error.choices[-_NAMED:])
        raise IntakeError(
            f"{name} on the Hub holds {len(error.choices)} adapters: {listed}. Write {name}/FOLDER."
        ) from error
    for files, at_most in (
        ((layout.config,), LIMITS.adapter_config_bytes),
        (layout.weights, LIMITS.adapter_bytes),
    ):
        total = sum(sizes[file] for file in files)
        if total > at_most:
            raise IntakeError(
                f"{shown(files[0])} of {name} is {size_words(total)}; at most "
                f"{size_words(at_most)} is taken."
            )
    return [layout.config, *layout.weights]


def _sentence(name: str, revision: str | None, error: Exception) -> str:
    if isinstance(error, GatedRepoError):
        return f"{name} is gated. Accept its terms at huggingface.co/{name}, log in, try again."
    if isinstance(error, RevisionNotFoundError):
        return f'{name} has no revision "{revision}" on the Hub.'
    if isinstance(error, RepositoryNotFoundError):
        return f"{name} is not on the Hub, or it is private and you are not logged in."
    if isinstance(error, OfflineModeIsEnabled):
        return "The Hub is switched off here (HF_HUB_OFFLINE). Upload the two files instead."
    if isinstance(error, HfHubHTTPError):
        return f"The Hub answered with an error for {name}. Try again later."
    return "The Hub could not be reached. Check the network, or upload the two files instead."
