"""Claims about one pass: what is computed, what is seen, what is learned, and that the tokens are those of the server. See torch_claims.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AutoTokenizer

from app.config import Settings
from app.memento.visibility import NEVER, Policy, evict_after, visible
from infra.training import llama
from infra.training.attention import CHUNK, attention, parts
from infra.training.head import ROWS, cross_entropy
from infra.training.llama import Batch, answer_logits, answer_loss
from infra.training.mask import visible_mask
from infra.training.packing import Encoded, lay_out
from infra.training.tokens import IDS, Encoder
from infra.weights.manifest import read_manifest
from tests.infra.training.decoding import compacted_decoding
from tests.infra.training.samples import conversation, examples, thinking
from tests.infra.training.tiny import make_base, model

CPU = torch.device("cpu")


class Skipped(Exception):
    """The claim cannot be tried here; the message says why."""


def the_flat_forward_pass_gives_the_loss_and_gradient_of_separate_examples(folder: Path) -> None:
    encoded = Encoder(make_base(folder)).encode(examples(12))
    tiny = model()
    total = sum(
        F.cross_entropy(tiny(torch.tensor([e.ids])).logits[0, len(e.prompt) - 1 : -1], torch.tensor(e.answer), reduction="sum")
        for e in encoded
    )
    expected = total / sum(len(e.answer) for e in encoded)
    expected.backward()
    gradients = [p.grad.clone() for p in tiny.parameters()]
    _flat_losses_agree(tiny, encoded, expected, gradients)


def _flat_losses_agree(tiny: Any, encoded: list[Encoded], expected: torch.Tensor, gradients: list[torch.Tensor]) -> None:
    """With beginnings shared or not, document by document or padded."""
    by_document = llama._by_document
    for share in (True, False):
        for kind in (by_document, llama._padded):
            tiny.zero_grad()
            llama._by_document = kind
            loss = answer_loss(tiny, Batch.of(lay_out(encoded, share), CPU))
            llama._by_document = by_document
            loss.backward()
            torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
            for parameter, gradient in zip(tiny.parameters(), gradients, strict=True):
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def _thoughts(folder: Path, policy: Policy | None) -> list[Encoded]:
    """Examples that think, some of which begin alike, among some that do not."""
    made = [thinking("lamp", 3), thinking("lamp", 1), thinking("desk", 4, 1), thinking("river", 2, 2), *examples(5)]
    return Encoder(make_base(folder), policy).encode(made)


def the_mask_is_the_rule(folder: Path) -> None:
    for policy in (Policy(), Policy(keep_delimiters=True), Policy(keep_last_n=1), Policy(summary_end_sees_block=False)):
        after = evict_after(_thoughts(folder / str(hash(policy)), policy)[0].ids, IDS, policy)
        expected = [[visible(q, k, after) for k in range(len(after))] for q in range(len(after))]
        assert visible_mask(after).tolist() == expected
        assert visible_mask(after, 5).tolist() == expected[-5:]
        assert sum(map(sum, expected)) < len(after) * (len(after) + 1) // 2


def the_flat_masked_pass_is_that_of_separate_examples(folder: Path) -> None:
    encoded = _thoughts(folder, Policy())
    tiny = model()
    tiny.set_attn_implementation("sdpa")
    total = torch.tensor(0.0)
    for e in encoded:
        mask = visible_mask(evict_after(e.ids, IDS, Policy()))[None, None]
        logits = tiny(torch.tensor([e.ids]), attention_mask=mask).logits[0, len(e.prompt) - 1 : -1]
        total = total + F.cross_entropy(logits, torch.tensor(e.answer), reduction="sum")
    expected = total / sum(len(e.answer) for e in encoded)
    expected.backward()
    gradients = [p.grad.clone() for p in tiny.parameters()]
    causal = answer_loss(tiny, Batch.of(lay_out(_thoughts(folder / "causal", None)), CPU))
    assert abs(float((causal - expected).detach())) > 1e-3, "the mask changed nothing, so that the comparison would say nothing"
    _flat_losses_agree(tiny, encoded, expected, gradients)


def attention_in_chunks_is_torchs_own(folder: Path) -> None:
    """Several chunks, some of whose keys are gone for all of their queries, some for a part of them; beginnings that are shared."""
    generator = torch.Generator().manual_seed(0)
    length = 2 * CHUNK + 45
    after = [NEVER] * length
    after[20:120] = [160] * 100
    after[170:190] = [CHUNK + 80] * 20
    for limits in (None, tuple(after)):
        for queries in (length, length - 70, 5):
            q, k, v, change = (
                torch.randn(n, h, 16, generator=generator) for n, h in ((queries, 6), (length, 2), (length, 2), (queries, 6))
            )
            inputs = [t.requires_grad_() for t in (q, k, v)]
            mask = visible_mask(limits or [NEVER] * length, queries)
            expected = F.scaled_dot_product_attention(*(t.transpose(0, 1)[None] for t in inputs), attn_mask=mask, enable_gqa=True)
            expected = expected[0].transpose(0, 1)
            result = attention(q, k, v, parts(queries, length, limits))
            torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)
            for own, theirs in zip(torch.autograd.grad(result, inputs, change), torch.autograd.grad(expected, inputs, change), strict=True):
                torch.testing.assert_close(own, theirs, rtol=0, atol=1e-5)


def the_loss_in_rows_is_torchs_own(folder: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 2e-3)):
        x, weight = (torch.randn(n, 32, generator=generator).to(dtype).requires_grad_() for n in (ROWS + 70, 300))
        targets = torch.randint(0, 300, (len(x),), generator=generator)
        with torch.no_grad():
            x[0] = 40 * F.normalize(weight[targets[0]].float(), dim=0).to(dtype)  # as sure as answers become
        expected = F.cross_entropy(F.linear(x, weight).float(), targets)
        result = cross_entropy(x, weight, targets)
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)
        for own, theirs in zip(torch.autograd.grad(3 * result, (x, weight)), torch.autograd.grad(3 * expected, (x, weight)), strict=True):
            torch.testing.assert_close(own.float(), theirs.float(), rtol=1e-2 if dtype == torch.bfloat16 else 1e-4, atol=tolerance)
        with torch.no_grad():
            torch.testing.assert_close(cross_entropy(x, weight, targets), expected, rtol=1e-5, atol=1e-6)


def every_answer_of_a_conversation_is_learned(folder: Path) -> None:
    made = conversation()
    encoder = Encoder(make_base(folder), Policy())
    [encoded] = encoder.encode([made])
    ends = [token for _, token in encoded.predictions]
    assert encoder.text(ends) == "".join(f"{said}<|im_end|>" for said in ("1 web: buy", "step 1 web: buy", "Bought it.", "done"))
    ids = list(encoded.ids)
    assert ids.count(IDS.block_start) == 3 and ids.count(IDS.summary_end) == 2, "the last block is still open"
    for place, token in encoded.predictions:
        follows = ids[place + 1]
        assert follows == token or (follows == IDS.summary_end and encoder.text([token]) == "<|im_end|>")
    text = encoder.text([token for token in ids if token not in (IDS.block_start, IDS.block_end, IDS.summary_start, IDS.summary_end)])
    assert text.endswith("Person: hurry\nFINAL<|im_start|>done<|im_end|>")
    assert encoded.after is not None and sum(limit < NEVER for limit in encoded.after) > 20
    layout = lay_out([encoded, *encoder.encode(examples(3))])
    assert layout.targets.count(ends[-1]) >= 5
    assert float(answer_loss(model(), Batch.of(layout, CPU)).detach()) > 0


def masked_training_sees_what_decoding_with_a_compacted_cache_sees(folder: Path) -> None:
    """Token by token, keys and values of a block dropped once its memento is complete, positions kept."""
    for encoded in _thoughts(folder, Policy())[:4]:
        tiny, ids = model(), encoded.ids
        after = evict_after(ids, IDS, Policy())
        with torch.no_grad():
            rows, kept = compacted_decoding(tiny, ids, after)
            assert kept < len(ids) - 5
            flat = answer_logits(tiny, Batch.of(lay_out([encoded]), CPU))
        decoded = rows[len(encoded.prompt) - 1 : -1]
        torch.testing.assert_close(flat, decoded, rtol=0, atol=1e-5)


def training_tokens_are_those_of_the_served_chat_template(folder: Path) -> None:
    directory = make_base(folder)
    _holds_for(directory)


def the_same_with_the_real_tokenizer(folder: Path) -> None:
    real = Settings().weights_dir / "base"
    if read_manifest(real) is None:
        raise Skipped("the real base weights are not built on this machine")
    _holds_for(real)


def _holds_for(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    made = examples(6)
    for example, encoded in zip(made, Encoder(directory).encode(made), strict=True):
        prompt = tokenizer.apply_chat_template(example.messages, add_generation_prompt=True, return_dict=False)
        assert list(encoded.prompt) == prompt
        answered = [*example.messages, {"role": "assistant", "content": example.completion}]
        assert [*encoded.ids, *tokenizer("\n", add_special_tokens=False).input_ids] == tokenizer.apply_chat_template(
            answered, return_dict=False
        )
    run = replace(conversation(), messages=[{"role": m["role"], "content": m["content"]} for m in conversation().messages])
    said = [*run.messages, {"role": "assistant", "content": run.completion}]
    assert "".join(piece.text for piece in run.pieces) == tokenizer.apply_chat_template(said, tokenize=False, bare_turns=True)


def logits_are_computed_only_where_an_answer_is_predicted(folder: Path) -> None:
    encoded = Encoder(make_base(folder)).encode(examples(5))
    layout = lay_out(encoded)
    assert answer_logits(model(), Batch.of(layout, CPU)).shape == (sum(len(e.answer) for e in encoded), 328)
