"""A training run from recipe to shipped delta: data, steps, tuned weights, delta, and the figures of the weights rebuilt from it."""

import shutil
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from app.config import Settings
from app.errors import Conflict, InvalidInput
from infra.bench.base import commit
from infra.bench.base import device as processor
from infra.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from infra.training.config import Recipe
from infra.training.data import Data, Generate, fingerprint, load_data
from infra.training.directory import base_weights, first_weights, load_model
from infra.training.evaluate import evaluate, measure, write_report
from infra.training.examples import Example
from infra.training.manifest import RunManifest, now, packages, write_run_manifest
from infra.training.monitor import Metrics, Monitor
from infra.training.plan import Plan, make_plan
from infra.training.precision import pick_device, pick_precision, prepare_process
from infra.training.run_folder import RunFolder, Stopped, StopSignal
from infra.training.selection import sample
from infra.training.sft import Trainer
from infra.training.tokens import Encoder
from infra.weights.manifest import MANIFEST, WEIGHTS, file_hash, read_manifest, tensor_hashes, weights_hash, write_manifest


class Job:
    """One run of a recipe. `start` does it, or as much of it as is left."""

    def __init__(self, settings: Settings, recipe: Recipe, generate: Generate | None = None) -> None:
        self.recipe = recipe
        self.folder = RunFolder(settings, recipe)
        self.base = base_weights(settings)
        self.first = first_weights(settings, recipe.train.init)
        self.data_folder = settings.home / "training" / "data"
        self.generate = generate
        self.device = pick_device()
        self.dtype = pick_precision(recipe.train.precision, self.device)
        self.encoder = Encoder(self.base, recipe.policy)
        self.metrics = Metrics(self.folder.metrics)
        self.data: Data
        self.plan: Plan
        self.manifest: RunManifest
        self._began = 0.0

    def start(self, resume: bool = False) -> RunManifest:
        """Train, measure, pack, measure again. Returns the manifest; its status is `stopped` when a signal ended it early.

        Raises what the parts raise, all of them KeepsakeErrors: Conflict, NotFound, InvalidInput, SetupError, StorageError, ToolError.
        """
        self._began = time.monotonic()
        prepare_process(self.recipe.train.threads)
        with self.folder.opened(self.recipe, resume) as earlier:
            if earlier and earlier.status == "finished":
                return earlier
            self.data = load_data(self.recipe.data, self.recipe.evaluation, self.data_folder, _say, self.generate)
            tokens = self.recipe.train.tokens_per_step or (8192 if self.device.type == "cuda" else 2048)
            self.plan = make_plan(self.recipe, self.data.train, self.encoder, tokens)
            self.manifest = self._manifest(earlier)
            write_run_manifest(self.folder.path, self.manifest)
            torch.manual_seed(self.recipe.train.seed)
            try:
                with StopSignal() as stop:
                    self._train(stop)
                    self._measure("trained_dev", self.folder.tuned, self.data.dev, stop)
                    self._pack()
                    self._measure("rebuilt_dev", self.folder.rebuilt, self.data.dev, stop)
                    self._measure("rebuilt_eval", self.folder.rebuilt, self.data.eval, stop)
            except Stopped:
                self._record("stopped")
                return self.manifest
            for path in checkpoints(self.folder.checkpoints):
                path.unlink()
            self._record("finished")
            return self.manifest

    def _train(self, stop: StopSignal) -> None:
        train = self.recipe.train
        model = load_model(self.first, self.dtype, self.device)
        trainer = Trainer(model, self.plan.encoded, self.plan.steps, self.recipe.optimizer, self.device, train.frozen_layers)
        self._take_up(trainer)
        if trainer.done:
            _say(f"going on after step {trainer.done} of {len(self.plan.steps)}")
        few = sample(self.data.dev, train.dev_examples, 1)
        saved = trainer.done
        with Monitor(self.recipe.name, len(self.plan.steps), trainer.done) as monitor:
            while not trainer.finished and not stop.wanted:
                started = time.monotonic()
                step = trainer.step()
                seconds = time.monotonic() - started
                self.manifest.steps_done = step.number
                self.manifest.tokens += step.tokens
                self.manifest.computed += step.computed
                self.manifest.seconds += seconds
                line = {"step": step.number, "loss": step.loss, "lr": step.lr, "norm": step.norm, "tokens": self.manifest.tokens}
                self.metrics.add({**line, "computed": step.computed, "examples": step.examples, "seconds": round(seconds, 3)})
                monitor.step(seconds, step.tokens, step.loss)
                if few and step.number % train.dev_steps == 0 and not trainer.finished:
                    report = evaluate(model, self.encoder, few, self.device)
                    self.metrics.add({"step": step.number, "dev": report.summary})
                    monitor.say(
                        f"step {step.number}: {report.all.value:.3f} of {report.all.n} held-out answers exact, loss {report.loss:.3f}"
                    )
                if step.number % train.checkpoint_steps == 0 or trainer.finished:
                    self._save(trainer)
                    saved = step.number
        if saved != trainer.done:
            self._save(trainer)
        stop.check()
        self._save_tuned(trainer)

    def _take_up(self, trainer: Trainer) -> None:
        """Put the trainer, the counts and the metrics where the newest checkpoint is; to the beginning where there is none."""
        known = checkpoints(self.folder.checkpoints)
        state: dict[str, Any] = load_checkpoint(known[-1]) if known else {"counts": {"tokens": 0, "computed": 0, "seconds": 0.0}}
        if known:
            trainer.load(state["trainer"])
        self.metrics.rewind(trainer.done)
        self.manifest = self.manifest.model_copy(update={"steps_done": trainer.done, **state["counts"]})

    def _save(self, trainer: Trainer) -> None:
        counts = self.manifest.model_dump(include={"tokens", "computed", "seconds"})
        save_checkpoint(self.folder.checkpoints, trainer.done, {"trainer": trainer.state(), "counts": counts})
        write_run_manifest(self.folder.path, self.manifest)

    def _save_tuned(self, trainer: Trainer) -> None:
        """Tuned weights in float32: a delta of weights that were not yet rounded comes out closer."""
        shutil.rmtree(self.folder.tuned, ignore_errors=True)
        shutil.copytree(self.base, self.folder.tuned, ignore=shutil.ignore_patterns(WEIGHTS, MANIFEST))
        tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in trainer.weights.full(trainer.model)}
        save_file(tensors, self.folder.tuned / WEIGHTS, metadata={"format": "pt"})
        made = write_manifest(
            self.folder.tuned, self.recipe.run_name, {"base": self.manifest.base, "data": self.manifest.data["hashes"]["all"]}
        )
        self.manifest.artifacts["tuned"] = made.weights

    def _pack(self) -> None:
        from infra.weights.delta import apply_delta, pack_delta

        delta = self.recipe.delta
        report = pack_delta(self.base, self.folder.tuned, self.folder.delta, delta.bits, delta.group, delta.max_bytes)
        rebuilt = apply_delta(self.base, self.folder.delta, self.folder.rebuilt)
        self.manifest.metrics["delta"] = {"bytes": report.bytes, "error": report.error, "forms": report.forms}
        self.manifest.artifacts |= {self.folder.delta.name: file_hash(self.folder.delta), "rebuilt": rebuilt.weights}
        _say(f"delta: {report.bytes / 1e6:.1f} MB at {self.folder.delta}")

    def _measure(self, name: str, weights: Path, examples: list[Example], stop: StopSignal) -> None:
        if not examples:
            raise InvalidInput(f"There are no held-out examples for {name}.", hint="Name seeds or files of dev and eval in the recipe.")
        report = measure(name, weights, self.encoder, examples, self.dtype, self.device, stop)
        write_report(self.folder.evaluation, name, report)
        self.manifest.metrics[name] = report.summary
        self.manifest.artifacts[f"evaluation/{name}.json"] = file_hash(self.folder.evaluation / f"{name}.json")
        write_run_manifest(self.folder.path, self.manifest)
        _say(f"{name}: {report.all.exact} of {report.all.n} answers exact ({report.all.value:.4f})")

    def _manifest(self, earlier: RunManifest | None) -> RunManifest:
        """The manifest at the beginning of an attempt. Raises Conflict when the run began with other data, weights or precision."""
        base = read_manifest(self.base)
        assert base is not None
        made_by = "files" if self.recipe.data.files else fingerprint()
        counts = {"train": len(self.data.train), "dev": len(self.data.dev), "eval": len(self.data.eval)}
        dropped = {"repeated": self.data.repeated, "shared": self.data.shared}
        data = {"hashes": self.data.hashes, "made_by": made_by, "counts": counts, "dropped": dropped, "plan": self.plan.summary}
        head = commit()
        fresh = RunManifest(
            status="running",
            name=self.recipe.run_name,
            recipe=self.recipe.model_dump(mode="json"),
            recipe_sha256=self.recipe.digest,
            commit=head.removesuffix("+"),
            dirty=head.endswith("+"),
            base=base.weights,
            init=weights_hash(tensor_hashes(self.first / WEIGHTS)),
            data=data,
            device=torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else processor(),
            precision=str(self.dtype).removeprefix("torch."),
            threads=torch.get_num_threads(),
            packages=packages(),
            started=now(),
            steps=len(self.plan.steps),
        )
        if earlier is None:
            return fresh
        for what, was, is_now in (
            ("examples", earlier.data["hashes"]["all"], fresh.data["hashes"]["all"]),
            ("steps", earlier.steps, fresh.steps),
            ("base weights", earlier.base, fresh.base),
            ("first weights", earlier.init, fresh.init),
            ("precision", earlier.precision, fresh.precision),
        ):
            if was != is_now:
                raise Conflict(
                    f"The run {fresh.name} began with other {what} than this attempt would go on with.",
                    hint="Resume it from the commit and on the kind of device that it was started with, or remove its directory.",
                    was=was,
                    now=is_now,
                )
        return fresh.model_copy(update={"started": earlier.started, "attempts": earlier.attempts + 1, "wall_s": earlier.wall_s})

    def _record(self, status: Any) -> None:
        self.manifest.status = status
        self.manifest.finished = now() if status == "finished" else None
        self.manifest.wall_s = round((self.manifest.wall_s or 0.0) + time.monotonic() - self._began, 1)
        write_run_manifest(self.folder.path, self.manifest)


def _say(line: str) -> None:
    Monitor("", 0).say(f"train: {line}")
