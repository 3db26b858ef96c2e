"""Make a model ready to be served with mementos. Runs in the serving environment:

    python -m infra.weights.preparing --request JSON --out DIRECTORY

The four tokens get rows and embeddings (MEMENTO A.2.1), an adapter is merged, the chat template carries system prompts and tools, and
`config.json` says under "memento" what server and trainer must agree on. The directory is there whole or not at all.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.errors import Conflict, InvalidInput, KeepsakeError
from app.memento.grammar import MEMENTO_TOKENS
from infra.lock import exclusive, require_disk
from infra.weights.adapter import EMBEDDINGS, HEAD, read_adapter, read_adapter_config
from infra.weights.attention import without_window
from infra.weights.delta import read_header
from infra.weights.embedding import NewTokens, seed_pieces, shapes_after
from infra.weights.manifest import TOKENIZER, Manifest, read_manifest, write_manifest
from infra.weights.merging import DeltaChange, write_weights
from infra.weights.program import report
from infra.weights.request import Request, base_of, fingerprint, require_same_base
from infra.weights.rows import Rows, free_rows, known_rows, require_bpe, require_free, token_ids, tokenizer_settings, with_plain_tokens
from infra.weights.source import Say, Source, open_source, read_json
from infra.weights.templates import choose_template

SCRATCH = ".building-"  # no model's name begins with a dot
SPARE_BYTES = 200_000_000
KEPT = ("LICENSE*", "NOTICE*", "USE_POLICY*", "README.md", "MODEL_CARD.md", "generation_config.json")
IM_START, IM_END = "<|im_start|>", "<|im_end|>"


def prepare(request: Request, out: Path) -> Manifest:
    """Make `out` the prepared model, or find that it is the one of the same inputs. Atomic.

    Raises InvalidInput (a model, tokenizer or adapter that will not do), NotFound, Conflict (`out` is of other inputs), SetupError.
    """

    def say(line: str) -> None:
        sys.stderr.write(f"weights {request.name}: {line}\n")
        sys.stderr.flush()

    with exclusive(out.parent.with_name(f"{out.parent.name}.lock"), f"weights {request.name}: another process prepares a model, waiting"):
        out.parent.mkdir(parents=True, exist_ok=True)
        for stale in out.parent.glob(f"{SCRATCH}*"):  # of a process that was killed
            shutil.rmtree(stale)
        lora = read_adapter_config(request.adapter) if request.adapter and request.adapter.is_dir() else None
        change = DeltaChange(read_header(request.adapter), request.adapter) if request.adapter and lora is None else None
        source = open_source(request.model or base_of(lora), say)
        require_same_base(lora, source, named=bool(request.model))
        require_bpe(source.tokenizer)
        say("reading the inputs")
        inputs = fingerprint(request, source)
        if made := _existing(out, request.name, inputs):
            say("is there already, made of the same inputs")
            return made
        require_disk(out, sum(file.stat().st_size for file in source.files) + SPARE_BYTES, f"Preparing {request.name}")
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=out.parent) as scratch:
            built = Path(scratch) / "model"
            built.mkdir()
            facts = build(request, source, lora, change, built, say)
            say("checking")
            require_unspeakable(source, built, facts["tokens"])
            manifest = write_manifest(
                built,
                request.name,
                {"inputs": inputs, "model": source.name, "adapter": request.adapter.name if request.adapter else None, **facts},
            )
            built.rename(out)
        say(f"ready, {sum(file.stat().st_size for file in out.glob('*.safetensors')) / 1e9:.2f} GB")
    return manifest


def build(
    request: Request, source: Source, lora: dict[str, Any] | None, change: DeltaChange | None, built: Path, say: Say
) -> dict[str, Any]:
    """Write everything but the manifest into `built`; returns the memento settings."""
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoTokenizer

    height, config = source.shapes.get(EMBEDDINGS, [0])[0], source.config
    if height < max(token_ids(source.tokenizer).values()) + 1 or config.get("vocab_size") != height:
        raise InvalidInput("The embeddings have not the rows that config.json and the tokenizer say.", hint="Copy the model again.")
    tied = bool(AutoConfig.from_pretrained(source.directory, trust_remote_code=False).tie_word_embeddings)
    if not tied and HEAD not in source.shapes:
        raise InvalidInput(f"The weights lack {HEAD}.", hint="Copy the model again.")
    templates = source.templates()
    adapter = read_adapter(request.adapter, lora) if request.adapter and lora else None
    rows = choose_rows(source, request.adapter if lora else None, "".join(templates))
    tokens = NewTokens(
        rows,
        seed_pieces(Tokenizer.from_file(str(source.directory / TOKENIZER))),
        max(rows.embeddings(height), adapter.embeddings if adapter else 0),
    )
    if adapter:
        adapter.require_fit(shapes_after(source.shapes, tokens.height, tied), tied)

    facts = {"tokens": list(rows.ids), **request.policy(config)}
    dropped = ("auto_map", "_name_or_path", "transformers_version", "memento")
    plain = {key: value for key, value in without_window(config).items() if key not in dropped}
    _write(built / "config.json", {**plain, "vocab_size": max(height, tokens.height), "memento": facts})
    _write(built / TOKENIZER, with_plain_tokens(source.tokenizer, rows), indent=None)
    gone = {*MEMENTO_TOKENS, *(name for name, row in token_ids(source.tokenizer).items() if row in rows.ids)}
    settings = tokenizer_settings(source.settings("tokenizer_config.json"), source.settings("special_tokens_map.json"), gone)
    _write(built / "tokenizer_config.json", settings)
    for file in (file for pattern in KEPT for file in source.directory.glob(pattern) if file.is_file()):
        shutil.copyfile(file, built / file.name)
    with (built / "NOTICE").open("a", encoding="utf-8") as notice:
        changed = " and an adapter was merged" if request.adapter else ""
        notice.write(
            f"\nChanged by Keepsake from {source.name}: four memento tokens in rows {list(rows.ids)}, the chat template{changed}.\n"
        )

    prepared = AutoTokenizer.from_pretrained(built, trust_remote_code=False)

    def render(template: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
        return prepared.apply_chat_template(messages, tools=tools, chat_template=template, tokenize=False, add_generation_prompt=True)

    names = token_ids(source.tokenizer)
    (built / "chat_template.jinja").write_text(choose_template(templates, render, IM_START in names and IM_END in names), encoding="utf-8")
    write_weights(source, tokens, change or adapter, tied, built, say)
    return facts


def require_unspeakable(source: Source, built: Path, ids: list[int]) -> None:
    """InvalidInput unless no text is read as one of the four, and every other token of the model kept its id."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(built / TOKENIZER))
    spoken = [
        text
        for token in MEMENTO_TOKENS
        for text in (token, f" {token}", f"a{token}b", f"\n{token}\n", token * 2, f"1{token}2")
        if set(tokenizer.encode(text).ids) & set(ids)
    ]
    moved = [name for name, row in token_ids(source.tokenizer).items() if row not in ids and tokenizer.token_to_id(name) != row]
    if spoken or moved or [tokenizer.token_to_id(token) for token in MEMENTO_TOKENS] != ids:
        raise InvalidInput(
            "This tokenizer cannot hold the memento tokens out of text's reach.", hint="Take a model of the Llama, Qwen3 or Phi family."
        )


