"""An adapter from the Hugging Face Hub: its two files, as if a person had uploaded them.

The revision is resolved to a commit and sizes are read before anything is fetched; only
adapter_config.json and adapter_model.safetensors are taken, and then pass the same checks as an
upload. No code, no pickles, no tokenizer of the repository is ever read. On a server that
strangers share every request goes without a login first, and with the visitor's own where that is
not enough; never with the server's.
"""

import re
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
from workbench.intake.adapter import WANTED
from workbench.intake.wording import shown
from workbench.models import hub_access

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REFERENCE = re.compile(rf"(?:hub:)?({_PART}/{_PART})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,99}}))?")


def fetch_adapter(reference: str, folder: Path) -> list[Path]:
    """Fetch the two files of ``owner/name`` or ``owner/name@revision`` below ``folder``.

    Raises:
        IntakeError: no such name, no access, no network, or files that are no adapter of ours.
    """
    match = _REFERENCE.fullmatch(reference.strip())
    if match is None:
        raise IntakeError(
            f'"{shown(reference, 80)}" is no id on the Hub. Write owner/name, or '
            "owner/name@revision."
        )
    name, revision = match.groups()
    for token in (tokens := hub_access.current().tokens()):
        try:
            return _fetch(name, revision, token, folder)
        except IntakeError:
            raise
        except Exception as error:
            if token is tokens[-1] or not isinstance(error, RepositoryNotFoundError):
                raise IntakeError(_sentence(name, revision, error)) from error
    raise AssertionError("there is always a way to ask")


def _fetch(name: str, revision: str | None, token: str | bool | None, folder: Path) -> list[Path]:
    info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=30, token=token)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    _check(name, sizes)
    return [
        Path(hf_hub_download(name, file, revision=info.sha, local_dir=folder, token=token))
        for file in WANTED
    ]


def _check(name: str, sizes: dict[str, int]) -> None:
    for file, at_most in WANTED.items():
        if file not in sizes:
            hint = " Pickles (.bin) are not read." if "adapter_model.bin" in sizes else ""
            raise IntakeError(f"{name} on the Hub has no {file}.{hint} Choose another adapter.")
        if sizes[file] > at_most:
            raise IntakeError(f"{file} of {name} is {sizes[file]:,} bytes; at most {at_most:,}.")


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
