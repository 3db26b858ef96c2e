"""Texts that spell the memento tokens, and a program that reads them with every reader of a tokenizer there is."""

from app.memento.grammar import MEMENTO_TOKENS

LITERALS = [
    spelled
    for token in MEMENTO_TOKENS
    for spelled in (
        token,
        f" {token}",
        f"{token} ",
        f"a{token}b",
        f"\n{token}\n",
        f"\t{token}",
        f"1{token}2",
        token * 3,
        f"<{token}>",
        f"日本{token}",
        f"<|im_start|>{token}<|im_end|>",
        token.upper(),
        f"{token[:5]}{token}{token[5:]}",
    )
]

# Arguments: directory, JSON list of texts. Prints, for each reader, which texts gave one of the four ids and what the ids themselves are.
READ = """
import json, os, sys, tempfile
from pathlib import Path
from tokenizers import Tokenizer
from transformers import AutoTokenizer
directory, texts = Path(sys.argv[1]), json.loads(sys.argv[2])
names = ["<|block_start|>", "<|block_end|>", "<|summary_start|>", "<|summary_end|>"]
def look(encode, decode, id_of):
    four = [id_of(name) for name in names]
    return {
        "ids": four,
        "spelled": [text for text in texts if set(encode(text)) & set(four)],
        "names": [decode([id], skip_special_tokens=skip) for id in four for skip in (False, True)],
    }
plain = Tokenizer.from_file(str(directory / "tokenizer.json"))
auto = AutoTokenizer.from_pretrained(directory)
readers = {"tokenizers": look(lambda text: plain.encode(text).ids, plain.decode, plain.token_to_id)}
with tempfile.TemporaryDirectory() as copy:
    auto.save_pretrained(copy)
    saved = AutoTokenizer.from_pretrained(copy)
for name, tokenizer in (("auto", auto), ("saved and loaded", saved)):
    readers[name] = look(lambda text: tokenizer(text)["input_ids"], tokenizer.decode, tokenizer.convert_tokens_to_ids)
    def chat(text):
        talk = [{"role": role, "content": text} for role in ("system", "user", "assistant", "user")]
        return tokenizer.apply_chat_template(talk, tokenize=True, add_generation_prompt=True, return_dict=True)["input_ids"]
    readers[name + ", chat"] = look(chat, tokenizer.decode, tokenizer.convert_tokens_to_ids)
    readers[name + ", special"] = {"special": [t for t in tokenizer.all_special_tokens if t in names]}
print(json.dumps(readers))
"""


def assert_unspeakable(readers: dict, ids: list[int]) -> None:
    """No reader makes one of the four ids of text; each has them under their names, and none leaves them out of what it decodes."""
    names = [token for token in MEMENTO_TOKENS for _ in range(2)]
    for reader, found in readers.items():
        if "special" in found:
            assert found["special"] == [], reader
        else:
            assert found == {"ids": ids, "spelled": [], "names": names}, reader
