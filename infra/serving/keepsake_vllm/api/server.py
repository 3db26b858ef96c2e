"""What the middleware needs to know of the server it stands before; read once, when the first request comes."""

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from app.memento.grammar import TokenIds

from keepsake_vllm.api.parts import Decoder, Vocabulary
from keepsake_vllm.api.sessions import Sessions
from keepsake_vllm.api.untrusted import Literals
from keepsake_vllm.engine.options import Options

GUARDED = ("/v1", "/v2", "/inference", "/cohere")  # paths for which vLLM asks for an API key


@dataclass
class Server:
    options: Options
    literals: Literals
    template_speaks: bool  # the chat template itself writes memento tokens
    model: str
    keys: tuple[bytes, ...] = ()
    vocabulary_size: int = 0
    vocabulary: Vocabulary | None = None  # None: this model's tokenizer lacks the four tokens
    decoder: Callable[[], Decoder] | None = None

    @property
    def ids(self) -> TokenIds | None:
        return self.vocabulary.ids if self.vocabulary else None

    @cached_property
    def sessions(self) -> Sessions:
        directory = self.options.session_dir
        return Sessions(Path(directory).expanduser() if directory else None, self.options.session_hours)

    def key(self, authorization: str | None) -> bytes | None:
        """The presented API key if it is one of the server's."""
        scheme, _, given = (authorization or "").partition(" ")
        presented = given.encode()
        known = [secrets.compare_digest(_sha(key), _sha(presented)) for key in self.keys]
        return presented if scheme.lower() == "bearer" and any(known) else None

    def owner(self, key: bytes | None) -> bytes:
        """Whose sessions a caller may continue: those of the same key, on the same model."""
        return _sha(key or b"") + self.model.encode()


def _sha(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def read_server(state: Any) -> Server:
    """From vLLM's application state. Raises ValueError if the options are wrong."""
    from keepsake_vllm.api.detokenise import decoders, vocabulary
    from keepsake_vllm.engine.options import server_options

    tokenizer = state.online_renderer.renderer.tokenizer
    options = server_options(state.vllm_config.additional_config)
    known = tokenizer.get_vocab() if tokenizer is not None else {}
    spelled = {number: token for token, number in known.items()}
    try:
        ids = options.token_ids(known)
    except ValueError:
        if options.enabled:
            raise
        ids = None
    numbers = (ids.block_start, ids.block_end, ids.summary_start, ids.summary_end) if ids else ()
    literals = Literals(tokenizer.convert_ids_to_tokens(number) or spelled[number] for number in numbers)
    template = state.online_renderer.chat_template or getattr(tokenizer, "chat_template", None) or ""
    return Server(
        options=options,
        literals=literals,
        template_speaks=literals.found(str(template)),
        model=str(state.vllm_config.model_config.model),
        keys=tuple(key.encode() for key in (state.args.api_key or [os.environ.get("VLLM_API_KEY", "")]) if key),
        vocabulary_size=state.vllm_config.model_config.get_vocab_size(),
        vocabulary=vocabulary(tokenizer, ids) if ids else None,
        decoder=decoders(tokenizer, ids) if ids else None,
    )
