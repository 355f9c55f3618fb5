"""What every trainer of transformers or TRL is told from the settings, whatever its objective.

    SFTConfig(**shared_arguments(loaded, settings, seed, work_dir), packing=False)

Imported from inside `run` only: torch takes 3 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from workbench.core.training import TrainConfig
from workbench.models.loading import LoadedModel


def shared_arguments(loaded: LoadedModel, settings: TrainConfig, seed: int, work_dir: Path) -> dict[str, Any]:
    """What the trainer's configuration takes from `settings`: batch, schedule, precision, memory, logging.

    `settings` must be resolved (`workbench.train.defaults.resolved`).
    """
    assert settings.max_steps is not None and settings.learning_rate is not None and settings.warmup_steps is not None
    on_cpu = loaded.model.device.type == "cpu"
    half = loaded.precision != "fp32"
    has_bf16 = on_cpu or torch.cuda.is_bf16_supported(including_emulation=False)
    return {
        "output_dir": str(work_dir / "trainer"),
        "max_steps": settings.max_steps,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup_steps,
        "max_grad_norm": settings.max_grad_norm,
        "weight_decay": settings.weight_decay,
        "neftune_noise_alpha": settings.neftune_alpha or None,
        "optim": _OPTIMIZERS[settings.optimizer],
        "bf16": half and has_bf16,
        "fp16": half and not has_bf16,
        "use_cpu": on_cpu,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False} if settings.gradient_checkpointing else None,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_steps,
        "seed": seed,
        "remove_unused_columns": False,
        "dataloader_pin_memory": not on_cpu,
        "report_to": list(settings.report_to) or "none",
        "disable_tqdm": True,
        **({"activation_offloading": True} if settings.activation_offloading else {}),
    }


_OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
}
