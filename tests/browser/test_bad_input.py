"""Files of each bad kind: what the page says, word by word, and that nothing is left behind."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import EXAMPLES, ROOT, SETTINGS, Server, open_part, toast
from tests.ui import fake_run

pytestmark = pytest.mark.browser


def bad_adapter(kind: str, folder: Path) -> list[Path]:
    """Files of one bad kind."""
    good = fake_run.write_adapter(folder / "adapter", zero=kind == "zero")
    config, weights = good / "adapter_config.json", good / "adapter_model.safetensors"
    if kind == "alone":
        return [config]
    if kind == "torn":
        weights.write_bytes(weights.read_bytes()[:-1000])
    if kind == "not json":
        config.write_text("{not json")
    if kind == "no zip":
        (folder / "adapter.zip").write_bytes(b"PK\x03\x04" + b"0" * 200)
        return [folder / "adapter.zip"]
    if kind == "traversal":
        with zipfile.ZipFile(folder / "adapter.zip", "w") as archive:
            archive.writestr("../adapter_config.json", "{}")
        return [folder / "adapter.zip"]
    return [config, weights]


ADAPTERS = {
    "alone": "adapter_model.safetensors is missing. An adapter is the two files",
    "torn": "adapter_model.safetensors is cut off: 1000 bytes are missing. Upload again.",
    "not json": "adapter_config.json: it is not valid JSON",
    "zero": "every B matrix is zero, so the adapter changes nothing. Hand over the adapter after",
    "no zip": "adapter.zip is cut off or damaged. Pack it again and upload it anew.",
    "traversal": "adapter.zip has a member with an unsafe name: ../adapter_config.json.",
}
SEEDS = (
    ("seeds.csv", b"question;reply\n", "has no rows"),
    ("seeds.jsonl", b'{"input": 3}\n', "row 1: the input is a number"),
    ("seeds.jsonl", b"\x1f\x8b\x08\x00", "is compressed. Unpack it first."),
)


def test_bad_adapters(open_run: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    before = set(server.runs.glob("*/recipe.json"))
    page = open_run()
    for kind, words in ADAPTERS.items():
        folder = tmp_path / kind
        folder.mkdir()
        page.locator("#adapter-files input[type=file]").set_input_files(bad_adapter(kind, folder))
        toast(page, words)
        expect(page.locator("#adapter-refused")).to_contain_text(words)  # stays, unlike the toast
        expect(page.locator("#transfer-go")).to_contain_text("Add an adapter first")
    assert set(server.runs.glob("*/recipe.json")) == before
    good = fake_run.write_adapter(tmp_path / "good")
    page.locator("#adapter-files input[type=file]").set_input_files(sorted(good.iterdir()))
    expect(page.locator("#adapter-card")).to_contain_text("LoRA ·")
    expect(page.locator("#adapter-refused")).to_have_text("")
    # The same once more, and a kit twice: nothing of what was handed over before comes along.
    for _ in range(2):
        page.get_by_role("button", name="Change the adapter").click()
        kit = page.locator("#adapter-files input[type=file]")
        kit.set_input_files(ROOT / "assets" / "example-kit.zip")
        expect(page.locator("#seeds-count")).to_contain_text("15 examples")
        expect(page.locator("#adapter-drop")).to_be_hidden()


def test_bad_seeds(open_run: Callable[..., Any], tmp_path: Path) -> None:
    page = open_run()
    open_part(page, EXAMPLES)
    for name, content, words in SEEDS:
        (tmp_path / name).write_bytes(content)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Upload examples").click()
        chooser.value.set_files(tmp_path / name)
        toast(page, words)
        expect(page.locator("#seeds-count")).to_have_text("")


def test_bad_files_of_the_other_kinds(
    open_run: Callable[..., Any], server: Server, tmp_path: Path
) -> None:
    """Evaluation rows, own inputs, a discriminator and a recipe."""
    page = open_run(fake_run.draft(server.runs, "Other files").id)
    open_part(page, EXAMPLES)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"output": "a label"}\n')
    for element in ("evaluation-file", "unlabelled-file"):
        page.locator(f"#{element} input[type=file]").set_input_files(rows)
        toast(page, "rows.jsonl: which column is the input")
    zero = sorted(fake_run.write_adapter(tmp_path / "zero", zero=True).iterdir())
    page.locator("#discriminator-files input[type=file]").set_input_files(zero)
    toast(page, "every B matrix is zero")
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"sed": 1}')
    open_part(page, SETTINGS)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Load a recipe").click()
    chooser.value.set_files(recipe)
    toast(page, 'recipe has no field "sed"')
