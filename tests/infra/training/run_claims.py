"""Claims about whole runs: steps, checkpoints, evaluation, the delta. See torch_claims.py."""

import contextlib
import json
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from app.config import Settings
from app.errors import Conflict, InvalidInput, SetupError, StorageError
from infra.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from infra.training.config import OptimizerConfig, load_recipe
from infra.training.directory import load_model
from infra.training.evaluate import evaluate
from infra.training.examples import write_shard
from infra.training.job import Job
from infra.training.packing import plan_steps
from infra.training.precision import Weights
from infra.training.sft import Trainer
from infra.training.tokens import Encoder
from infra.weights.manifest import read_manifest
from tests.infra.training.samples import examples
from tests.infra.training.tiny import make_base, model, write_recipe

CPU = torch.device("cpu")


def a_resumed_training_is_bit_for_bit_an_uninterrupted_one(folder: Path) -> None:
    encoded = Encoder(make_base(folder)).encode(examples(36))
    steps = plan_steps([*range(36)] * 4, encoded, 600, 4, 0)
    assert len(steps) >= 10
    for dtype in (torch.float32, torch.bfloat16):

        def trainer(dtype: torch.dtype = dtype) -> Trainer:
            return Trainer(model().to(dtype), encoded, steps, OptimizerConfig(lr=3e-3, warmup_steps=3), CPU)

        whole, first, second = trainer(), trainer(), trainer()
        losses = [whole.step() for _ in steps]
        half = len(steps) // 2
        before = [first.step() for _ in range(half)]
        path = save_checkpoint(folder / str(dtype), first.done, first.state())
        second.load(load_checkpoint(path))
        after = [second.step() for _ in range(half, len(steps))]
        assert before + after == losses
        for name, tensor in whole.weights.state().items():
            assert torch.equal(tensor, second.weights.state()[name]), name
        for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
            assert torch.equal(one, other)


def bfloat16_weights_follow_their_float32_masters(folder: Path) -> None:
    encoded = Encoder(make_base(folder)).encode(examples(12))
    tiny = model().to(torch.bfloat16)
    trainer = Trainer(tiny, encoded, [[*range(12)]] * 3, OptimizerConfig(lr=1e-5, warmup_steps=0), CPU)
    before = trainer.weights.state()["model.layers.0.mlp.up_proj.weight"].clone()
    for _ in range(3):
        trainer.step()
    after = trainer.weights.state()["model.layers.0.mlp.up_proj.weight"]
    # 1e-5 is below bfloat16's resolution for most of these weights: only a float32 master adds such steps up.
    assert (after != before).float().mean() > 0.99
    assert torch.equal(tiny.model.layers[0].mlp.up_proj.weight, after.to(torch.bfloat16))


def frozen_layers_stay_and_the_others_learn(folder: Path) -> None:
    encoded = Encoder(make_base(folder)).encode(examples(12))
    tiny = model(layers=3)
    before = {name: p.detach().clone() for name, p in tiny.named_parameters()}
    trainer = Trainer(tiny, encoded, [[*range(12)]] * 3, OptimizerConfig(lr=3e-3), CPU, frozen_layers=2)
    for _ in range(3):
        trainer.step()
    changed = {name for name, p in tiny.named_parameters() if not torch.equal(p, before[name])}
    assert {name for name in before if ".layers.0." in name or ".layers.1." in name}.isdisjoint(changed)
    assert {"model.embed_tokens.weight", "model.layers.2.mlp.up_proj.weight", "model.norm.weight"} <= changed
    assert dict(trainer.weights.full(tiny)).keys() == before.keys()
    try:
        Weights(model(layers=2), frozen_layers=3)
    except InvalidInput:
        return
    raise AssertionError("3 layers of 2 were frozen")


def the_learning_rate_rises_and_falls_to_nothing(folder: Path) -> None:
    encoded = Encoder(make_base(folder)).encode(examples(3))
    trainer = Trainer(model(), encoded, [[0]] * 100, OptimizerConfig(lr=1.0, warmup_steps=10), CPU)
    rates = [trainer.rate(step) for step in range(100)]
    assert rates[:10] == [(i + 1) / 10 for i in range(10)]
    assert max(rates) == 1.0 and rates[10:] == sorted(rates[10:], reverse=True) and 0 < rates[-1] < 0.02