def choose_rows(source: Source, adapter: Path | None, template: str) -> Rows:
    """Where the tokens go: where the model has them, else where the adapter's tokenizer has them, else into free rows."""
    if rows := known_rows(source.tokenizer):
        return rows
    if adapter and (adapter / TOKENIZER).is_file() and (theirs := known_rows(read_json(adapter / TOKENIZER))):
        return require_free(source.tokenizer, Rows(theirs.ids))
    spoken = [template, json.dumps(source.settings("special_tokens_map.json")), json.dumps(_named(source))]
    ids = [value for key, value in source.config.items() if key.endswith("_token_id")]
    flat = [row for value in ids for row in (value if isinstance(value, list) else [value]) if isinstance(row, int)]
    return free_rows(source.tokenizer, source.shapes[EMBEDDINGS][0], spoken, flat)


def _named(source: Source) -> dict[str, Any]:
    """Tokens that the tokenizer's settings give a part to (bos, eos, pad ...)."""
    return {key: value for key, value in source.settings("tokenizer_config.json").items() if key.endswith("_token")}


def _existing(out: Path, name: str, inputs: str) -> Manifest | None:
    made = read_manifest(out)
    if made is None and out.exists():
        shutil.rmtree(out)  # no manifest: not one of ours that was finished
    if made and made.source.get("inputs") != inputs:
        raise Conflict(
            f"There is a model {name} already, made of other inputs.", hint=f"`keepsake models remove {name}`, or take another name."
        )
    return made


def _write(path: Path, value: object, indent: int | None = 1) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.weights.preparing", description="Make a model ready to be served with mementos.")
    parser.add_argument("--request", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the scratch directory goes
    try:
        prepare(Request.model_validate_json(options.request), options.out.absolute())
    except KeepsakeError as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
