"""Claims about training hub models that need torch and TRL. Each function takes an empty directory and fails by an exception; test_hub_claims.py
runs them in the training environment, all in one process.

    .venv-train/bin/python -m tests.infra.training.hub.hub_claims DIRECTORY [CLAIM]...        prints {claim: {failed, skipped, seconds}}
"""

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    Olmo3Config,
    Olmo3ForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import add_fused_lm_head

from app.config import Settings
from app.errors import Conflict, InvalidInput, KeepsakeError, NotFound, SetupError, StorageError
from app.memento.grammar import TokenIds
from app.memento.visibility import Policy, evict_after, visible
from infra.training.hub.architecture import read_architecture
from infra.training.hub.config import LoraConfig, load_hub_recipe
from infra.training.hub.encode import Encoder
from infra.training.hub.hook import attach_mask
from infra.training.hub.job import HubJob
from infra.training.hub.lora import with_adapter
from infra.training.hub.mask import rule_of
from infra.training.hub.pretrained import find_model
from infra.training.hub.rows import RowReader
from infra.training.hub.trainer import saved_steps
from infra.training.mementos.records import read_trace
from infra.training.monitor import Metrics
from infra.weights.adapter import read_adapter, read_adapter_config
from tests.infra.training.decoding import compacted_decoding
from tests.infra.training.hub.tiny import prepared, record, write_hub_recipe, write_records

IDS = TokenIds(7, 8, 9, 10)
ROWS = [7, 8, 9, 10]
POLICIES = (Policy(), Policy(keep_delimiters=True), Policy(keep_last_n=1), Policy(summary_end_sees_block=False))
SIZE = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig, {"head_dim": 16}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16}),
    "phi3": (Phi3ForCausalLM, Phi3Config, {}),
    "olmo3": (Olmo3ForCausalLM, Olmo3Config, {"sliding_window": 12, "layer_types": ["sliding_attention", "full_attention"]}),
}


# Rows and models


def stream(blocks: int, seed: int = 0, size: int = 6) -> list[int]:
    """A prompt, blocks with their mementos, an answer."""
    draw = torch.Generator().manual_seed(seed)

    def words(n: int) -> list[int]:
        return torch.randint(20, 90, (n,), generator=draw).tolist()

    pairs = [token for _ in range(blocks) for token in (7, *words(size), 8, 9, *words(2), 10)]
    return [*words(3), *pairs, *words(4), 2]