def exact_match_is_what_greedy_decoding_gives(folder: Path) -> None:
    encoder = Encoder(make_base(folder))
    made = examples(36)
    encoded = encoder.encode(made)
    tiny = model()
    trainer = Trainer(tiny, encoded, plan_steps([*range(36)] * 40, encoded, 600, 4, 0), OptimizerConfig(lr=5e-3, warmup_steps=5), CPU)
    report = evaluate(tiny, encoder, made, CPU)
    while not trainer.finished and not 6 <= report.all.exact <= 30:
        trainer.step()
        if trainer.done % 5 == 0:
            report = evaluate(tiny, encoder, made, CPU, batch_tokens=500)
    assert 6 <= report.all.exact <= 30, "the model never was half trained, so the comparison would say little"
    wrong = {failure.prompt for failure in report.failures}
    for example, ids in zip(made, encoded, strict=True):
        prompt = torch.tensor([ids.prompt])
        options = {"max_new_tokens": len(ids.answer), "do_sample": False, "eos_token_id": 2, "pad_token_id": 0}
        greedy = tiny.generate(prompt, attention_mask=torch.ones_like(prompt), **options)[0, len(ids.prompt) :]
        assert (tuple(greedy.tolist()) == ids.answer) == (example.prompt not in wrong)
        if example.prompt in wrong:
            failure = next(f for f in report.failures if f.prompt == example.prompt)
            assert encoder.text(greedy.tolist()).startswith(failure.upto + failure.got)
            assert example.answer.startswith(failure.upto + failure.want)
    assert sum(s.n for s in report.roles.values()) == sum(s.n for s in report.kinds.values()) == report.all.n == 36
    assert sum(s.exact for s in report.kinds.values()) == report.all.exact == 36 - len(report.failures)


def only_the_newest_two_checkpoints_stay_and_a_damaged_one_is_named(folder: Path) -> None:
    for step in (5, 10, 15):
        path = save_checkpoint(folder, step, {"x": torch.ones(3)})
    assert [p.name for p in checkpoints(folder)] == ["step_0000010.pt", "step_0000015.pt"]
    path.write_bytes(path.read_bytes()[:100])
    try:
        load_checkpoint(path)
    except StorageError as error:
        assert "damaged" in error.message
        return
    raise AssertionError("a damaged checkpoint was loaded")


def a_run_ends_with_a_delta_and_the_figures_of_what_it_rebuilds_to(folder: Path) -> None:
    base = make_base(folder)
    recipe = load_recipe(write_recipe(folder))
    job = Job(Settings(home=folder), recipe)
    manifest = job.start()
    lines = [json.loads(line) for line in job.folder.metrics.read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert manifest.status == "finished" and len(losses) == manifest.steps == manifest.steps_done
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert [line["step"] for line in lines if "dev" in line] == [15, 30]
    assert {"trained_dev", "rebuilt_dev", "rebuilt_eval", "delta"} == manifest.metrics.keys()
    assert manifest.computed < manifest.tokens == manifest.data["plan"]["tokens"]
    rebuilt = load_model(job.folder.rebuilt, job.dtype, CPU)
    again = evaluate(rebuilt, Encoder(base), job.data.eval, CPU)
    assert again.summary == manifest.metrics["rebuilt_eval"]
    assert read_manifest(job.folder.rebuilt).weights == manifest.artifacts["rebuilt"]
    assert not checkpoints(job.folder.checkpoints)
    tuned = LlamaForCausalLM.from_pretrained(job.folder.tuned, dtype=torch.float32)
    assert not torch.equal(tuned.model.embed_tokens.weight, load_model(base, torch.float32, CPU).model.embed_tokens.weight)
    try:
        Job(Settings(home=folder), recipe).start()
    except Conflict as error:
        assert "already" in error.message
    else:
        raise AssertionError("a second run took the first one's directory")
    assert Job(Settings(home=folder), recipe).start(resume=True) == manifest


def a_tuned_directory_can_be_trained_on(folder: Path) -> None:
    make_base(folder)
    first = Job(Settings(home=folder), load_recipe(write_recipe(folder), ["tokens=3000"]))
    first.start()
    second = Job(Settings(home=folder), load_recipe(folder / "tiny.yaml", ["tokens=3000", f"init={first.folder.tuned}"]))
    made = second.start()
    assert made.init == first.manifest.artifacts["tuned"] != made.base
    began = [json.loads(job.folder.metrics.read_text().splitlines()[0])["loss"] for job in (first, second)]
    assert began[1] < began[0]


def other_data_is_not_gone_on_with(folder: Path) -> None:
    make_base(folder)
    recipe = load_recipe(write_recipe(folder), ["tokens=3000"])
    job = Job(Settings(home=folder), recipe)
    job._measure = _stop  # ends the attempt after training
    with contextlib.suppress(InterruptedError):
        job.start()
    write_shard(folder / "train.jsonl.gz", examples(33))
    try:
        Job(Settings(home=folder), recipe).start(resume=True)
    except Conflict as error:
        assert "examples" in error.message
        return
    raise AssertionError("a run went on with other examples")


def without_base_weights_nothing_starts(folder: Path) -> None:
    recipe = load_recipe(write_recipe(folder))
    try:
        Job(Settings(home=folder), recipe)
    except SetupError as error:
        assert "make setup" in error.hint
        return
    raise AssertionError("a run started without base weights")


def _stop(*_: object) -> None:
    raise InterruptedError
