"""Claims about the toy that need torch. Each function takes an empty directory and fails by an exception; test_torch_claims.py runs them in the
training environment, all in one process.

    .venv-train/bin/python -m tests.infra.science.torch_claims DIRECTORY        prints {claim: traceback or null}
"""

import json
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from app.memento.visibility import Policy, visible
from infra.reasoning.problems import problem
from infra.science import traces
from infra.science.decode import right, write
from infra.science.experiment import Sizes, run
from infra.science.model import Cache, Shape, ToyModel
from infra.science.muon import orthogonal
from infra.science.probe import TRAIN, Probing, accuracy, features, label_parts
from infra.science.rules import measure, rules
from infra.science.toy import Toy
from infra.science.train import Trainer, Training
from infra.training.llama import Batch, answer_loss
from infra.training.mask import visible_mask
from infra.training.packing import lay_out
from infra.training.tokens import Encoder
from infra.training.traces import trace
from tests.infra.training.tiny import make_base, model

TINY = Shape(layers=2, width=32, heads=2, hidden=64)
SHORT = Toy(blocks=3, digits=2, width=2)
FP32 = torch.float32


def _sequences(toy: Toy, count: int, seed: int = 0):
    return toy.sample(np.random.default_rng(seed), count)


def _mask(toy: Toy, policy: Policy) -> torch.Tensor:
    return visible_mask(toy.after(policy))


def the_mask_is_the_rule(folder: Path) -> None:
    for policy in (Policy(), Policy(restart=True), Policy(keep_delimiters=True)):
        after, mask, size = Toy().after(policy), _mask(Toy(), policy), range(Toy().length)
        assert all(bool(mask[q, k]) == visible(q, k, after) for q in size for k in size)


def decoding_with_a_freed_cache_is_the_masked_pass(folder: Path) -> None:
    toy, sequences = Toy(), _sequences(Toy(), 4)
    tiny, written = ToyModel(toy.length, 0, TINY), torch.tensor(toy.written)
    for name, rule in rules(toy).items():
        if not rule.recompute:
            expected = tiny(torch.from_numpy(sequences), visible_mask(rule.after))[:, written - 1]
            torch.testing.assert_close(write(tiny, toy, sequences, rule, forced=True).logits, expected, rtol=1e-4, atol=1e-5, msg=name)


def a_restart_leaves_the_cache_of_the_restart_mask(folder: Path) -> None:
    from infra.science.decode import _Engine

    toy, ids = Toy(), torch.from_numpy(_sequences(Toy(), 3))
    tiny, whole = ToyModel(toy.length, 0, TINY), Cache()
    engine = _Engine(tiny, toy, ids.clone(), rules(toy)["restart"], forced=True).run()
    tiny(ids, _mask(toy, Policy(restart=True)), whole)
    memento = list(toy.memento(6))
    at = [engine.cache.places.index(place) for place in memento]
    torch.testing.assert_close(engine.cache.keys[1][:, :, at], whole.keys[1][:, :, memento], rtol=1e-4, atol=1e-5)
    kept = Cache()
    tiny(ids, _mask(toy, Policy()), kept)
    assert (kept.values[1][:, :, memento] - whole.values[1][:, :, memento]).abs().max() > 0.01


def restart_features_are_those_of_a_text_without_blocks_at_its_old_positions(folder: Path) -> None:
    toy, sequences = Toy(), _sequences(Toy(), 3)
    tiny, cache, site = ToyModel(toy.length, 0, TINY), Cache(), (3, 1)
    found = features(tiny, toy, sequences, _mask(toy, Policy(restart=True)), [site])[site]
    for stretch in (range(1), *map(toy.memento, range(4))):
        before = len(cache.places)
        causal = torch.ones(len(stretch), before + len(stretch), dtype=torch.bool).tril(before)
        tiny(torch.from_numpy(sequences[:, list(stretch)]), causal, cache, first=stretch.start)
    both = torch.cat((cache.keys[1][:, :, -5:], cache.values[1][:, :, -5:]), -1).flatten(1)
    torch.testing.assert_close(found.float(), both, rtol=2e-3, atol=2e-3)


def what_a_block_says_reaches_later_mementos_from_the_third_layer_on_and_earlier_ones_never(folder: Path) -> None:
    """The first layer reads the block into its memento, the second from there into later ones; a cache is of what the layers before it did."""
    toy, sequences = Toy(), _sequences(Toy(), 6)
    other = sequences.copy()
    other[:, list(toy.block(1))] = 9 - other[:, list(toy.block(1))]  # the mementos' text stays
    deeper, sites = ToyModel(toy.length, 0, Shape(layers=3, width=32, heads=2, hidden=64)), [(0, 2), (1, 0), (1, 1), (2, 1), (2, 2), (9, 2)]
    one, two = (features(deeper, toy, each, _mask(toy, Policy()), sites) for each in (sequences, other))
    assert [site for site in sites if not torch.equal(one[site], two[site])] == [(1, 1), (2, 2), (9, 2)]
    one, two = (features(deeper, toy, each, _mask(toy, Policy(restart=True)), sites) for each in (sequences, other))
    assert all(torch.equal(one[site], two[site]) for site in sites)