def build(family: str, attention: str = "sdpa", **changes: Any) -> Any:
    kind, config, own = FAMILIES[family]
    torch.manual_seed(11)
    shape = {"vocab_size": 96, "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **SIZE, **own, **changes}
    model = kind(config(**shape)).eval()
    model.set_attn_implementation(attention)
    return model


def padded(rows: list[list[int]]) -> dict[str, Any]:
    return DataCollatorForLanguageModeling(pad_token_id=0)([{"input_ids": row} for row in rows])


def packed(rows: list[list[int]]) -> dict[str, Any]:
    joined = {"input_ids": [token for row in rows for token in row], "seq_lengths": [len(row) for row in rows]}
    return DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([joined])


def logits(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model(**{name: value for name, value in batch.items() if name != "labels"}, use_cache=False).logits


def additive(seen: list[list[bool]], window: int | None = None) -> torch.Tensor:
    mask = torch.tensor(seen)
    if window:
        place = torch.arange(len(mask))
        mask &= place[:, None] - place < window
    return torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[None, None]


def seen(row: list[int], policy: Policy) -> list[list[bool]]:
    after = evict_after(row, IDS, policy)
    return [[visible(q, k, after) for k in range(len(row))] for q in range(len(row))]


# The mask


def the_mask_is_the_rule_of_every_document(folder: Path) -> None:
    from torch.nn.attention.flex_attention import create_mask

    rows = [stream(3), stream(1, 1), stream(2, 2)]
    for policy in POLICIES:
        expected = torch.block_diag(*(torch.tensor(seen(row, policy)) for row in rows)).bool()
        batch = packed(rows)
        rule = rule_of(batch["input_ids"], batch["position_ids"], IDS, policy)
        assert torch.equal(rule.dense()[0, 0], expected)
        length = expected.shape[0]
        assert torch.equal(create_mask(rule.sees, 1, 1, length, length, device="cpu"), rule.dense()), "FlexAttention would see another mask"
        assert expected.sum() < torch.block_diag(*(torch.ones(len(r), len(r)).tril() for r in rows)).sum()
        unpacked = rule_of(padded(rows)["input_ids"], None, IDS, policy).dense()
        for row, mask in zip(rows, unpacked, strict=True):
            assert mask[0, : len(row), : len(row)].tolist() == seen(row, policy)


def a_block_mask_of_flex_attention_is_the_dense_one(folder: Path) -> None:
    rows = [stream(9, size=20), stream(5, 1, 20)]
    length = 512
    ids = torch.zeros(2, length, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    rule = rule_of(ids, None, IDS, Policy())
    made = rule.sparse()
    blocks = made.to_dense()[:, 0].bool().repeat_interleave(128, 1).repeat_interleave(128, 2)
    dense = rule.dense()[:, 0]
    assert not (dense & ~blocks).any() and not blocks.all(), "a tile with something to see is left out, or none ever is"
    at = torch.arange(length)
    assert torch.equal(made.mask_mod(torch.arange(2)[:, None, None], 0, at[:, None], at), dense)


def every_family_computes_with_the_hook_what_the_rule_says(folder: Path) -> None:
    row = stream(4)
    for family in FAMILIES:
        plain = build(family, "eager")
        window = getattr(plain.config, "sliding_window", None) if family == "olmo3" else None
        full = additive(seen(row, Policy()))
        mask: Any = full
        if window:
            mask = {"full_attention": full, "sliding_attention": additive(seen(row, Policy()), window)}
        with torch.no_grad():
            ids = torch.tensor([row])
            expected = plain(input_ids=ids, attention_mask=mask, use_cache=False).logits
            causal = plain(input_ids=ids, use_cache=False).logits
        hooked = build(family)
        attach_mask(hooked, IDS, Policy())
        found = logits(hooked, padded([row]))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5, msg=lambda m, f=family: f"{f}: {m}")
        assert (causal - expected).abs().max() > 1e-2, f"{family}: the mask changed nothing"


def rows_that_share_a_batch_or_a_line_are_as_alone(folder: Path) -> None:
    rows = [stream(3), stream(1, 1), stream(2, 2)]
    for family in ("llama", "qwen3", "olmo3"):
        for policy in (Policy(), None):
            model = build(family)
            attach_mask(model, IDS, policy)
            alone = [logits(model, padded([row]))[0] for row in rows]
            together = logits(model, padded(rows))
            for row, one, many in zip(rows, alone, together, strict=True):
                torch.testing.assert_close(many[: len(row)], one, rtol=0, atol=1e-5)
            torch.testing.assert_close(logits(model, packed(rows))[0], torch.cat(alone), rtol=0, atol=1e-5)


def the_causal_stage_is_the_model_without_a_hook(folder: Path) -> None:
    rows = [stream(3), stream(1, 1)]
    plain, hooked = build("qwen3"), build("qwen3")
    attach_mask(hooked, IDS, None)
    one, other = logits(plain, padded(rows)), logits(hooked, padded(rows))
    for number, row in enumerate(rows):
        torch.testing.assert_close(other[number, : len(row)], one[number, : len(row)], rtol=0, atol=1e-6)


def a_mask_that_would_not_mean_what_it_says_is_refused(folder: Path) -> None:
    row = padded([stream(2)])
    eager = build("llama", "eager")
    attach_mask(eager, IDS, Policy())
    _refused(SetupError, "eager", lambda: logits(eager, row))
    model = build("llama")
    attach_mask(model, IDS, Policy())
    left = {"input_ids": row["input_ids"], "attention_mask": torch.tensor([[0] + [1] * (row["input_ids"].shape[1] - 1)])}
    _refused(SetupError, "padded on the right", lambda: logits(model, left))
    _refused(SetupError, "whole rows", lambda: model(**row, past_key_values=DynamicCache(config=model.config)))
    flex = build("llama")
    flex.config._attn_implementation = "flex_attention"
    attach_mask(flex, IDS, Policy(), "flex")
    _refused(SetupError, "no backward pass on a processor", lambda: logits(flex, row))
    _refused(InvalidInput, "window of 8", lambda: attach_mask(build("phi3", sliding_window=8), IDS, Policy()))


def masked_training_sees_what_decoding_with_a_compacted_cache_sees(folder: Path) -> None:
    """Token by token, keys and values of a block dropped once its memento is complete, positions kept."""
    for family in ("llama", "qwen3"):
        for row in (stream(4), stream(1, 5, 20)):
            model, hooked = build(family), build(family)
            attach_mask(hooked, IDS, Policy())
            after = evict_after(row, IDS, Policy())
            with torch.no_grad():
                decoded, kept = compacted_decoding(model, row, after)
            assert kept < len(row) - 5
            torch.testing.assert_close(logits(hooked, padded([row]))[0], decoded, rtol=0, atol=1e-5)


def gradient_checkpointing_changes_no_gradient(folder: Path) -> None:
    batch = packed([stream(3), stream(2, 2)])
    found = []
    for checkpointing in (False, True):
        model = build("qwen3").train()
        attach_mask(model, IDS, Policy())
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model(**batch, use_cache=False).loss.backward()
        assert model.is_gradient_checkpointing == checkpointing
        found.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-7)


# LoRA


def adapters_train_four_rows_in_and_out(folder: Path) -> None:
    batch = padded([stream(3), stream(2, 1)])
    for tied in (True, False):
        model = with_adapter(build("llama", tie_word_embeddings=tied), LoraConfig(r=4), IDS, None).train()
        attach_mask(model, IDS, Policy())
        rows = {name: p for name, p in model.named_parameters() if p.requires_grad and "lora_" not in name}
        assert [tuple(p.shape) for p in rows.values()] == [(4, 48)] * (1 if tied else 2)
        _shake(model)
        plain = F.cross_entropy(
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits[:, :-1].flatten(0, 1),
            batch["labels"][:, 1:].flatten(),
        )
        plain.backward()
        expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
        assert all(expected[name].abs().max() > 0 for name in rows), "a row of tokens learns nothing"
        model.zero_grad()
        add_fused_lm_head(model.get_base_model(), outputs=("log_probs", "entropy", "is_top1"))
        fused = model(**batch, fused_lm_head=True).loss
        fused.backward()
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)
        for name, gradient in expected.items():
            torch.testing.assert_close(model.get_parameter(name).grad, gradient, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def rows_of_a_bfloat16_base_are_trained_in_float32(folder: Path) -> None:
    model = with_adapter(build("qwen3").to(torch.bfloat16), LoraConfig(r=2), IDS, None)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}


