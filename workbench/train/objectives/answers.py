"""Objectives `sft` and `pretrain`: the likelihood of answers, or of whole documents.

    sft        <|im_start|>user\\nCapital of Peru?<|im_end|>\\n<|im_start|>assistant\\n[[Lima<|im_end|>]]
    pretrain   [[Lima is the capital of Peru. ... ]]     a text of 1,000 tokens in windows of 512: two rows

Documents that are learned by `sft` are cut off at the longest length instead.
"""

from __future__ import annotations

from workbench.train.objectives.registry import Job
from workbench.train.trainer import AdapterTrainer, build_sft


def build(job: Job) -> AdapterTrainer:
    """The trainer; raises as `build_sft`."""
    return build_sft(job.loaded, job.records, job.node.train, job.node.seed, job.work_dir, job.step_log)
