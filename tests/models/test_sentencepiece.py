"""A base whose only tokenizer file is SentencePiece's own is read as that library reads it."""

import io
import json
from pathlib import Path

import sentencepiece

from tests import tiny
from workbench.models.formats import bind
from workbench.models.resident import load
from workbench.recipe import PromptFormat


def test_a_tokenizer_model_is_enough(tmp_path: Path) -> None:
    folder = tiny.write_source(tmp_path / "base")
    for path in [*folder.glob("tokenizer*"), *folder.glob("chat_template*")]:
        path.unlink()
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(tiny.SOURCE_TEXT + tiny.TARGET_TEXT),
        model_writer=written,
        vocab_size=330,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    resident = load(folder, device="cpu")
    own = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    form = bind(PromptFormat(kind="text", template="Review: {input}\nAnswer:"), resident.tokenizer)
    whole = own.encode("Review: the film\nAnswer: positive")
    ids = [*form.prompt_ids("the film"), *form.answer_ids("positive")[:-1]]
    assert [token for token in ids if token != resident.tokenizer.bos_token_id] == whole
    assert form.read(form.answer_ids("positive")) == "positive"
