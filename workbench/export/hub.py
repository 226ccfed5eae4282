"""Puts a finished bundle, or a whole run, on the Hugging Face Hub: one commit to a repository.

The token comes from the person who pushes and serves this one push; the token that this machine
may be logged in with is never used. Nothing is sent while card and config do not name their base
by a Hub id, and nothing that should be private goes to a repository that is public already.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from workbench.errors import StageError
from workbench.export.bundle import CARD, CONFIG, SAMPLES, WEIGHTS
from workbench.export.published import HUB_ID, published_texts

RECIPE = "recipe.json"
_TOKENS = "huggingface.co/settings/tokens"
_UNREACHABLE = (
    "The Hub could not be reached, or the connection broke off. Check the network and push "
    "again; what has arrived already is not sent twice."
)


def push(
    folder: Path,
    repo_id: str,
    token: str | None,
    private: bool = True,
    *,
    samples: bytes | None = None,
    base_model: str = "",
    endpoint: str | None = None,
) -> str:
    """Push the bundle in ``folder`` as a new commit and return the repository's address.

    Args:
        repo_id: ``name`` or ``owner/name``; made if it is not there yet.
        samples: the synthetic data set, sent too; without it, one that an earlier push sent is
            deleted (the repository's history keeps it).
        base_model: the target base's Hub id, for a bundle that names none (a local folder).
        endpoint: another Hub than huggingface.co.

    Raises:
        StageError: one sentence, for whatever goes wrong.
    """

    def additions(name: str) -> list[CommitOperationAdd]:
        return _additions(folder, name, base_model.strip(), samples)

    unwanted = SAMPLES if samples is None else ""
    message = "Upload the transferred adapter"
    return _commit(repo_id, token, private, additions, message, unwanted, endpoint)


def keep(archive: Path, repo_id: str, token: str | None, *, endpoint: str | None = None) -> str:
    """Put the archive of a run into a private repository; returns its address.

    Raises:
        StageError: one sentence, for whatever goes wrong; also where everybody can read it.
    """
    added = [CommitOperationAdd(archive.name, archive)]
    return _commit(repo_id, token, True, lambda _: added, "Keep a run", endpoint=endpoint)


def _commit(
    repo_id: str,
    token: str | None,
    private: bool,
    additions: Callable[[str], list[CommitOperationAdd]],
    message: str,
    unwanted: str = "",
    endpoint: str | None = None,
) -> str:
    """One commit to a repository that is made if it is not there yet; returns its address.

    Args:
        additions: the files, by the repository's whole name.
        unwanted: a file that is deleted if it is there.
    """
    given = (token or "").strip()
    if not given:
        raise StageError(f"Give a token with write permission; you make one at {_TOKENS}.")
    # A header can hold nothing else, and the complaint about it would quote the token.
    if not (given.isascii() and given.isprintable() and " " not in given):
        raise StageError(f"That is no token of the Hub. Copy it again from {_TOKENS}.")
    name = _checked(repo_id)
    api = HfApi(endpoint=endpoint, token=given)
    try:
        if "/" not in name:
            name = f"{api.whoami()['name']}/{name}"
        added = additions(name)
        api.create_repo(name, private=private, exist_ok=True)
        there = api.model_info(name)
        if private and not there.private:
            raise StageError(
                f"{name} is on the Hub already and everybody can read it. Choose another name; "
                "an adapter alone may be pushed there with private unticked."
            )
        former = {file.rfilename for file in there.siblings or ()}
        deletions = [CommitOperationDelete(unwanted)] if unwanted in former else []
        api.create_commit(name, [*added, *deletions], commit_message=message)
    except StageError:
        raise
    except Exception as error:
        raise StageError(_sentence(name, error)) from error
    return f"{api.endpoint}/{name}"


def _checked(repo_id: str) -> str:
    name = (repo_id or "").strip().strip("/")
    try:
        validate_repo_id(name)
    except HFValidationError:
        name = ""
    if not HUB_ID.fullmatch(name):
        raise StageError(
            "The name of the repository is missing or not possible. Write name or owner/name "
            "with letters, digits, single - and dots."
        )
    return name


def _additions(
    folder: Path, name: str, base_model: str, samples: bytes | None
) -> list[CommitOperationAdd]:
    """Exactly the files of a bundle, whatever else may lie in the folder."""
    card, config = published_texts(
        (folder / CARD).read_bytes().decode("utf-8", "replace"),  # somebody may have saved it
        (folder / CONFIG).read_text(encoding="utf-8"),
        name=name,
        base_model=base_model,
        samples=samples is not None,
    )
    content: dict[str, Any] = {
        CARD: card.encode(),
        CONFIG: config.encode(),
        RECIPE: folder / RECIPE,
        WEIGHTS: folder / WEIGHTS,
    }
    if samples is not None:
        content[SAMPLES] = samples
    return [CommitOperationAdd(file, value) for file, value in content.items()]


def _sentence(name: str, error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HfHubHTTPError):
        cause = cause.__cause__  # an upload's own error is wrapped in one without a status
    if isinstance(error, OfflineModeIsEnabled):
        return "The Hub is switched off here (HF_HUB_OFFLINE). Download the adapter instead."
    if isinstance(error, ValueError) and "metadata" in str(error):
        return "The Hub cannot read the head of the card (between the --- lines). Edit and save it."
    if isinstance(cause, HfHubHTTPError):
        return _answered(name, cause.response.status_code)
    return _UNREACHABLE


def _answered(name: str, status: int) -> str:
    if status == 401:
        return f"The Hub does not know this token (401). Copy it again from {_TOKENS}."
    if status in (403, 404):
        owner = name.split("/")[0]
        return (
            f"This token may not write to {owner} ({status}). Take one with write permission, or "
            "another owner."
        )
    if status == 400:
        return f"The Hub refused {name} (400). Choose another name, or look at the card again."
    return f"The Hub answered with error {status}. Try again in a few minutes."
