"""The memento tokens, and how text from outside is kept from ever becoming one.

Grammar of a stream (MEMENTO, arXiv 2604.09852, A.2.1): `(block_start reasoning block_end summary_start memento summary_end)* answer`.
"""

import re

BLOCK_START = "<|block_start|>"
BLOCK_END = "<|block_end|>"
SUMMARY_START = "<|summary_start|>"
SUMMARY_END = "<|summary_end|>"
MEMENTO_TOKENS = (BLOCK_START, BLOCK_END, SUMMARY_START, SUMMARY_END)

# Rows 7 to 10 of SmolLM2's vocabulary are unused; the four tokens take their place, so nothing is resized.
MEMENTO_TOKEN_IDS = {BLOCK_START: 7, BLOCK_END: 8, SUMMARY_START: 9, SUMMARY_END: 10}

# Literal strings that some tokenizer or chat template reads as control: every `<|name|>` and DeepSeek's `<｜name｜>`, then names in angle
# brackets (SmolLM2, Llama, Gemma, thinking and tools), in half-barred ones (Gemma 4: `<|turn>`, `<turn|>`), and in Mistral's square ones.
_ANGLE = (
    "repo_name|reponame|file_sep|filename|gh_stars|issue_start|issue_comment|issue_closed|jupyter_start|jupyter_text|jupyter_code"
    "|jupyter_output|jupyter_script|empty_output|s|/s|unk|pad|bos|eos|/?think|/?tool_call|/?tool_response|/?tools|/?safety_thoughts"
    "|(?:start|end)_of_(?:turn|image)|(?:start|end)_function_(?:call|declaration|response)"
)
_HALF_BARRED = "turn|channel|think|tool|tool_call|tool_response|image|audio|video"
_SQUARE = "/?INST|/?SYSTEM_PROMPT|/?AVAILABLE_TOOLS|TOOL_CALLS|/?TOOL_RESULTS|/?TOOL_CONTENT|CALL_ID|ARGS|/?THINK"
_CONTROL = re.compile(
    rf"<\|([^|<>\n]{{1,64}})\|>|<｜([^｜<>\n]{{1,64}})｜>|｜(DSML)｜|<<(/?SYS)>>"
    rf"|<({_ANGLE})>|<\|({_HALF_BARRED})>|<({_HALF_BARRED})\|>|\[({_SQUARE})\]"
)


def neutralise(text: str) -> str:
    """`text` with every control-token literal made harmless but still readable: `<|im_end|>` becomes `‹im_end›`.

    Applied to all that a person, page, file or program supplies before a model sees it. Idempotent; other text is returned unchanged.
    """
    previous = None
    while previous != text:  # taking one literal out may join the halves of another
        previous, text = text, _CONTROL.sub(lambda m: f"‹{m[m.lastindex or 0]}›", text)
    return text
