"""The base's vocabulary with the four memento tokens in it, as changes to the files of a Hugging Face tokenizer.

Needs neither torch nor transformers.
Rows 7 to 10 (`<gh_stars>`, `<issue_start>`, `<issue_comment>`, `<issue_closed>`) were never trained, so they take the tokens' place and
nothing is resized (as Phi-4-reasoning did for its thinking tags). Their old names become ordinary text.

The four are plain entries of the BPE vocabulary that no merge leads to, not added tokens. An added token is cut out of any text that spells its
name; these can only be named by id, so no text of a user, tool or page is ever read as one of them, whoever calls the tokenizer.
"""

import copy
from collections.abc import Iterable
from random import Random
from typing import Any

from app.memento.grammar import BLOCK_END, BLOCK_START, MEMENTO_TOKEN_IDS, SUMMARY_END, SUMMARY_START

# Words whose embeddings a new token starts from, MEMENTO A.2.1. Each has a token of its own when it follows a space.
SEED_WORDS = {
    BLOCK_START: ("block", "start", "begin", "section", "step"),
    BLOCK_END: ("block", "end", "finish", "section", "done"),
    SUMMARY_START: ("summary", "summarize", "recap", "overview", "brief"),
    SUMMARY_END: ("summary", "end", "finish", "done", "complete"),
}
NOISE_STD = 0.01  # MEMENTO A.2.1
SPACE = "Ġ"  # how byte-level BPE writes a leading space

# Plain ChatML. SmolLM2's own template puts a system prompt of its makers before every conversation that has none.
# With `bare_turns` an answer begins with <|im_start|> and ends with <|im_end|>, and nothing else says whose turn it is: two tokens a pair of
# turns for ten, and a team's run has twenty pairs.
CHAT_TEMPLATE = (
    "{% if bare_turns %}<|im_start|>"
    "{% for message in messages %}"
    "{{ (message['content'] or '') + ('<|im_end|>' if message['role'] == 'assistant' else '<|im_start|>') }}"
    "{% endfor %}{% else %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + (message['content'] or '') + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}{% endif %}"
)


def with_memento_tokens(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """`tokenizer.json` of the base with rows 7 to 10 renamed and no longer added tokens, and digits split as SmolLM2's own tokenizer splits them.

    The last is a repair: transformers' GGUF reader leaves the `Digits` step out, so that `a  12` came out unlike in training. Idempotent.
    """
    changed = copy.deepcopy(tokenizer)
    names = {row: token for token, row in MEMENTO_TOKEN_IDS.items()}
    changed["model"]["vocab"] = {names.get(row, token): row for token, row in tokenizer["model"]["vocab"].items()}
    changed["added_tokens"] = [entry for entry in changed["added_tokens"] if entry["id"] not in names]
    changed["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ],
    }
    return changed


def tokenizer_config(max_tokens: int) -> dict[str, Any]:
    """`tokenizer_config.json`: written whole, because what transformers saves names paths and defaults of the machine it ran on."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "clean_up_tokenization_spaces": False,
        **special_tokens_map(),
    }


def special_tokens_map() -> dict[str, Any]:
    """`special_tokens_map.json`. Not the memento tokens: transformers would make added tokens of them again."""
    return {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
    }


def seed_rows(vocab: dict[str, int]) -> dict[int, list[int]]:
    """Row of each memento token to the rows of the words it starts from. KeyError if the vocabulary lacks one of the words."""
    return {MEMENTO_TOKEN_IDS[token]: [vocab[SPACE + word] for word in words] for token, words in SEED_WORDS.items()}


def initial_vector(rows: Iterable[list[float]], seed: int) -> list[float]:
    """Mean of `rows` plus seeded noise of NOISE_STD, the same on every machine.

    Plain Python floats in a fixed order, and a sum of twelve uniforms for the normal, so that no vector unit or libm has a say.
    """
    rows = list(rows)
    random = Random(seed)
    return [sum(column) / len(rows) + NOISE_STD * (sum(random.random() for _ in range(12)) - 6.0) for column in zip(*rows, strict=True)]