def what_is_saved_is_what_models_add_merges(folder: Path) -> None:
    row = padded([stream(3)])
    for tied in (True, False):
        where = folder / str(tied)
        build("llama", tie_word_embeddings=tied).save_pretrained(where / "base")
        model = with_adapter(AutoModelForCausalLM.from_pretrained(where / "base", dtype=torch.float32), LoraConfig(r=4), IDS, None)
        _shake(model)
        model.save_pretrained(where / "adapter", save_embedding_layers=False)
        expected = logits(model.eval(), row)
        adapter = read_adapter(where / "adapter", read_adapter_config(where / "adapter"))
        weights = load_file(where / "base" / "model.safetensors")
        adapter.require_fit({name: list(tensor.shape) for name, tensor in weights.items()}, tied)
        merged = LlamaForCausalLM.from_pretrained(where / "base", dtype=torch.float32).eval()
        merged.load_state_dict({name: adapter.apply(name, tensor) for name, tensor in weights.items()}, strict=False)
        torch.testing.assert_close(logits(merged, row), expected, rtol=0, atol=1e-5)
        again = with_adapter(
            AutoModelForCausalLM.from_pretrained(where / "base", dtype=torch.float32), LoraConfig(r=4), IDS, where / "adapter"
        )
        assert isinstance(again, PeftModel) and all(p.requires_grad for n, p in again.named_parameters() if "lora_" in n)
        torch.testing.assert_close(logits(again.eval(), row), expected, rtol=0, atol=1e-6)


