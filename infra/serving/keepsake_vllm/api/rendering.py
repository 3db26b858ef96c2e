"""The hook where vLLM turns rendered text into the prompt's ids: known ids are spliced in, and text gives no memento token.

The middleware has already made the request's strings harmless. Here it is done once more on what the template made of them: it may have joined
two strings into a literal, and a tokenizer may know a token by other spellings.
"""

from typing import Any

from keepsake_vllm.api.call import CALL, Call
from keepsake_vllm.api.splice import SpliceFailed
from keepsake_vllm.engine.patch import wrap


def install() -> None:
    """Raises UnsupportedVLLM."""
    from vllm.renderers.base import BaseRenderer

    wrap(BaseRenderer, "tokenize_prompts_async", ("prompts", "params"), _tokenize)


def _tokenize(original: Any) -> Any:
    async def tokenize_prompts_async(self: Any, prompts: Any, params: Any) -> Any:
        call = CALL.get()
        if call is None:
            return await original(self, prompts, params)
        texts = [
            isinstance(prompt, dict) and isinstance(prompt.get("prompt"), str) and "prompt_token_ids" not in prompt for prompt in prompts
        ]
        prepared = [_harmless(call, prompt) if is_text else prompt for prompt, is_text in zip(prompts, texts, strict=True)]
        if call.splice is not None:
            prepared = [await _spliced(self, call, prompt, params) for prompt in prepared]
            return await original(self, prepared, params)
        result = await original(self, prepared, params)
        for prompt, is_text in zip(result, texts, strict=True):
            if is_text and "prompt_token_offsets" not in prompt:
                prompt["prompt_token_ids"] = without_tokens(call, prompt["prompt_token_ids"])
        return result

    return tokenize_prompts_async


def _harmless(call: Call, prompt: dict[str, Any]) -> dict[str, Any]:
    if call.literals is None or not call.literals.found(prompt["prompt"]):
        return prompt
    return {**prompt, "prompt": call.literals.neutralise(prompt["prompt"])}


def without_tokens(call: Call, ids: list[int]) -> list[int]:
    """Ids that text gave, less memento tokens."""
    if call.literals is None or call.ids is None:
        return ids
    ours = {call.ids.block_start, call.ids.block_end, call.ids.summary_start, call.ids.summary_end}
    return ids if ours.isdisjoint(ids) else [token for token in ids if token not in ours]


async def _spliced(renderer: Any, call: Call, prompt: Any, params: Any) -> dict[str, Any]:
    from dataclasses import replace

    from vllm.exceptions import VLLMValidationError

    assert call.splice is not None
    extra = set(prompt) - {"prompt"} if isinstance(prompt, dict) else {"something else"}
    if extra or not isinstance(prompt["prompt"], str):
        raise VLLMValidationError("a conversation continued by token ids must be text throughout", parameter="messages")

    async def encode(text: str, first: bool) -> list[int]:
        chosen = params if first else replace(params, add_special_tokens=False)
        done = await renderer._tokenize_prompt_async({"prompt": text}, chosen)
        return without_tokens(call, list(done["prompt_token_ids"]))

    try:
        return {"prompt_token_ids": await call.splice.apply(prompt["prompt"], encode)}
    except SpliceFailed as failed:
        raise VLLMValidationError(str(failed), parameter="messages") from failed
