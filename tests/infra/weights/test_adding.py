"""Adding models, as the real program does it, to tiny random ones of three families. One process does it all: importing torch takes the time."""

import json
import shutil

import pytest

from app.config import Settings
from app.errors import InvalidInput, NotFound, SetupError
from infra.serving_env import serving_python
from infra.weights.added import add_model, added_models, find_added, remove_model
from infra.weights.request import Request
from tests.infra.serving_environment import evaluate, interpreter
from tests.infra.weights.literals import LITERALS, READ, assert_unspeakable

FAMILIES = ("llama", "qwen3", "phi3")

# Makes the models, adds them, and looks at what came out. Arguments: a directory.
PROGRAM = """
import json, shutil, sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer
from app.errors import KeepsakeError
from infra.weights import preparing
from infra.weights.delta import pack_delta
from infra.weights.preparing import prepare
from infra.weights.request import Request
from tests.infra.weights.tiny_models import make_adapter, make_models, save

home = Path(sys.argv[1])
made, added = home / "made", home / "weights" / "added"
make_models(made)
found = {}

def add(name, model=None, adapter=None, **more):
    return prepare(Request(name=name, model=str(made / model) if model else "", adapter=adapter, **more), added / name)

def refusal(name, *arguments, **more):
    before = sorted(path.name for path in added.iterdir())
    try:
        add(name, *arguments, **more)
        found["refused " + name] = ["nothing", "", True]
    except KeepsakeError as error:
        found["refused " + name] = [type(error).__name__, error.message, before == sorted(path.name for path in added.iterdir())]

def weights(directory):
    return {name: tensor for file in sorted(directory.glob("*.safetensors")) for name, tensor in load_file(file).items()}

talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
tool = {"type": "function", "function": {"name": "weather", "description": "of a place", "parameters": {"type": "object", "properties": {}}}}
for family in ("llama", "qwen3", "phi3"):
    facts = add(family, family).source
    old, new = (AutoTokenizer.from_pretrained(directory) for directory in (made / family, added / family))
    texts = ["a block ends", "<|im_start|>user\\n1 2", old.eos_token + "begin" + old.bos_token, "日本 <think>"]
    before, after = (AutoModelForCausalLM.from_pretrained(d / family, dtype=torch.float32).eval() for d in (made, added))
    rows, ids = facts["tokens"], torch.tensor([old("a block starts and a block ends")["input_ids"]])
    kept = [row for row in range(before.config.vocab_size) if row not in rows]
    with torch.no_grad():
        logits, again = before(ids).logits, after(ids).logits
        inputs, outputs = after.get_input_embeddings().weight, after.get_output_embeddings().weight
    spelled = [(old(" " + word)["input_ids"], old(word)["input_ids"]) for word in ("block", "start", "begin", "section", "step")]
    words = [spaced if len(spaced) <= len(alone) else alone for spaced, alone in spelled]
    expected = torch.stack([before.get_input_embeddings().weight[w].mean(0) for w in words]).mean(0)
    head = torch.stack([before.get_output_embeddings().weight[w].mean(0) for w in words]).mean(0)
    found[family] = {
        "facts": facts,
        "config": json.loads((added / family / "config.json").read_text()),
        "loaded": after.config.memento,
        "moved": [text for text in texts if old(text)["input_ids"] != new(text)["input_ids"]],
        "difference": float((logits[..., kept] - again[..., kept]).abs().max()),
        "spread": float(logits.std()),
        "noise": [float((inputs[rows[0]] - expected).std()), float((outputs[rows[0]] - head).std())],
        "rows": [len(inputs), len(outputs), len(before.get_input_embeddings().weight)],
        "tied": inputs.data_ptr() == outputs.data_ptr(),
        "system": new.apply_chat_template(talk, tokenize=False, add_generation_prompt=True),
        "tools": new.apply_chat_template(talk, tools=[tool], tokenize=False, add_generation_prompt=True),
        "own": new.chat_template == old.chat_template,
        "code": [path.name for path in (added / family).iterdir() if path.suffix in (".py", ".bin", ".model")],
    }
    rebuilt = prepare(Request(name="twice", model=str(made / family)), home / "elsewhere" / "twice")
    found[family]["repeats"] = rebuilt.tensors == json.loads((added / family / "manifest.json").read_text())["tensors"]
    shutil.rmtree(home / "elsewhere")

# A LoRA, put in by hand.
add("tuned", "llama", made / "lora")
plain, tuned, lora = weights(added / "llama"), weights(added / "tuned"), load_file(made / "lora" / "adapter_model.safetensors")
wrong = []
for name, tensor in plain.items():
    expected, module = tensor.float(), "base_model.model." + name.removesuffix(".weight")
    if module + ".lora_A.weight" in lora:
        scale = 6 / 2 if "down_proj" in name else 8 / 4
        expected = expected + torch.einsum("or,ri->oi", lora[module + ".lora_B.weight"], lora[module + ".lora_A.weight"]) * scale
    if "embed_tokens" in name:
        expected[[3, 5]] = lora[module + ".token_adapter.trainable_tokens_delta"]
    if not torch.allclose(expected.bfloat16().float(), tuned[name].float(), rtol=1e-2, atol=1e-3):
        wrong.append(name)
found["lora"] = {"wrong": wrong, "changed": sorted(name for name in plain if not torch.equal(plain[name], tuned[name]))}

# A delta of ours, made against the prepared weights.
(home / "learned").mkdir()
moved = {n: t.float() + 0.01 * torch.randn_like(t.float()) for n, t in weights(added / "qwen3").items()}
save_file(moved, home / "learned" / "model.safetensors")
report = pack_delta(added / "qwen3", home / "learned", home / "delta.safetensors")
found["delta"] = [add("with-delta", "qwen3", home / "delta.safetensors").weights, report.rebuilt]

# Inputs that will not do.
def variant(name, of="llama", **config):
    shutil.copytree(made / of, made / name)
    path = made / name / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return made / name

refusal("sliding", variant("sliding", layer_types=["full_attention", "sliding_attention"]).name)
(variant("slow") / "tokenizer.json").unlink()
refusal("slow", "slow")
(variant("empty") / "model.safetensors").unlink()
refusal("empty", "empty")
(variant("pickle") / "model.safetensors").rename(made / "pickle" / "pytorch_model.bin")
refusal("pickle", "pickle")
(variant("shard", of="phi3") / "model-00002-of-00003.safetensors").unlink()
refusal("shard", "shard")
(variant("cut") / "model.safetensors").write_bytes((made / "llama" / "model.safetensors").read_bytes()[:100])
refusal("cut", "cut")
unigram = json.loads((variant("unigram") / "tokenizer.json").read_text())
unigram["model"] = {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 0}
(made / "unigram" / "tokenizer.json").write_text(json.dumps(unigram))
refusal("unigram", "unigram")
greedy = json.loads((variant("greedy") / "tokenizer.json").read_text())
greedy["pre_tokenizer"], greedy["model"]["ignore_merges"] = None, True
(made / "greedy" / "tokenizer.json").write_text(json.dumps(greedy))
refusal("greedy", "greedy")
refusal("other-name", "qwen3", made / "lora")
make_adapter(made / "lora-phi", made / "phi3")
refusal("other-shape", "phi3", made / "lora-phi")
refusal("other-delta", "llama", home / "delta.safetensors")
shutil.copytree(made / "lora", made / "dora")
config = json.loads((made / "dora" / "adapter_config.json").read_text())
(made / "dora" / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
refusal("dora", "llama", made / "dora")
shutil.copytree(made / "lora", made / "pickled")
(made / "pickled" / "adapter_model.safetensors").rename(made / "pickled" / "adapter_model.bin")
refusal("pickled", "llama", made / "pickled")
refusal("llama", "qwen3")
refusal("nowhere", "nowhere")
preparing.SPARE_BYTES = 10**18
refusal("disk", "llama")
preparing.SPARE_BYTES = 0

# A failure in the middle, and what a killed process left.
def fail(*arguments):
    raise MemoryError
write, preparing.write_weights = preparing.write_weights, fail
try:
    add("half", "llama")
except MemoryError:
    found["half"] = sorted(path.name for path in added.iterdir() if path.name.startswith((".", "half")))
preparing.write_weights = write
(added / ".building-dead").mkdir()
again = (added / "llama" / "model.safetensors").stat().st_mtime_ns
add("llama", "llama")
found["idempotent"] = again == (added / "llama" / "model.safetensors").stat().st_mtime_ns
found["swept"] = not (added / ".building-dead").exists()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return home, evaluate(PROGRAM, home)


@pytest.mark.model
@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_model_computes_of_text_is_unchanged(workshop, family):
    found = workshop[1][family]
    assert found["difference"] < 1e-5 < 0.1 < found["spread"]
    assert found["moved"] == []
    assert found["code"] == []


@pytest.mark.model
@pytest.mark.parametrize(
    ("family", "rows", "before", "after"), [("llama", [305, 306, 307, 308], 310, 310), ("phi3", [304, 305, 306, 307], 304, 308)]
)
def test_reserved_rows_are_taken_and_new_ones_made_where_there_are_none(workshop, family, rows, before, after):
    found = workshop[1][family]
    assert found["facts"]["tokens"] == rows
    assert found["rows"] == [after, after, before]
    assert found["config"]["vocab_size"] == after
    assert not found["tied"]


@pytest.mark.model
def test_rows_past_the_tokenizers_end_are_taken(workshop):
    found = workshop[1]["qwen3"]
    assert (found["facts"]["tokens"], found["rows"], found["tied"]) == ([304, 305, 306, 307], [324, 324, 324], True)


@pytest.mark.model
@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_token_starts_from_the_mean_of_its_words_with_a_little_noise_and_the_same_every_time(workshop, family):
    found = workshop[1][family]
    assert all(0.005 < noise < 0.015 for noise in found["noise"])
    assert found["repeats"]


@pytest.mark.model
@pytest.mark.parametrize("family", FAMILIES)
def test_no_text_is_ever_read_as_a_memento_token(workshop, family):
    home, found = workshop
    assert_unspeakable(evaluate(READ, home / "weights" / "added" / family, json.dumps(LITERALS)), found[family]["facts"]["tokens"])


@pytest.mark.model
@pytest.mark.parametrize("family", FAMILIES)
def test_server_and_trainer_read_the_policy_in_the_configuration(workshop, family):
    found = workshop[1][family]
    expected = {"tokens": found["facts"]["tokens"], "keep_delimiters": False, "keep_last_n": 0, "summary_end_sees_block": True}
    assert found["config"]["memento"] == found["loaded"] == expected


@pytest.mark.model
@pytest.mark.parametrize("family", FAMILIES)
def test_the_template_carries_system_prompts_and_tools(workshop, family):
    found = workshop[1][family]
    assert found["own"] is (family == "qwen3")
    assert 0 <= found["system"].find("Be brief.") < found["system"].find("Weather?")
    assert "weather" not in found["system"]
    assert 0 <= found["tools"].find("of a place") < found["tools"].find("Weather?")
    assert found["tools"].index("Be brief.") < found["tools"].index("Weather?")


@pytest.mark.model
def test_the_family_without_a_system_role_keeps_its_turns(workshop):
    assert workshop[1]["phi3"]["system"] == "<|user|>\nBe brief.\n\nWeather?<|end|>\n<|assistant|>\n"


@pytest.mark.model
def test_a_lora_is_merged_as_its_ranks_and_scales_say(workshop):
    assert workshop[1]["lora"] == {
        "wrong": [],
        "changed": [
            "model.embed_tokens.weight",
            "model.layers.1.mlp.down_proj.weight",
            "model.layers.1.self_attn.q_proj.weight",
            "model.layers.1.self_attn.v_proj.weight",
        ],
    }


@pytest.mark.model
def test_a_delta_rebuilds_to_the_weights_it_was_made_for(workshop):
    got, wanted = workshop[1]["delta"]
    assert got == wanted


@pytest.mark.model
@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("sliding", "InvalidInput", "sliding window"),
        ("slow", "InvalidInput", "no tokenizer.json"),
        ("empty", "InvalidInput", "no weights in safetensors"),
        ("pickle", "InvalidInput", "only pickles"),
        ("shard", "InvalidInput", "no weights in safetensors"),
        ("cut", "SetupError", "cannot be read"),
        ("unigram", "InvalidInput", "of the kind Unigram"),
        ("greedy", "InvalidInput", "out of text's reach"),
        ("other-name", "InvalidInput", "made for somewhere/llama, not for qwen3"),
        ("other-shape", "InvalidInput", "made for another model"),
        ("other-delta", "InvalidInput", "made for another model"),
        ("dora", "InvalidInput", "use_dora"),
        ("pickled", "InvalidInput", "no adapter_model.safetensors"),
        ("llama", "Conflict", "already, made of other inputs"),
        ("nowhere", "NotFound", "no model directory"),
        ("disk", "SetupError", "of disk"),
    ],
)
def test_what_will_not_do_is_refused_and_leaves_nothing(workshop, name, kind, message):
    found = workshop[1][f"refused {name}"]
    assert (found[0], found[2]) == (kind, True)
    assert message in found[1]


@pytest.mark.model
def test_a_failure_leaves_nothing_half_made_and_the_same_again_changes_nothing(workshop):
    found = workshop[1]
    assert found["half"] == []
    assert found["swept"]
    assert found["idempotent"]


@pytest.mark.model
def test_the_command_adds_lists_serves_and_removes(workshop, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from infra.weights import command, program
    from infra.weights.served import build_served, weights_ready

    home, python = workshop[0], interpreter()
    settings = Settings(home=tmp_path, model_name="my-llama")
    monkeypatch.setattr(command, "get_settings", lambda: settings)
    monkeypatch.setattr(program, "ensure_serving_env", lambda settings: python)
    (tmp_path / "llama").symlink_to(home / "made" / "llama")
    lora = shutil.copytree(home / "made" / "lora", tmp_path / "lora")
    config = json.loads((lora / "adapter_config.json").read_text())
    (lora / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(tmp_path / "llama")}))
    added = CliRunner().invoke(command.app, ["models", "add", "my-llama", "--adapter", str(lora), "--keep-delimiters"])
    assert added.exit_code == 0, added.exception
    assert "weights my-llama: ready" in added.stderr
    [listed] = json.loads(CliRunner().invoke(command.app, ["models", "list", "--json"]).stdout)
    assert (listed["name"], listed["model"], listed["adapter"], listed["keep_delimiters"]) == ("my-llama", "llama", "lora", True)
    assert weights_ready(settings)
    assert build_served(settings) == find_added(settings, "my-llama").directory
    assert CliRunner().invoke(command.app, ["models", "remove", "my-llama"]).exit_code == 0
    assert added_models(settings) == []
    with pytest.raises(NotFound, match="no model my-llama"):
        build_served(settings)


@pytest.mark.parametrize("name", ["", "Llama", "../up", "a/b", ".hidden", "-x", "a" * 65, "ä", "keepsake-big"])
def test_a_name_that_will_not_do_is_refused(tmp_path, name):
    with pytest.raises(InvalidInput):
        add_model(Settings(home=tmp_path), Request(name=name, model="x"))


def test_without_a_model_or_an_adapter_there_is_nothing_to_add(tmp_path):
    with pytest.raises(InvalidInput, match="Which model"):
        add_model(Settings(home=tmp_path), Request(name="x"))
    with pytest.raises(NotFound, match="no adapter"):
        add_model(Settings(home=tmp_path), Request(name="x", model="y", adapter=tmp_path / "none"))
    with pytest.raises(NotFound, match="no added model"):
        remove_model(Settings(home=tmp_path), "x")


@pytest.mark.model
def test_without_the_hub_a_hub_id_is_a_typed_error(tmp_path, monkeypatch):
    interpreter()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with pytest.raises(SetupError, match="could not be fetched from the hub"):
        add_model(Settings(home=tmp_path), Request(name="x", model="Qwen/Qwen3-8B"), serving_python(Settings()))
    assert added_models(Settings(home=tmp_path)) == []


@pytest.mark.model
def test_what_the_hubs_cache_has_is_taken_while_the_hub_is_out_of_reach(workshop, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    repository, commit = tmp_path / "hub" / "models--somewhere--llama", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(workshop[0] / "made" / "llama", repository / "snapshots" / commit)
    settings, lora = Settings(home=tmp_path), workshop[0] / "made" / "lora"
    made = add_model(settings, Request(name="x", adapter=lora), serving_python(Settings()))  # the adapter names the repository
    assert made.manifest.source["model"] == "somewhere/llama"
    assert made.manifest.weights == find_added(Settings(home=workshop[0]), "tuned").manifest.weights
