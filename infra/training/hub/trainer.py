"""TRL's SFTTrainer with what a job of ours must keep: checkpoints that are whole or not there, a stop on request, an end at the first NaN."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer

from app.errors import InvalidInput, StorageError
from infra.training.run_folder import StopSignal

KEEP = 2
COUNTS = "counts.json"
PARTIAL = ".partial"
BROKEN = (OSError, RuntimeError, SafetensorError)  # what torch and safetensors raise where a disk is full

Report = Callable[[dict[str, Any]], None]


class HubTrainer(SFTTrainer):
    """`checkpoints`: where they stand, `step_<n>`, the newest two. transformers writes each into `args.output_dir`, from where it is moved."""

    def __init__(self, *args: Any, checkpoints: Path, counts: dict[str, float], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._checkpoints = checkpoints
        self._counts = counts

    def _send_telemetry(self) -> None:
        """Nothing is told to anyone."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """A draft that would name TRL's defaults."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        scratch = Path(self.args.output_dir)
        final = self._checkpoints / f"step_{self.state.global_step:07d}"
        if final.is_dir():
            return  # the last step's, which a signal had saved already
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                made = next(scratch.glob("checkpoint-*"))
                (made / COUNTS).write_text(json.dumps(self._counts))
                sync(made)
                self._checkpoints.mkdir(parents=True, exist_ok=True)
                made.rename(final)
        except BROKEN as error:
            if self.accelerator.is_main_process:
                shutil.rmtree(scratch, ignore_errors=True)
            raise StorageError(
                f"The checkpoint of step {self.state.global_step} could not be written: {error}",
                hint="Free some disk and resume: the one before is whole.",
            ) from error
        if self.accelerator.is_main_process:
            for old in saved_steps(self._checkpoints)[:-KEEP]:
                gone = old.rename(old.with_name(f".{old.name}"))  # a removal that is cut off leaves no half a checkpoint under its name
                shutil.rmtree(gone)
        self.accelerator.wait_for_everyone()

    def save_result(self, folder: Path, dtype: torch.dtype | None, beside: Sequence[Path]) -> None:
        """Adapter or weights as `folder`, whole or not at all, with copies of the files `beside`; `dtype` None: as trained. In all processes."""
        state = self.accelerator.get_state_dict(self.model if self.is_fsdp_enabled else self.model_wrapped)
        if self.accelerator.is_main_process:
            model = self.accelerator.unwrap_model(self.model)
            partial = folder.with_name(folder.name + PARTIAL)
            try:
                shutil.rmtree(partial, ignore_errors=True)
                if hasattr(model, "peft_config"):
                    model.save_pretrained(partial, state_dict=state, save_embedding_layers=False)
                else:
                    wanted = dtype or model.dtype
                    model.save_pretrained(partial, state_dict={name: tensor.to(wanted) for name, tensor in state.items()})
                    _say_dtype(partial / "config.json", wanted)
                (partial / "README.md").unlink(missing_ok=True)
                for path in beside:
                    shutil.copyfile(path, partial / path.name)
                (partial / COUNTS).write_text(json.dumps(self._counts))
                sync(partial)
                shutil.rmtree(folder, ignore_errors=True)
                partial.rename(folder)
            except BROKEN as error:
                shutil.rmtree(partial, ignore_errors=True)
                raise StorageError(f"{folder.name} could not be written: {error}", hint="Free some disk and resume.") from error
        self.accelerator.wait_for_everyone()


class Watch(TrainerCallback):
    """Reports every step, ends the stage when a signal came to any process, and at a loss or gradient that is no number. That is seen before the
    step's checkpoint would be saved."""

    def __init__(self, stop: StopSignal, report: Report, saved: Callable[[], None]) -> None:
        self._stop = stop
        self._report = report
        self._saved = saved
        self._last = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        self._last = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        if _anywhere(self._stop.wanted, args.device):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        self._saved()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:  # noqa: ARG002
        logs: dict[str, Any] = given.get("logs") or {}
        if "loss" not in logs:
            return
        now, last = time.monotonic(), self._last
        self._last = now
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = "loss" if not math.isfinite(loss) else "gradient"
            raise InvalidInput(
                f"The {what} of step {state.global_step} is not a number ({loss if what == 'loss' else norm}).",
                hint="Halve optimizer.lr or lower optimizer.clip and start again; the last checkpoint, from before, is whole.",
            )
        self._report(
            {
                "step": state.global_step,
                "loss": loss,
                "lr": float(logs["learning_rate"]),
                "norm": norm,
                "accuracy": round(float(logs.get("mean_token_accuracy", 0.0)), 4),
                "tokens": int(logs.get("num_tokens", 0)),
                "seconds": round(now - last, 3),
            }
        )


def saved_steps(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(folder.glob("step_*"))


def read_counts(checkpoint: Path) -> dict[str, float]:
    """Tokens and seconds up to a checkpoint. StorageError for a damaged one."""
    try:
        return json.loads((checkpoint / COUNTS).read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"The checkpoint {checkpoint} is damaged: {error}", hint="Delete it: the one before is taken then.") from error


def sync(folder: Path) -> None:
    """All files of a folder are on disk, under their names."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _say_dtype(path: Path, dtype: torch.dtype) -> None:
    """transformers writes the model's own, whatever the tensors are."""
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "dtype": str(dtype).removeprefix("torch.")}, indent=2, sort_keys=True) + "\n")


def _anywhere(wanted: bool, device: torch.device) -> bool:
    """Whether it is so in any process."""
    if not torch.distributed.is_initialized():
        return wanted
    flag = torch.tensor(int(wanted), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag)
