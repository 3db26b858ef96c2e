"""vLLM's reasoning parser `memento`: blocks and mementos are reasoning, the rest is the content in which tool calls are looked for.

vLLM gives its parsers text and, beside it, ids; a delimiter that is merely spelled out must not count, and one that is a control token may be
missing from the text. So the ids are read, and vLLM's own text, which knows of stop strings, is cut where the ids say. `reasoning` spells the
delimiters out, so that a client that sees nothing else can still tell blocks from mementos. Control tokens stay out of the content as ever.

A structured output binds from the first token, for a model that opens no block must obey it as well; where the engine's grammar guard is on it
lets blocks through.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from app.memento.grammar import MEMENTO_TOKENS
from vllm.parser.abstract_parser import DelegatingParser, DeltaMessage, Parser
from vllm.reasoning import ReasoningParser, ReasoningParserManager

from keepsake_vllm.api.detokenise import Detokeniser, vocabulary
from keepsake_vllm.api.parts import Kind, Sections, Vocabulary
from keepsake_vllm.engine.options import Options, server_options
from keepsake_vllm.engine.patch import wrap

NAME = "memento"


class Reading:
    """One completion: ids and text come in, reasoning and content go out."""

    def __init__(self, parser: "MementoReasoningParser", skip_special: bool, prompt: Sequence[int]) -> None:
        self._sections = Sections(parser.reads, parser.reads.thinks(list(prompt)))
        self._decoder = Detokeniser(parser.model_tokenizer, skip_special, list(prompt))
        self._spelled = parser.spelled
        self._own = ""
        self._until = 0  # how much of it vLLM has given; it may lag behind, or be cut by a stop string
        self._ends: deque[int] = deque()  # where each token's text ends that has no part yet
        self._spans: deque[tuple[int, Kind, str | None]] = deque()  # end, part, and for a memento token what stands for its text
        self._told = 0

    def feed(self, text: str, tokens: Sequence[int], finished: bool) -> tuple[str, str, list[int]]:
        """The next reasoning, the next content, and the ids of the content."""
        answer: list[int] = []
        for token in tokens:
            self._own += self._decoder.step(token)
            self._ends.append(len(self._own))
            answer += self._label(self._sections.push(token))
        if finished:
            answer += self._label(self._sections.finish())
        self._until += len(text)
        reasoning, content = self._take()
        return reasoning, content, answer

    def _label(self, steps: Iterable[Any]) -> list[int]:
        answer = []
        for step in steps:
            spelled = self._spelled.get(step.token)
            self._spans.append((self._ends.popleft(), step.kind, spelled if step.mark or spelled is None else ""))
            if step.kind is Kind.ANSWER:
                answer.append(step.token)
        return answer

    def _take(self) -> tuple[str, str]:
        reasoning, content = [], []
        while self._spans:
            end, kind, spelled = self._spans[0]
            piece = self._own[self._told : min(end, self._until)]
            self._told += len(piece)
            if spelled is None:
                (content if kind is Kind.ANSWER else reasoning).append(piece)
            if self._told < end:
                break
            reasoning.append(spelled or "")
            self._spans.popleft()
        return "".join(reasoning), "".join(content)


class MementoReasoningParser(ReasoningParser):
    """Registered as `memento`. Raises ValueError if the tokenizer lacks the four tokens."""

    def __init__(self, tokenizer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, *args, **kwargs)
        self.reads = _reads(tokenizer, _options)
        ids = self.reads.ids
        order = (ids.block_start, ids.block_end, ids.summary_start, ids.summary_end)
        self.spelled = dict(zip(order, MEMENTO_TOKENS, strict=True))
        self.prompt: Sequence[int] = ()
        self.whole: tuple[Sequence[int], bool] | None = None
        self.reading: Reading | None = None

    def set_prompt_token_ids(self, prompt_token_ids: Sequence[int]) -> None:
        self.prompt = prompt_token_ids

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        """Asked about the prompt; before vLLM 0.32 this is the only time that a parser of a whole answer sees it."""
        self.prompt = self.prompt or input_ids
        return not self.reads.thinks(list(input_ids))

    def is_reasoning_end_streaming(self, input_ids: Sequence[int], delta_ids: Iterable[int]) -> bool:  # noqa: ARG002
        return self.reads.think is None or self.reads.think[1] in delta_ids

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        return [step.token for step in self._steps(input_ids) if step.kind is Kind.ANSWER]

    def count_reasoning_tokens(self, token_ids: Sequence[int]) -> int:
        return sum(step.kind is not Kind.ANSWER for step in self._steps(token_ids))

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:  # noqa: ARG002
        """All content if the ids are unknown: text alone cannot tell a token from its spelling."""
        if self.whole is None:
            return None, model_output
        tokens, skip_special = self.whole
        reasoning, content, _ = Reading(self, skip_special, self.prompt).feed(model_output, tokens, finished=True)
        return reasoning or None, content or (None if reasoning else "")

    def extract_reasoning_streaming(
        self,
        previous_text: str,  # noqa: ARG002
        current_text: str,  # noqa: ARG002
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],  # noqa: ARG002
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        """For callers other than vLLM's server, whose stream goes through `parse_delta`."""
        if self.reading is None or not previous_token_ids:
            self.reading = Reading(self, True, self.prompt)
        reasoning, content, _ = self.reading.feed(delta_text, delta_token_ids, finished=False)
        return DeltaMessage(reasoning=reasoning or None, content=content or None) if reasoning or content else None

    def _steps(self, tokens: Iterable[int]) -> list[Any]:
        sections = Sections(self.reads, self.reads.thinks(list(self.prompt)))
        return [step for token in tokens for step in sections.push(token)] + list(sections.finish())


