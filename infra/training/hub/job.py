"""A run of a hub recipe from records to weights or an adapter: rows once, then its stages, each from where the one before ended."""

import gc
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import disable_progress_bars
from transformers import AutoModelForCausalLM, PrinterCallback
from transformers.utils import logging

from app.config import Settings
from app.errors import InvalidInput
from infra.lock import require_disk
from infra.training.hub.arguments import stage_arguments
from infra.training.hub.begin import begin_manifest
from infra.training.hub.config import HubRecipe, StageConfig
from infra.training.hub.folder import HubFolder
from infra.training.hub.hook import IMPLEMENTATIONS, attach_mask
from infra.training.hub.lora import with_adapter
from infra.training.hub.machine import Machine, stored_dtype
from infra.training.hub.memory import checkpoint_bytes, require_fit, trained_weights
from infra.training.hub.pretrained import Pretrained, find_model
from infra.training.hub.processes import is_main, require_world
from infra.training.hub.rows import load_rows, make_rows, read_facts
from infra.training.hub.trainer import HubTrainer, Watch, read_counts, saved_steps
from infra.training.manifest import RunManifest, now, read_run_manifest, write_run_manifest
from infra.training.monitor import Metrics, Monitor
from infra.training.precision import prepare_process
from infra.training.run_folder import Stopped, StopSignal
from infra.weights.manifest import file_hash

disable_progress_bars()
logging.disable_progress_bar()
warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.training_args")  # names that TRL still uses

PATIENCE = timedelta(hours=2)  # while the main process makes the rows
BESIDE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "LICENSE*", "NOTICE*", "USE_POLICY*")