def training_lowers_the_loss_and_answers_come_from_what_was_written(folder: Path) -> None:
    for precision in (FP32, torch.bfloat16):
        tiny = ToyModel(SHORT.length, 0, TINY)
        trainer = Trainer(tiny, SHORT, _mask(SHORT, Policy()), Training(steps=60, warmup=5), np.random.default_rng(0), precision)
        losses = []
        while not trainer.finished:
            losses.append(trainer.step())
        assert sum(losses[-5:]) < 0.7 * sum(losses[:5]), losses
    sequences = _sequences(SHORT, 40, 1)
    shifts = {record["name"]: record["shift"] for record in measure(tiny, SHORT, sequences, 10)}
    assert list(shifts) == list(rules(SHORT)) and shifts.pop("trained") == 0 and min(shifts.values()) > 0
    written = write(tiny, SHORT, sequences, rules(SHORT)["trained"]).sequences
    given = [place for place in range(SHORT.length) if place not in SHORT.written]
    assert (written[:, given] == sequences[:, given]).all() and (written != sequences).any()
    answers, wholes = right(SHORT, sequences, sequences)
    assert all(answers) and all(wholes) and not all(right(SHORT, written, sequences)[1])


def an_orthogonal_step_has_singular_values_near_one(folder: Path) -> None:
    torch.manual_seed(0)
    for shape in ((3, 32, 32), (2, 64, 32), (2, 32, 64)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        # A square random matrix has singular values near zero, which five iterations do not lift all the way.
        assert values.max() < 1.3 and values.median() > 0.6


def a_probe_reads_what_is_there_and_is_at_chance_where_nothing_is(folder: Path) -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 10, (6000, 4))
    parts = label_parts(labels)
    assert np.allclose(np.bincount(parts) / 6000, (0.7, 0.1, 0.2), atol=0.05)
    known = {tuple(row) for row in labels[parts == TRAIN].tolist()}
    assert not known & {tuple(row) for row in labels[parts != TRAIN].tolist()}
    sizes = Probing(epochs=10, rate=3e-3, hidden=(64,))
    noise = torch.from_numpy(draw.normal(size=(6000, 20))).float()
    hot = F.one_hot(torch.from_numpy(labels), 10).flatten(1)
    assert abs(accuracy(noise, labels, sizes, 0, FP32) - 0.1) < 0.03
    assert accuracy(torch.cat((noise, hot), 1), labels, sizes, 0, FP32) > 0.9


def a_seed_gives_the_same_records_of_every_kind_again(folder: Path) -> None:
    sizes = Sizes(TINY, Training(steps=4), Probing(samples=300, epochs=1, hidden=(16,)), sequences=8, points=2, distances=(1,))
    first, again = (list(run(3, sizes, FP32, SHORT)) for _ in range(2))
    assert first[:-1] == again[:-1] and first[:-1] != list(run(4, sizes, FP32, SHORT))[:-1]
    names = [record["name"] for record in first if record["kind"] == "probe"]
    assert names == ["untrained_kept", "untrained_restart", "kept", "kept", "direct", "control", "restart"]
    assert [record["step"] for record in first if record["kind"] == "point"] == [2, 4]
    assert [record["name"] for record in first if record["kind"] == "rule"] == list(rules(SHORT)) and first[-1]["kind"] == "done"


def traces_cost_what_the_training_loss_says_and_mementos_do_not_count(folder: Path) -> None:
    weights, made = make_base(folder), problem("chain_sum", 900_000)
    (encoded,) = Encoder(weights, Policy()).encode([trace(made)])
    counted = traces._counted(encoded)
    texts = Encoder(weights)
    said = texts.text([token for token, counts in zip(encoded.answer, counted, strict=True) if counts])
    assert made.blocks[0].text in said and made.closing in said
    assert counted.count(False) == sum(len(texts._ids([block.memento])[0]) + 1 for block in made.blocks)
    (record,) = traces.costs(weights, [made], FP32)
    assert {*traces.POLICIES} <= {*record} and record["trained"] != record["off"] != record["restart"]
    tiny = model().bfloat16().float()  # as they were saved
    everything = -answer_loss(tiny, Batch.of(lay_out([encoded]), torch.device("cpu")))
    traces._counted, kept = (lambda one: [True] * len(one.answer)), traces._counted
    try:
        (all_count,) = traces.costs(weights, [made], FP32)
    finally:
        traces._counted = kept
    torch.testing.assert_close(torch.tensor(all_count["trained"]), everything.detach(), rtol=1e-3, atol=1e-3)


def main() -> None:
    torch.set_num_threads(1)
    root, results = Path(sys.argv[1]), {}
    for name, claim in list(globals().items()):
        if name[0] == "_" or name == "main" or getattr(claim, "__module__", None) != "__main__" or not callable(claim):
            continue
        folder = root / name
        folder.mkdir(parents=True)
        try:
            claim(folder)
            results[name] = None
        except Exception:
            results[name] = traceback.format_exc()
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