def only_projections_that_are_there_can_be_adapted(folder: Path) -> None:
    for target in ("lm_head", "nowhere"):
        _refused(InvalidInput, target, lambda t=target: with_adapter(build("llama"), LoraConfig(r=2, targets=(t,)), IDS, None))


# Shapes


def weights_are_counted_from_config_json_as_transformers_makes_them(folder: Path) -> None:
    for family, (kind, config, own) in FAMILIES.items():
        for tied in (True, False):
            shape = {"vocab_size": 96, **SIZE, **own, "tie_word_embeddings": tied, "pad_token_id": 0}
            with torch.device("meta"):
                model = kind(config(**shape))
            found = read_architecture(json.loads(model.config.to_json_string(use_diff=False)))
            assert found.weights == sum(p.numel() for p in model.parameters()), family
            if family != "olmo3":
                adapted = with_adapter(build(family, tie_word_embeddings=tied), LoraConfig(r=4), IDS, None)
                trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
                assert found.adapter(4, ("all-linear",), 4) == trained, family


# Rows


def rows_are_those_of_the_served_chat_template(folder: Path) -> None:
    for name, think in (("qwen3", True), ("llama", False)):
        directory = prepared(folder, name)
        model = find_model(Settings(home=folder), _model(str(directory)), print)
        tokenizer = model.tokenizer()
        made = record(5, blocks=3)
        made["problem"] += " <|im_end|> <|block_start|> <think>"
        row = Encoder(tokenizer, model.ids, system="Be brief.").encode(read_trace(made))
        problem = (
            made["problem"].replace("<|im_end|>", "‹im_end›").replace("<|block_start|>", "‹block_start›").replace("<think>", "‹think›")
        )
        talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": problem}]
        assert row.ids[: row.prompt] == tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=False)
        assert row.labels == [-100] * row.prompt + row.ids[row.prompt :]
        ids, said = model.ids, row.ids[row.prompt :]
        order = [token for token in row.ids if token in vars(ids).values()]
        assert order == [ids.block_start, ids.block_end, ids.summary_start, ids.summary_end] * 3
        text = tokenizer.decode(said, skip_special_tokens=False)
        blocks = "".join(
            f"<|block_start|>{block['text']}<|block_end|><|summary_start|>{block['memento']}<|summary_end|>" for block in made["blocks"]
        )
        blocks = blocks.replace("<|block_start|>\n", "<|block_start|>", 1)
        blocks = "\n<|block_end|>".join(blocks.rsplit("\n\n<|block_end|>", 1))
        last = blocks.rindex("<|block_end|>")
        blocks = blocks[:last].rstrip("\n") + blocks[last:]
        answer = made["answer"].strip()
        end = "<|im_end|>" if think else "<|eot_id|>"
        assert text == (f"<think>\n{blocks}\n</think>\n\n{answer}{end}" if think else f"{blocks}{answer}{end}"), text
        plain = Encoder(tokenizer, model.ids, think="none").encode(read_trace(made))
        assert tokenizer.decode(plain.ids[plain.prompt :]) == f"{blocks}{answer}{end}"


def a_template_that_opens_think_is_not_answered_with_a_second_one(folder: Path) -> None:
    model = find_model(Settings(home=folder), _model(str(prepared(folder))), print)
    tokenizer = model.tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}"
    )
    row = Encoder(tokenizer, model.ids).encode(read_trace(record(1)))
    assert tokenizer.decode(row.ids).count("<think>") == 1 and row.ids[row.prompt] == model.ids.block_start


