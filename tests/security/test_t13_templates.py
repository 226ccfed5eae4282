"""T13: a template or tokenizer in an upload is discarded: it is not rendered, not even opened."""

from pathlib import Path

import pytest

from tests.intake import builders
from tests.security.watching import watched
from workbench.intake.adapter import inspect_adapter

BOMB = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}"
FILES = {
    "chat_template.jinja": BOMB.encode(),
    "tokenizer_config.json": f'{{"chat_template": "{BOMB}"}}'.encode(),
    "tokenizer.json": b'{"pre_tokenizer": {"pattern": {"Regex": "(a+)+$"}}}',
    "special_tokens_map.json": b"{" * 100_000,
}


@pytest.mark.parametrize("kind", ["folder", "files", "zip"])
def test_t13_discarded_and_never_opened(tmp_path: Path, kind: str) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    archive = builders.zipped(tmp_path / "a.zip", builders.members(folder))
    given = {"folder": folder, "files": sorted(folder.iterdir()), "zip": archive}[kind]
    with watched() as seen:
        inspection = inspect_adapter(given, tmp_path / "work")
    assert inspection.adapter is not None
    assert set(inspection.ignored) == set(FILES)
    assert not any(Path(path).name in FILES for path in seen.opened)
    kept = [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert kept == ["adapter_model.safetensors"]
