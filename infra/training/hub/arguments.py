"""A recipe's settings in TRL's names."""

from pathlib import Path
from typing import Any

from trl import SFTConfig

from infra.training.hub.config import BLOCK, HubRecipe, StageConfig


def stage_arguments(recipe: HubRecipe, stage: StageConfig, scratch: Path, on_gpu: bool) -> SFTConfig:
    """Rows come as tokens with labels, packed already where they are to be; every step is logged, and no NaN is filtered out of the log."""
    train, optimizer, hardware = recipe.train, recipe.optimizer, recipe.hardware
    sharded: dict[str, Any] = {}
    if hardware.parallel == "fsdp2":
        sharded = {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT"}}
    return SFTConfig(
        output_dir=str(scratch),
        per_device_train_batch_size=hardware.micro_batch,
        gradient_accumulation_steps=recipe.accumulation,
        num_train_epochs=train.epochs,
        learning_rate=optimizer.lr,
        lr_scheduler_type="cosine",
        warmup_steps=optimizer.warmup_share,
        adam_beta1=optimizer.betas[0],
        adam_beta2=optimizer.betas[1],
        weight_decay=optimizer.weight_decay,
        max_grad_norm=optimizer.clip,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=hardware.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        seed=stage.seed,
        data_seed=stage.seed,
        max_length=train.max_length,
        packing=train.packing,
        pad_to_multiple_of=BLOCK if hardware.attention == "flex" else None,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=train.checkpoint_steps,
        report_to=[],
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=on_gpu,
        **sharded,
    )