def records_that_cannot_be_learned_are_left_out_with_a_reason(folder: Path) -> None:
    model = find_model(Settings(home=folder), _model(str(prepared(folder))), print)
    long = {**record(2), "answer": "word " * 100_000}
    bare = {"id": "b", "problem": "p", "response": "<think>t</think>a"}
    speaking = {**record(3), "answer": "It is <tool_x>."}
    empty = {**record(4), "blocks": [{"text": "t", "memento": " "}]}
    lines = [
        json.dumps(r).encode() for r in (record(1), long, bare, speaking, empty, {"id": "m", "problem": "p"}, {**record(5), "answer": " "})
    ]
    lines += [
        '{"problem": "h\u00e4", "blocks": []}'.encode("latin-1"),
        b"{",
        b'{"problem": "' + b"x" * 8_000_001 + b'"}',
        json.dumps(record(6)).encode(),
    ]
    path = folder / "mixed.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    tokenizer = model.tokenizer()
    tokenizer.add_tokens(["<tool_x>"])
    reader = RowReader([path], Encoder(tokenizer, model.ids), model.policy, 256)
    rows, found = list(reader), reader.statistics
    assert (found.records, found.rows, len(rows)) == (11, 2, 2)
    assert found.dropped == {"too_long": 2, "incomplete": 3, "unreadable": 3, "missing_memento": 1}, found.dropped
    assert "raise train.max_length" in found.said["too_long"] and "keepsake mementos build" in found.said["incomplete"]
    assert "<tool_x>" in found.said["unreadable"] and found.said["missing_memento"].endswith("Memento 1 is empty.")
    assert found.tokens == sum(len(row.ids) for row in rows) and found.blocks == 4 and found.longest == max(len(row.ids) for row in rows)
    pairs = [visible(q, k, evict_after(r.ids, model.ids, model.policy)) for r in rows for q in range(len(r.ids)) for k in range(q + 1)]
    assert (found.pairs, found.hidden) == (len(pairs), pairs.count(False)) and found.hidden > 0
    short = RowReader([path], Encoder(tokenizer, model.ids), model.policy, 9)
    assert "max_length" in _refused(InvalidInput, "None of 11 records can be trained on", lambda: list(short)).hint
    _refused(InvalidInput, "no file at", lambda: list(RowReader([folder / "no.jsonl"], Encoder(tokenizer, model.ids), model.policy, 256)))


def a_model_without_the_tokens_is_refused_with_the_command_that_prepares_it(folder: Path) -> None:
    prepared(folder)
    error = _refused(
        InvalidInput, "lacks <|block_start|>", lambda: find_model(Settings(home=folder), _model(str(folder / "raw" / "qwen3")), print)
    )
    assert "keepsake models add qwen3 --model" in error.hint
    added = find_model(Settings(home=folder), _model("qwen3"), print)
    assert added.directory == folder / "weights" / "added" / "qwen3" and added.policy == Policy()
    error = _refused(SetupError, "was not added here", lambda: find_model(Settings(home=folder), _model("Qwen/Qwen3-8B"), print))
    assert "keepsake models add qwen3-8b --model Qwen/Qwen3-8B" in error.hint
    _refused(NotFound, "no model", lambda: find_model(Settings(home=folder), _model("nothing like it"), print))


def a_plan_needs_no_weights(folder: Path) -> None:
    from typer.testing import CliRunner

    from app.config import get_settings
    from infra.training.hub import command
    from tests.infra.training.tiny import make_base

    make_base(folder)
    (prepared(folder) / "model.safetensors").unlink()
    files = f"data.files=[{write_records(folder / 'r.jsonl', 9)}]"
    path = str(write_hub_recipe(folder))
    os.environ["KEEPSAKE_HOME"] = str(folder)
    get_settings.cache_clear()

    def plan(*arguments: str) -> Any:
        return CliRunner().invoke(command.app, ["train-hub", "plan", *arguments])

    own = plan(path)
    assert own.exit_code == 0, own.stderr
    made = json.loads(own.stdout)
    assert made["rows"] == made["records"] == 12 and made["steps_per_stage"] == 6 and made["counted_with"] == "qwen3"
    assert made["checkpoint_bytes"] == 12 * made["weights"]
    assert 0.1 < made["hidden_share"] < 0.9 and made["memory_gib"]["total"] < 78
    absent = plan("qwen3_8b", files)
    assert absent.exit_code == 0, absent.stderr
    made = json.loads(absent.stdout)
    assert made["counted_with"] == "the embedded model" and made["weights"] == 8_190_735_360 and made["steps_per_stage"] == 5
    for arguments, words in (
        (["qwen3_8b", files, "processes=1", "parallel=none", "memory_gib=20"], "hardware."),
        ([path, f"model.path={folder / 'raw' / 'qwen3'}"], "keepsake models add"),
        ([path, "data.files=[nowhere.jsonl]"], "nowhere.jsonl"),
        ([path, "max_length=128", "memory_gib=1"], "needs"),
    ):
        refused = plan(*arguments)
        assert refused.exit_code == 2 and words in refused.stderr, (arguments, refused.stderr)
    del os.environ["KEEPSAKE_HOME"]
    get_settings.cache_clear()