@lru_cache(maxsize=4)  # vLLM makes a parser for each request, and this goes through the whole vocabulary
def _reads(tokenizer: Any, options: Options) -> Vocabulary:
    return vocabulary(tokenizer, options.token_ids(tokenizer.get_vocab()))


_options = Options()


def configure(options: Options) -> None:
    """Which tokens this process's parsers look for; vLLM makes parsers without telling them the server's options."""
    global _options
    _options = options


def install() -> None:
    """Register the parser and give it what vLLM keeps to itself: options, ids, the prompt, and the stream. Raises UnsupportedVLLM."""
    from vllm.config import VllmConfig

    ReasoningParserManager.register_module(name=NAME, module=MementoReasoningParser, force=True)
    wrap(VllmConfig, "__post_init__", (), _read_options)
    if "set_prompt_token_ids" in Parser.__dict__ and "set_prompt_token_ids" not in DelegatingParser.__dict__:
        wrap(Parser, "set_prompt_token_ids", ("prompt_token_ids",), _set_prompt)  # from vLLM 0.33 it reaches the reasoning parser by itself
    wrap(DelegatingParser, "parse", ("model_output", "request", "enable_auto_tools", "model_output_token_ids"), _parse)
    wrap(DelegatingParser, "parse_delta", ("delta_text", "delta_token_ids", "request", "prompt_token_ids", "finished"), _parse_delta)


def _read_options(original: Any) -> Any:
    def post_init(self: Any) -> None:
        original(self)
        configure(server_options(self.additional_config))

    return post_init


def _set_prompt(original: Any) -> Any:
    def set_prompt_token_ids(self: Any, prompt_token_ids: Sequence[int]) -> None:
        if isinstance(self.reasoning_parser, MementoReasoningParser):
            self.reasoning_parser.set_prompt_token_ids(prompt_token_ids)
        original(self, prompt_token_ids)

    return set_prompt_token_ids


def _parse(original: Any) -> Any:
    def parse(
        self: Any, model_output: str, request: Any, enable_auto_tools: bool = False, model_output_token_ids: Sequence[int] = ()
    ) -> Any:
        parser = self.reasoning_parser
        if isinstance(parser, MementoReasoningParser) and (model_output_token_ids or not model_output):
            parser.whole = (model_output_token_ids, getattr(request, "skip_special_tokens", True))
        return original(self, model_output, request, enable_auto_tools, model_output_token_ids)

    return parse


def _parse_delta(original: Any) -> Any:
    def parse_delta(
        self: Any, delta_text: str, delta_token_ids: list[int], request: Any, prompt_token_ids: list[int] | None = None, *, finished: bool
    ) -> Any:
        parser = self.reasoning_parser
        if not isinstance(parser, MementoReasoningParser):
            return original(self, delta_text, delta_token_ids, request, prompt_token_ids, finished=finished)
        if parser.reading is None:
            parser.prompt = prompt_token_ids or ()
            parser.reading = Reading(parser, getattr(request, "skip_special_tokens", True), parser.prompt)
        reasoning, content, tokens = parser.reading.feed(delta_text, delta_token_ids, finished)
        # All that vLLM sees is the answer: neither a tool parser nor a later block's text can be mistaken.
        state = self._stream_state
        state.prompt_reasoning_checked = state.reasoning_ended = True
        message = original(self, content, tokens, request, prompt_token_ids, finished=finished) if content or tokens or finished else None
        if reasoning and request.include_reasoning:
            message = message or DeltaMessage()
            message.reasoning = reasoning
        return message

    return parse_delta
