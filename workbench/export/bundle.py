"""Writes the adapter as a folder and as a zip that plain PEFT loads.

A bundle appears whole or not at all: the zip counts, and the folder holds what is in it. Local
paths stay here: the adapter's config names a Hub id or nothing, and folders in the recipe are cut
to their last part.
"""

import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench import recipe as recipes
from workbench.errors import RunError, StageError
from workbench.export.card import base_name, model_card
from workbench.export.consent import may_repeat
from workbench.export.dataset import write_jsonl
from workbench.models import references
from workbench.recipe import TransferRecipe
from workbench.runs import atomic
from workbench.runs.damage import BAD_ZIP, newest_archive
from workbench.samples import Sample

FOLDER = "adapter"
WEIGHTS, CONFIG, CARD = "adapter_model.safetensors", "adapter_config.json", "README.md"
RECIPE, SAMPLES = "recipe.json", "samples.jsonl"
NAMES = {WEIGHTS, CONFIG, CARD, RECIPE, SAMPLES}
CARD_CHARACTERS = 100_000
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that zip can say: equal bundles, equal bytes


@dataclass(frozen=True)
class Bundle:
    """A finished bundle: a folder, and the same as a zip."""

    folder: Path
    archive: Path

    def card(self) -> str:
        """The model card; where somebody saved it as anything but UTF-8, with marks for that."""
        return atomic.read_bytes(self.folder / CARD).decode("utf-8", "replace")


def write_bundle(
    exports: Path,
    *,
    adapter_folder: Path,
    recipe: TransferRecipe,
    result: Mapping[str, Any],
    samples: Sequence[Sample],
    inherited: bool = False,
) -> Bundle:
    """Write ``exports/adapter/`` and a zip named after task and target; older ones are replaced.

    Args:
        adapter_folder: what ``Resident.save_adapter`` wrote: weights and config.
        result: the content of result.json, for the card.
        samples: those that the adapter was trained on; left out where one may be a private row.
        inherited: see ``consent.may_repeat``.
    """
    config = atomic.read_json(adapter_folder / CONFIG)
    if not isinstance(config, dict) or not (adapter_folder / WEIGHTS).is_file():
        raise StageError("The trained adapter was not saved completely. Run the export again.")
    exports.mkdir(parents=True, exist_ok=True)
    partial = atomic.partial_name(exports / FOLDER)
    partial.mkdir()
    config["base_model_name_or_path"] = references.hub_id(recipe.target_base)
    atomic.copy_in(adapter_folder / WEIGHTS, partial / WEIGHTS)
    atomic.write_json(partial / CONFIG, config)
    atomic.write_json(partial / RECIPE, recipes.to_dict(public_recipe(recipe)))
    if not may_repeat(samples, inherited):
        write_jsonl(partial / SAMPLES, samples)
    hashes = {path.name: atomic.sha256_of(path) for path in sorted(partial.iterdir())}
    atomic.write_text(partial / CARD, model_card(recipe, result, hashes))
    return _publish(partial, exports, _slug(recipe))


def find_bundle(exports: Path) -> Bundle | None:
    """The bundle that was written last, or None when there is none that is whole.

    A folder that is gone or of another bundle, because somebody died between zip and folder, is
    unpacked from the zip again.
    """
    archive, folder = newest_archive(exports), exports / FOLDER
    if archive is None:
        return None
    with suppress(OSError, RunError, *BAD_ZIP):
        _require_same(archive, folder)
    whole = all((folder / name).is_file() for name in (WEIGHTS, CARD))
    return Bundle(folder, archive) if whole else None


def _require_same(archive: Path, folder: Path) -> None:
    """Unpack, unless the folder has the card of the zip, in which all other files are hashed."""
    with zipfile.ZipFile(archive) as opened:
        members = {name.rpartition("/")[2]: name for name in opened.namelist()}
        card = folder / CARD
        readable = card.is_file() and card.stat().st_size <= 4 * CARD_CHARACTERS
        if readable and all((folder / name).is_file() for name in NAMES & members.keys()):
            edited = card.stat().st_mtime > archive.stat().st_mtime  # by hand, in the folder
            if edited or card.read_bytes() == opened.read(members[CARD]):
                return
        partial = atomic.partial_name(folder)
        partial.mkdir()
        try:
            for name in NAMES & members.keys():
                with opened.open(members[name]) as source, (partial / name).open("xb") as target:
                    shutil.copyfileobj(source, target, 1024**2)
            atomic.replace_folder(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def replace_card(bundle: Bundle, text: str) -> Bundle:
    """The bundle with another model card; the zip is written anew, weights and all."""
    if len(text) > CARD_CHARACTERS:
        raise StageError(f"A model card has at most {CARD_CHARACTERS:,} characters. Shorten it.")
    exports = bundle.folder.parent
    partial = atomic.partial_name(exports / FOLDER)
    shutil.copytree(bundle.folder, partial)
    atomic.write_text(partial / CARD, text.rstrip() + "\n")
    return _publish(partial, exports, bundle.archive.stem)


def public_recipe(recipe: TransferRecipe) -> TransferRecipe:
    """The recipe with local folders and files cut to their last part."""
    return replace(
        recipe,
        source_base=_public_reference(recipe.source_base),
        target_base=_public_reference(recipe.target_base),
        evaluation=replace(recipe.evaluation, database=Path(recipe.evaluation.database).name),
    )


def _public_reference(reference: str) -> str:
    local = references.parse(reference).kind == "folder"
    return f"folder:{base_name(reference)}" if local else reference


def _slug(recipe: TransferRecipe) -> str:
    words = f"{recipe.task_name} {base_name(recipe.target_base).split('/')[-1]}".lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:80].strip("-") or FOLDER


def _publish(partial: Path, exports: Path, slug: str) -> Bundle:
    """Zip, and put the zip in place: that is when the bundle is another; then the folder."""
    archive, folder = exports / f"{slug}.zip", exports / FOLDER
    partial_archive = atomic.partial_name(archive)
    with zipfile.ZipFile(partial_archive, "w") as target:
        for path in sorted(partial.iterdir()):
            _add(target, path, f"{slug}/{path.name}")
    atomic.sync_file(partial_archive)
    partial_archive.replace(archive)
    atomic.replace_folder(partial, folder)
    for older in exports.glob("*.zip"):
        if older != archive:
            older.unlink()
    return Bundle(folder, archive)


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    info = zipfile.ZipInfo(name, _FIXED_DATE)
    info.external_attr = 0o644 << 16
    info.file_size = path.stat().st_size  # from 2 GiB on another form is needed
    # Weights do not compress; everything else is text.
    stored = path.name == WEIGHTS
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with path.open("rb") as source, archive.open(info, "w") as member:
        shutil.copyfileobj(source, member, 1024**2)