# Jobs


class StopAfter(Metrics):
    """Sends this process SIGTERM once a step is written down."""

    def __init__(self, path: Path, step: int) -> None:
        super().__init__(path)
        self.step = step

    def add(self, line: dict[str, Any]) -> None:
        super().add(line)
        if line["step"] == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def two_stages_end_with_weights_that_can_be_trained_on(folder: Path) -> None:
    prepared(folder)
    job = _job(folder, write_hub_recipe(folder, train={"packing": True, "epochs": 4}))
    manifest = job.start()
    lines = _lines(job)
    assert manifest.status == "finished" and [line["step"] for line in lines] == [*range(1, manifest.steps + 1)]
    assert [line["mask"] for line in lines] == ["causal"] * (len(lines) // 2) + ["memento"] * (len(lines) // 2)
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"] and manifest.data["hidden_share"] > 0.1 and manifest.data["packed_rows"] < 12
    result = job.folder.result(2)
    found = find_model(Settings(home=folder), _model(str(result)), print)
    assert found.ids == job.model.ids and found.policy == job.model.policy
    tuned, base = (AutoModelForCausalLM.from_pretrained(where) for where in (result, job.model.directory))
    assert tuned.dtype == base.dtype == torch.bfloat16 and not torch.equal(tuned.lm_head.weight, base.lm_head.weight)
    assert not job.folder.rows.exists() and not saved_steps(job.folder.stage(2) / "checkpoints")
    _refused(Conflict, "already", lambda: _job(folder, folder / "tiny.yaml").start())
    assert _job(folder, folder / "tiny.yaml").start(resume=True) == manifest


def stages_differ_in_the_mask_alone(folder: Path) -> None:
    prepared(folder)
    path = write_hub_recipe(folder, train={"epochs": 1})
    made = []
    for mask in ("causal", "memento"):
        job = _job(folder, path, f"stages=[{{mask: {mask}}}]")
        job.start()
        made.append(_lines(job))
    assert [line["tokens"] for line in made[0]] == [line["tokens"] for line in made[1]]
    assert [line["lr"] for line in made[0]] == [line["lr"] for line in made[1]]
    assert all(abs(a["loss"] - b["loss"]) > 1e-5 for a, b in zip(*made, strict=True))


def a_resumed_run_is_bit_for_bit_an_uninterrupted_one(folder: Path) -> None:
    for home in ("one", "two"):
        prepared(folder / home)
    path = write_hub_recipe(folder, train={"epochs": 1, "checkpoint_steps": 5})
    for overrides in ((), ("lora.r=2", "lora.dropout=0.1")):
        whole = _job(folder / "one", path, *overrides)
        expected = whole.start()
        for step in (1, 4):
            job = _job(folder / "two", path, *overrides)
            job.metrics = StopAfter(job.folder.metrics, step)
            stopped = job.start(resume=step > 1)
            assert stopped.status == "stopped" and stopped.steps_done == step + 1  # it comes behind a step, and ends the next
        job = _job(folder / "two", path, *overrides)
        found = job.start(resume=True)
        assert found.status == "finished" and found.attempts == 3 and found.artifacts == expected.artifacts
        assert found.tokens == expected.tokens
        for one, other in zip(_lines(whole), _lines(job), strict=True):
            assert {**one, "seconds": 0} == {**other, "seconds": 0}


def a_loss_that_is_no_number_ends_the_run_with_a_sentence(folder: Path) -> None:
    weights = prepared(folder) / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"].fill_(float("nan"))
    save_file(tensors, weights, metadata={"format": "pt"})
    job = _job(folder, write_hub_recipe(folder))
    error = _refused(InvalidInput, "of step 1 is not a number", job.start)
    assert "optimizer.lr" in error.hint
    assert not saved_steps(job.folder.stage(1) / "checkpoints") and not _lines(job)


def a_full_disk_at_a_checkpoint_leaves_the_one_before_whole(folder: Path) -> None:
    for home in ("one", "two"):
        prepared(folder / home)
    path = write_hub_recipe(folder)
    expected = _job(folder / "one", path).start()
    job = _job(folder / "two", path)

    class Fill(Metrics):
        def add(self, line: dict[str, Any]) -> None:
            super().add(line)
            if line["step"] == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    job.metrics = Fill(job.folder.metrics)
    with _largest_file(resource.RLIM_INFINITY):
        error = _refused(StorageError, "could not be written", job.start)
    assert "Free some disk" in error.hint
    assert [step.name for step in saved_steps(job.folder.stage(1) / "checkpoints")] == ["step_0000002"]
    assert not list(job.folder.path.rglob("checkpoint-*"))
    assert _job(folder / "two", path).start(resume=True).artifacts == expected.artifacts


def a_full_disk_while_rows_are_made_leaves_none(folder: Path) -> None:
    prepared(folder)
    job = _job(folder, write_hub_recipe(folder, records=40))
    with _largest_file(10_000):
        _refused(StorageError, "rows could not be written", job.start)
    assert not job.folder.rows.exists() and not list(job.folder.path.glob(".rows-*"))
    assert _job(folder, folder / "tiny.yaml", "epochs=1").start().status == "finished"


def leftovers_of_a_killed_process_are_in_nobodys_way(folder: Path) -> None:
    prepared(folder)
    path = write_hub_recipe(folder)
    job = _job(folder, path)
    job.metrics = StopAfter(job.folder.metrics, 3)
    job.start()
    stage = job.folder.stage(1)
    for made in (stage / "partial" / "checkpoint-4", job.folder.path / ".rows-x" / "rows", stage / "model.partial"):
        made.mkdir(parents=True)
        (made / "half.safetensors").write_bytes(b"half")
    with job.folder.metrics.open("a") as stream:
        stream.write('{"step": 4, "lo')
    shutil.rmtree(job.folder.rows)
    assert _job(folder, path).start(resume=True).status == "finished"
    assert not list(job.folder.path.rglob("half.safetensors"))


def a_killed_run_goes_on_to_the_same_weights(folder: Path) -> None:
    for home in ("one", "two"):
        prepared(folder / home)
    path = write_hub_recipe(folder)
    expected = _job(folder / "one", path).start()
    environment = {**os.environ, "KEEPSAKE_HOME": str(folder / "two")}
    command = [sys.executable, "-m", "infra.training.hub", "train-hub", "run", str(path)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    job = _job(folder / "two", path)
    while process.poll() is None and not saved_steps(job.folder.stage(1) / "checkpoints"):
        time.sleep(0.05)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    resumed = job.start(resume=True)
    assert resumed.attempts == 2 and resumed.artifacts == expected.artifacts


def a_disk_that_will_not_do_is_seen_before_the_first_step(folder: Path) -> None:
    from infra.training.hub import job as module

    prepared(folder)
    path = write_hub_recipe(folder)
    before = module.checkpoint_bytes
    module.checkpoint_bytes = lambda *_: 10**15
    try:
        _refused(SetupError, "GB of disk", _job(folder, path).start)
    finally:
        module.checkpoint_bytes = before


def a_damaged_checkpoint_is_named(folder: Path) -> None:
    prepared(folder)
    job = _job(folder, write_hub_recipe(folder))
    job.metrics = StopAfter(job.folder.metrics, 3)
    job.start()
    (newest,) = saved_steps(job.folder.stage(1) / "checkpoints")[-1:]
    (newest / "counts.json").write_text("{")
    error = _refused(StorageError, "is damaged", lambda: _job(folder, folder / "tiny.yaml").start(resume=True))
    assert "Delete it" in error.hint


def other_records_or_another_machine_are_not_gone_on_with(folder: Path) -> None:
    prepared(folder)
    path = write_hub_recipe(folder)
    job = _job(folder, path)
    job.metrics = StopAfter(job.folder.metrics, 1)
    job.start()
    _refused(Conflict, "hardware", lambda: _job(folder, path, "micro_batch=2").start(resume=True))
    write_records(folder / "records.jsonl", 12, first=50)
    _refused(Conflict, "records", lambda: _job(folder, path).start(resume=True))
    _refused(NotFound, "no run", lambda: _job(folder, path, "lr=1e-3").start(resume=True))


def what_a_processor_cannot_do_is_refused_before_anything_is_written(folder: Path) -> None:
    prepared(folder)
    path = write_hub_recipe(folder)
    runs = folder / "training" / "runs"
    for overrides in (["attention=flex"], ["parallel=fsdp2"]):
        _refused(InvalidInput, "needs a GPU", lambda o=overrides: _job(folder, path, *o).start())
    _refused(InvalidInput, "1 processes were started", lambda: _job(folder, path, "parallel=ddp", "processes=2").start())
    _refused(InvalidInput, "needs .* GiB", lambda: _job(folder, path, "memory_gib=2").start())
    assert not list(runs.glob("*/manifest.json"))


def two_processes_learn_what_one_learns(folder: Path) -> None:
    """torchrun, gloo: loss, gradients, and a model in FSDP2's shards."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "tests.infra.training.hub.two_processes", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    from tests.infra.training.hub.two_processes import GradientJob

    single = GradientJob(Settings(home=folder), load_hub_recipe(folder / "tiny.yaml", ["name=single"]))
    single.start()
    double = torch.load(folder / "gradients.pt")
    assert double.keys() == single.gradients.keys()
    for name, gradient in single.gradients.items():
        torch.testing.assert_close(double[name], gradient, rtol=1e-4, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")
    (metrics,) = folder.glob("training/runs/double-*/metrics.jsonl")
    pairs = zip(_lines(single), [json.loads(line) for line in metrics.read_text().splitlines()], strict=True)
    for one, two in pairs:
        assert one["tokens"] == two["tokens"] and abs(one["loss"] - two["loss"]) < 1e-4 and abs(one["norm"] - two["norm"]) < 1e-3, (
            one,
            two,
        )
    sharded = json.loads((folder / "sharded.json").read_text())
    assert sharded["loss"] < 1e-5 and sharded["gradient"] < 1e-5, sharded


# Helpers


def _job(home: Path, path: Path, *overrides: str) -> HubJob:
    return HubJob(Settings(home=home), load_hub_recipe(path, overrides))


def _model(path: str) -> Any:
    from infra.training.hub.config import ModelConfig

    return ModelConfig(path=path)


def _lines(job: HubJob) -> list[dict[str, Any]]:
    return [json.loads(line) for line in job.folder.metrics.read_text().splitlines()] if job.folder.metrics.is_file() else []


def _shake(model: Any) -> None:
    """Other values for all that is trained, which LoRA begins as nothing."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """What a full disk looks like to whoever writes, but for what is said on stderr, which may be a file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _refused(kind: type[KeepsakeError], words: str, action: Any) -> KeepsakeError:
    import re

    try:
        action()
    except kind as error:
        assert re.search(words, error.message), error.message
        assert error.hint
        return error
    raise AssertionError(f"nothing was said of `{words}`")


class Skipped(Exception):
    """The claim cannot be tried here; the message says why."""


CLAIMS = [
    name
    for name, value in list(globals().items())
    if callable(value)
    and getattr(value, "__module__", "") == __name__
    and name[0] != "_"
    and "folder" in getattr(value, "__annotations__", {})
]


def main(folder: Path, wanted: list[str]) -> None:
    torch.set_num_threads(1)
    results: dict[str, dict[str, object]] = {}
    for name in wanted or CLAIMS:
        started = time.monotonic()
        skipped = failed = None
        (folder / name).mkdir()
        try:
            globals()[name](folder / name)
        except Skipped as reason:
            skipped = str(reason)
        except Exception:
            failed = traceback.format_exc()
        results[name] = {"failed": failed, "skipped": skipped, "seconds": round(time.monotonic() - started, 2)}
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
