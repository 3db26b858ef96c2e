"""A real engine with a tiny random model, in what a scheduler alone cannot show. Runs in the serving environment, prints one JSON object.

The model reads bytes: 256 of them and a few control tokens, so that JSON and regular expressions can be asked of it.
"""

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IDS = BLOCK_START, BLOCK_END, SUMMARY_START, SUMMARY_END = (7, 8, 9, 10)
EOS = 2
FIRST = 20  # id of byte 0
VOCABULARY = FIRST + 256


def build(folder: Path) -> Path:
    """Model, tokenizer and one LoRA adapter in `folder`."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=1024,
        initializer_range=0.08,
        bos_token_id=1,
        eos_token_id=EOS,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    names = {0: "<unk>", 1: "<bos>", EOS: "<eos>", 7: "<|block_start|>", 8: "<|block_end|>", 9: "<|summary_start|>", 10: "<|summary_end|>"}
    vocabulary = {names.get(number, f"<spare{number}>"): number for number in range(FIRST)}
    vocabulary |= {character: FIRST + byte for byte, character in bytes_to_unicode().items()}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", bos_token="<bos>", unk_token="<unk>").save_pretrained(folder)
    adapter = folder / "adapter"
    adapter.mkdir()
    shapes = {"q_proj": (256, 256), "v_proj": (256, 128)}
    tensors = {}
    for layer in range(2):
        for name, (width, height) in shapes.items():
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{stem}.lora_A.weight"] = torch.randn(8, width) * 0.05
            tensors[f"{stem}.lora_B.weight"] = torch.randn(height, 8) * 0.2
    save_file(tensors, str(adapter / "adapter_model.safetensors"))
    settings = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": list(shapes), "bias": "none", "task_type": "CAUSAL_LM"}
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": str(folder)}))
    return folder


def merged(folder: Path, out: Path) -> Path:
    """The model with its adapter worked into the weights: what the engine with the adapter must agree with."""
    import shutil

    import torch
    from safetensors.torch import load_file
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tensors = load_file(str(folder / "adapter" / "adapter_model.safetensors"))
    for stem in {name.rsplit(".lora_", 1)[0] for name in tensors}:
        module = model.get_submodule(stem.removeprefix("base_model.model."))
        module.weight.data += 2.0 * tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.lora_A.weight"]
    model.save_pretrained(out)
    shutil.copyfile(folder / "tokenizer.json", out / "tokenizer.json")
    return out


class Cases:
    """Each method is a claim; its value goes into the result under its name."""

    def __init__(self, folder: Path) -> None:
        from keepsake_vllm.bench.engine import prepare
        from keepsake_vllm.bench.reference import Reference

        prepare()
        from vllm import LLM
        from vllm.exceptions import VLLMValidationError

        self.refused = (ValueError, VLLMValidationError)

        self.folder = build(folder / "model")
        self.stats = folder / "stats"
        self.rng = random.Random(3)
        self.llm = LLM(
            str(self.folder),
            dtype="float32",
            block_size=32,
            enforce_eager=True,
            kv_cache_memory_bytes=64 << 20,
            max_model_len=512,
            max_num_batched_tokens=128,
            max_num_seqs=8,
            max_logprobs=20,
            logprobs_mode="raw_logprobs",
            enable_lora=True,
            max_lora_rank=8,
            seed=0,
            disable_log_stats=False,
            logits_processors=["keepsake_vllm.testing:ScriptedLogits"],
            additional_config={"memento": {"enabled": True, "stats": str(self.stats), "max_block_tokens": 30, "max_memento_tokens": 8}},
        )
        self.reference = Reference(self.folder)
        self.adapted = Reference(merged(self.folder, folder / "merged"))

    def words(self, count: int) -> list[int]:
        return [self.rng.randrange(FIRST + 32, FIRST + 127) for _ in range(count)]

    def pair(self, block: int = 40, memento: int = 6) -> list[int]:
        return [BLOCK_START, *self.words(block), BLOCK_END, SUMMARY_START, *self.words(memento), SUMMARY_END]

    def say(
        self, prompt: list[int], script: Sequence[int] = (), *, extra: dict[str, Any] | None = None, lora: Any = None, **params: Any
    ) -> Any:
        from vllm import SamplingParams

        chosen = {"temperature": 0.0, "max_tokens": len(script) or 16, "logprobs": 8, "ignore_eos": True} | params
        sampling = SamplingParams(**chosen, extra_args={**({"script": list(script)} if script else {}), **(extra or {})} or None)
        return self.llm.generate({"prompt_token_ids": prompt}, sampling, use_tqdm=False, lora_request=lora)[0]

    def off_by(self, output: Any, reference: Any) -> list[float]:
        """Greatest difference in log probability under the mask, and under a plain one."""
        from keepsake_vllm.bench.reference import PLAIN, derive

        prompt, completion = list(output.prompt_token_ids), output.outputs[0]
        tokens = prompt + list(completion.token_ids)
        found = []
        for policy in ({}, PLAIN):
            rows = reference.logprobs(tokens, len(prompt), derive(tokens, policy))
            pairs = [
                (float(rows[place][token]), entry.logprob) for place, row in enumerate(completion.logprobs) for token, entry in row.items()
            ]
            found.append(max(abs(a - b) for a, b in pairs))
        return found

    def adapters(self) -> Any:
        """A LoRA adapter is exact in decoding and on its own cached pages, and shares none with the plain model."""
        from vllm.lora.request import LoRARequest

        lora = LoRARequest("one", 1, str(self.folder / "adapter"))
        prompt = self.words(40) + self.pair()
        script = self.pair() + self.words(9)
        plain, adapted = self.say(prompt, script), self.say(prompt, script, lora=lora)
        again = self.say(prompt, script, lora=lora)
        return {
            "plain": self.off_by(plain, self.reference),
            "adapted": self.off_by(adapted, self.adapted),
            "again": self.off_by(again, self.adapted),
            "adapted_against_plain_weights": self.off_by(adapted, self.reference)[0],
            "cached": [adapted.num_cached_tokens, again.num_cached_tokens],
        }

    def malformed(self) -> Any:
        """Streams out of grammar, in prompt and output: right rows, nothing left behind."""
        w = self.words
        streams = {
            "nested start": [BLOCK_START, *w(20), BLOCK_START, *w(20), BLOCK_END, SUMMARY_START, *w(5), SUMMARY_END, *w(5)],
            "end without start": [*w(9), BLOCK_END, *w(5), SUMMARY_START, *w(4), SUMMARY_END, *w(5)],
            "two mementos": [*self.pair(), SUMMARY_START, *w(5), SUMMARY_END, *w(4)],
            "ends inside a block": [BLOCK_START, *w(50)],
            "no block end": [BLOCK_START, *w(40), SUMMARY_START, *w(5), SUMMARY_END, *w(5)],
            "empty": [BLOCK_START, BLOCK_END, SUMMARY_START, SUMMARY_END, *w(5)],
        }
        worst = 0.0
        for stream in streams.values():
            worst = max(worst, self.off_by(self.say(w(11), stream), self.reference)[0])
            worst = max(worst, self.off_by(self.say(w(11) + stream + w(3), w(6)), self.reference)[0])
        return worst

    def limits(self) -> Any:
        """A request of exactly max_model_len, one token more, max_tokens inside a block, a stop token inside a block."""
        full = self.say(self.words(100), (self.pair(100, 9) * 8)[:412])
        try:
            self.say(self.words(512))
            longer = "accepted"
        except self.refused:
            longer = "refused"
        cut = self.say(self.words(20), [BLOCK_START, *self.words(30)], max_tokens=12)
        stopped = self.say(self.words(20), [BLOCK_START, *self.words(5), FIRST + 10, *self.words(9)], stop_token_ids=[FIRST + 10])
        return {
            "full": [len(full.outputs[0].token_ids), self.off_by(full, self.reference)[0]],
            "longer": longer,
            "cut": [len(cut.outputs[0].token_ids), cut.outputs[0].finish_reason],
            "stopped": [len(stopped.outputs[0].token_ids), stopped.outputs[0].finish_reason],
        }

    def options(self) -> Any:
        """Unknown and impossible choices of a request are refused with a sentence."""
        said = []
        for extra in ({"memento": "sometimes"}, {"memento_keep_last_n": -1}, {"memento_unknown": 1}, {"memento_keep_last_n": "many"}):
            try:
                self.say(self.words(5), self.words(3), extra=extra)
                said.append("accepted")
            except self.refused as error:
                said.append(str(error))
        try:
            self.say([VOCABULARY + 5])
            said.append("accepted")
        except self.refused as error:
            said.append(str(error))
        return said

    def grammar(self) -> Any:
        """The guard on a model that was never trained: shape, caps, no tags in the answer; the answer may be bound to a schema."""
        from vllm.sampling_params import StructuredOutputsParams

        def phases(tokens: list[int]) -> str:
            return "".join({7: "[", 8: "]", 9: "(", 10: ")"}.get(token, ".") for token in tokens)

        eager = self.say(self.words(9), extra={"memento_grammar": 1}, logit_bias={BLOCK_START: 100.0}, max_tokens=150)
        few = self.say(
            self.words(9),
            extra={"memento_grammar": 1, "memento_min_blocks": 1, "memento_max_blocks": 2, "memento_max_block_tokens": 5},
            logit_bias={BLOCK_START: 100.0, BLOCK_END: 90.0},
            max_tokens=60,
        )
        shy = self.say(
            self.words(9),
            extra={"memento_grammar": 1},
            logit_bias=dict.fromkeys(IDS, 100.0),
            allowed_token_ids=[65, 66, *IDS],
            max_tokens=60,
        )
        regex = StructuredOutputsParams(regex=r"(yes|no), because [a-z]{3,9}\.")
        bound = self.say(
            self.words(9), extra={"memento_grammar": 1, "script": [*self.pair(12, 4), -1, -1, *self.pair(9, 3)][:19]}, max_tokens=90,
            structured_outputs=regex, ignore_eos=False,
        )  # fmt: skip
        plain = self.say(self.words(9), max_tokens=60, structured_outputs=regex, ignore_eos=False)
        forced = self.say(
            self.words(9),
            extra={"memento_grammar": 1, "memento_min_blocks": 2, "memento_max_blocks": 2}
            | {"memento_max_block_tokens": 6, "memento_max_memento_tokens": 3},
            logit_bias={BLOCK_START: 100.0},
            max_tokens=120,
            structured_outputs=regex,
            ignore_eos=False,
        )
        return {
            "forced": [phases(list(forced.outputs[0].token_ids)), forced.outputs[0].text],
            "eager": phases(list(eager.outputs[0].token_ids)),
            "few": phases(list(few.outputs[0].token_ids)),
            "shy": phases(list(shy.outputs[0].token_ids)),
            "bound": [phases(list(bound.outputs[0].token_ids)), bound.outputs[0].text],
            "plain": plain.outputs[0].text,
        }

    def seeds(self) -> Any:
        """A seeded request says the same whether its prompt is prefilled in parts or found in the cache."""
        prompt = self.words(150) + self.pair(60) + self.words(150)
        said = [self.say(prompt, temperature=1.0, seed=7, max_tokens=12) for _ in range(2)]
        return [list(output.outputs[0].token_ids) for output in said], [output.num_cached_tokens for output in said]

    def accounts(self) -> Any:
        """What the engine tells of a request, beside what the stream says."""
        from keepsake_vllm.api.accounts import LEDGER

        output = self.say(self.words(30), self.pair(40, 6) + self.pair(20, 3) + self.words(7))
        account = LEDGER.take(output.request_id)
        return {"usage": account.usage, "evictions": account.evictions}

    def pages_left(self) -> int:
        from keepsake_vllm.bench.engine import pages_in_use

        return pages_in_use(self.llm)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(Path(folder))
        try:
            tell(cases)
        finally:
            cases.llm.llm_engine.engine_core.shutdown()


def tell(cases: Cases) -> None:
    names = sys.argv[1:] or ["adapters", "malformed", "limits", "options", "grammar", "seeds", "accounts", "pages_left"]
    result = {}
    for name in names:
        sys.stderr.write(f"case: {name}\n")
        result[name] = getattr(cases, name)()
    sys.stdout.write("\n" + json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