class HubJob:
    """One run. `start` does it, or as much of it as is left, in each of the processes that torchrun started."""

    def __init__(self, settings: Settings, recipe: HubRecipe) -> None:
        self.recipe = recipe
        self.settings = settings
        self.folder = HubFolder(settings, recipe)
        self.machine = Machine.here()
        self.metrics = Metrics(self.folder.metrics)
        self.model: Pretrained
        self.rows: Any
        self.manifest: RunManifest
        self.monitor: Monitor
        self._began = 0.0
        self._told = 0  # tokens that the monitor has heard of

    def start(self, resume: bool = False) -> RunManifest:
        """Returns the manifest; its status is `stopped` when a signal ended it early.

        Raises what the parts raise: Conflict, NotFound, InvalidInput, SetupError, StorageError.
        """
        self._began = time.monotonic()
        require_world(self.recipe)
        prepare_process(self.recipe.hardware.threads)
        self.model = find_model(self.settings, self.recipe.model, _say)
        self.machine.require(self.recipe, self.model)
        processes = PartialState(cpu=not self.machine.on_gpu, timeout=PATIENCE)
        with self._held(resume) as earlier:
            finished = earlier is not None and earlier.status == "finished"
            if is_main() and not finished:
                make_rows(self.folder.rows, self.recipe, self.model, _say)
            processes.wait_for_everyone()
            if earlier and finished:
                return earlier
            with processes.main_process_first():  # one makes what all read: packed rows
                self._prepare(earlier)
            try:
                with StopSignal() as stop, self._watched():
                    for number, stage in enumerate(self.recipe.stages, 1):
                        if not self.folder.result(number).is_dir():
                            self._stage(number, stage, stop)
            except Stopped:
                self._record("stopped")
                return self.manifest
            if is_main():
                shutil.rmtree(self.folder.rows, ignore_errors=True)
            self._record("finished")
            return self.manifest

    @property
    def steps_of_stage(self) -> int:
        """Of every stage alike: they see the same rows."""
        passes = ceil(len(self.rows) / (self.recipe.hardware.processes * self.recipe.hardware.micro_batch))
        return self.recipe.train.epochs * ceil(passes / self.recipe.accumulation)

    def _prepare(self, earlier: RunManifest | None) -> None:
        """Rows, a look at the memory they take, the manifest."""
        train, facts = self.recipe.train, read_facts(self.folder.rows)
        assert facts is not None
        summary = facts["summary"]
        require_fit(self.recipe, self.model.shape, self.recipe.computed(summary["longest"]), self.machine.memory_gib)
        if is_main():  # two checkpoints that stay, the one being written, and the result
            room = 3 * checkpoint_bytes(self.recipe, self.model.shape) + 4 * trained_weights(self.recipe, self.model.shape)
            require_disk(self.folder.path, room, f"Training {self.recipe.run_name}")
        self.rows = load_rows(self.folder.rows, train.max_length if train.packing else None)
        data = {"hashes": {"all": summary["sha256"]}, **summary, "packed_rows": len(self.rows)}
        base = self.model.weights_hash() if is_main() else ""
        steps = self.steps_of_stage * len(self.recipe.stages)
        self.manifest = begin_manifest(self.recipe, self.machine, base, data, steps, earlier if is_main() else None)
        self._write()

    def _stage(self, number: int, stage: StageConfig, stop: StopSignal) -> None:
        path, before = self.folder.stage(number), (number - 1) * self.steps_of_stage
        checkpoints = path / "checkpoints"
        known = saved_steps(checkpoints)
        counts = read_counts(known[-1]) if known else self._counts_before(number)
        done = before + (int(known[-1].name.removeprefix("step_")) if known else 0)
        if is_main():
            shutil.rmtree(path / "partial", ignore_errors=True)
            self.metrics.rewind(done)
        self._count(done, counts)
        self.monitor.done = done
        _say(f"stage {number}, {stage.mask} mask" + (f", going on after step {done}" if known else ""))
        first = counts["tokens"]  # TRL counts from nothing at every start

        def report(line: dict[str, Any]) -> None:
            counts["tokens"] = first + line["tokens"]
            counts["seconds"] += line["seconds"]
            self._count(before + line["step"], counts)
            if is_main():
                told = {**line, "step": before + line["step"], "tokens": int(counts["tokens"]), "stage": number, "mask": stage.mask}
                self.monitor.step(line["seconds"], told["tokens"] - self._told, line["loss"])
                self._told = told["tokens"]
                self.metrics.add(told)

        self._told = int(first)
        trainer = self._trainer(number, stage, checkpoints, counts)
        trainer.add_callback(Watch(stop, report, self._write))
        try:
            trainer.train(resume_from_checkpoint=str(known[-1]) if known else None)
        except torch.OutOfMemoryError as error:
            raise InvalidInput(
                f"The device ran out of memory behind step {trainer.state.global_step} of stage {number}.",
                hint="Remove the run's directory and start it with a lower hardware.micro_batch or train.max_length, or on more devices.",
            ) from error
        if trainer.state.global_step < trainer.state.max_steps:
            raise Stopped
        self._finish(number, trainer)

    def _trainer(self, number: int, stage: StageConfig, checkpoints: Path, counts: dict[str, float]) -> HubTrainer:
        recipe, model, attention = self.recipe, self.model, self.recipe.hardware.attention
        start = self.folder.result(number - 1) if number > 1 else None
        torch.manual_seed(stage.seed)
        loaded = AutoModelForCausalLM.from_pretrained(
            model.directory if start is None or recipe.lora.r else start,
            dtype=self.machine.loaded(recipe),
            attn_implementation=IMPLEMENTATIONS[attention],
            trust_remote_code=False,
        )
        if recipe.lora.r:
            loaded = with_adapter(loaded, recipe.lora, model.ids, start)
        attach_mask(loaded, model.ids, model.policy if stage.mask == "memento" else None, attention)
        trainer = HubTrainer(
            loaded,
            stage_arguments(recipe, stage, checkpoints.with_name("partial"), self.machine.on_gpu),
            train_dataset=self.rows,
            processing_class=model.tokenizer(),
            checkpoints=checkpoints,
            counts=counts,
        )
        trainer.remove_callback(PrinterCallback)
        return trainer

    def _finish(self, number: int, trainer: HubTrainer) -> None:
        result, last = self.folder.result(number), number == len(self.recipe.stages)
        beside = [path for pattern in BESIDE for path in self.model.directory.glob(pattern)]
        trainer.save_result(result, stored_dtype(self.model) if last else None, beside)
        if is_main():
            for path in sorted(result.glob("*.safetensors")):
                self.manifest.artifacts[f"{path.relative_to(self.folder.path)}"] = file_hash(path)
            losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
            self.manifest.metrics[f"stage{number}"] = {"first_loss": round(losses[0], 5), "last_loss": round(losses[-1], 5)}
            self._write()
            for name in ("checkpoints", "partial"):
                shutil.rmtree(self.folder.stage(number) / name, ignore_errors=True)
        trainer.accelerator.wait_for_everyone()
        trainer.model = trainer.model_wrapped = None
        gc.collect()
        if self.machine.on_gpu:
            torch.cuda.empty_cache()

    @contextmanager
    def _held(self, resume: bool) -> Iterator[RunManifest | None]:
        """The main process holds the folder for all; what others know of earlier attempts they read."""
        if is_main():
            with self.folder.held(self.recipe, resume) as earlier:
                yield earlier
        else:
            yield read_run_manifest(self.folder.path)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """With a bar, or lines, of the main process."""
        self.monitor = Monitor(self.recipe.name, self.manifest.steps, self.manifest.steps_done)
        if not is_main():
            yield
            return
        with self.monitor:
            yield

    def _counts_before(self, number: int) -> dict[str, float]:
        """Tokens and seconds of the stages before, which are finished."""
        return read_counts(self.folder.result(number - 1)) if number > 1 else {"tokens": 0, "seconds": 0.0}

    def _count(self, done: int, counts: dict[str, float]) -> None:
        found = {"steps_done": done, "tokens": int(counts["tokens"]), "seconds": round(counts["seconds"], 3)}
        self.manifest = self.manifest.model_copy(update=found)

    def _record(self, status: Any) -> None:
        self.manifest.status = status
        self.manifest.finished = now() if status == "finished" else None
        self.manifest.wall_s = round((self.manifest.wall_s or 0.0) + time.monotonic() - self._began, 1)
        self._write()

    def _write(self) -> None:
        if is_main():
            write_run_manifest(self.folder.path, self.manifest)


def _say(line: str) -> None:
    if is_main():
        Monitor("", 0).say(f"train-hub: {line}")
