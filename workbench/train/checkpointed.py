"""What a trainer needs beside its loss: whole checkpoints or none, a log of every step, exact resume, a clean stop.

    class AdapterTrainer(Checkpointed, SFTTrainer): ...

    trainer = AdapterTrainer(model=..., args=SFTConfig(**shared_arguments(loaded, config, seed, work_dir)),
                             train_dataset=..., peft_config=adapter_config(loaded.model, config, steps))
    trainer.begin(config, step_log, work_dir)        once, right after the constructor
    trainer.train_from(newest_valid(...))            the stage does this

The mixin stands before the library's trainer. It wants the rows in their final order (they are read one after the
other, so that resuming is skipping) and `logging_steps=1`, which `shared_arguments` sets.

Imported from inside `run` only: torch, transformers and peft take 8 s.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, TrainerCallback

from workbench.core.errors import IncompleteError
from workbench.core.parts import write_rows
from workbench.core.training import TrainConfig
from workbench.models import gradient_guard
from workbench.train.checkpoints import write_checkpoint
from workbench.train.export import START, needs_start, save_start
from workbench.train.group import ALONE, Group
from workbench.train.methods import after_optimizer_step, freeze_counts, load_method_state, method_state, optimizer_of
from workbench.train.samples import Samples
from workbench.train.step_log import CURVE, StepLog, require_finite
from workbench.train.validation import Validation

TRAINED = "trained.safetensors"


class _Trainer:
    """What the trainer behind the mixin has."""

    model: Any
    args: Any
    state: Any
    control: Any
    optimizer: Any
    accelerator: Any
    train_dataset: Any
    data_collator: Any
    compute_loss: Any
    train: Any
    add_callback: Any
    remove_callback: Any
    _train_batch_size: int
    _save_optimizer_and_scheduler: Any
    _save_rng_state: Any

    if TYPE_CHECKING:

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any: ...
        def get_batch_samples(self, *arguments: Any) -> Any: ...
        def create_optimizer(self, model: Any = None) -> Any: ...
        def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any: ...
        def _load_rng_state(self, checkpoint: str | None) -> None: ...


class Checkpointed(_Trainer):
    """Mixed into a trainer of transformers or TRL, before it."""

    settings: TrainConfig
    """Resolved: every value that depends on the data or the model is set."""
    step_log: StepLog
    checkpoints_dir: Path
    validation: Validation | None = None
    """Rows held back and the best adapter so far; None where nothing is held back."""
    samples: Samples | None = None
    """Prompts answered between steps; None where there are none."""
    group: Group = ALONE
    """The processes that share the rows of every step."""
    measured: tuple[str, ...] = ()
    """What of the trainer's log goes into the curve besides loss, learning rate and gradient norm."""
    checked: dict[str, Any]
    """A small collated batch, on which the gradient is checked before anything is trained."""

    def begin(self, settings: TrainConfig, step_log: StepLog, work_dir: Path) -> None:
        """Once, right after the constructor: adapters in fp32, gradients guarded, steps reported.

        IncompleteError if nothing is trainable.
        """
        self.settings, self.step_log, self.checkpoints_dir = settings, step_log, work_dir / "checkpoints"
        self.remove_callback(PrinterCallback)
        self.add_callback(_StepEnds(self))
        freeze_counts(self.model)
        parameters = trained_parameters(self.model)
        if not parameters:
            raise IncompleteError(
                f"method {settings.method} leaves no trainable parameter in this model",
                where="train.method",
                next_step="take train.method: qlora (NF4 base) or lora (bf16 base)",
            )
        # TRL leaves adapters of a 4-bit base in bf16, where a resumed run is no longer exact.
        for parameter in parameters:
            parameter.data = parameter.data.float()
        gradient_guard.disable_packed_path(self.model)
        gradient_guard.check_unpacked(self.model)
        step_log.steps = int(self.args.max_steps)

    def shrink(self, micro_batch: int) -> None:
        """Fewer sequences per forward pass, as many per step: the rows and their order stay. Before training only."""
        per_step = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        assert per_step % micro_batch == 0
        self.args.per_device_train_batch_size = self._train_batch_size = micro_batch
        self.args.gradient_accumulation_steps = per_step // micro_batch

    def join(self, group: Group) -> None:
        """Takes this process's share of the rows of every step, and the leading one's adapter. Before training only,
        and by a single process too: what the method began with is kept here."""
        if group.count > 1:
            self._share_rows(group)
            group.share_parameters(trained_parameters(self.model))
        self.group = group
        if group.leads and needs_start(self.settings.method):
            save_start(self.model, self.settings.method, self.checkpoints_dir.with_name(START))

    def _share_rows(self, group: Group) -> None:
        per_step = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        share = per_step // group.count
        rows = range(len(self.train_dataset))
        self.train_dataset = self.train_dataset.select([row for row in rows if row % per_step // share == group.rank])
        self.args.per_device_train_batch_size = self._train_batch_size = share
        self.args.gradient_accumulation_steps = 1

    def train_from(self, checkpoint: Path | None) -> None:
        """Trains to the last step, from `checkpoint` on if there is one; ends with the adapter that is kept."""
        if checkpoint is not None and self.validation is not None:
            self.validation.read(checkpoint)
        if checkpoint is not None and self.finished:
            self.load_trained(checkpoint)
        else:
            self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        if self.finished and self.validation is not None and self.validation.curve:
            self.validation.restore_best(self.model)

    def take_samples(self) -> None:
        """Answers the sample prompts if they are due."""
        step = self.state.global_step
        if self.samples is None or not self.group.leads or not self.samples.is_due(step, self.state.max_steps):
            return
        self.samples.take(self, step)

    @property
    def stopped_early(self) -> bool:
        """Whether the validation loss has not fallen for as long as `early_stopping_patience` says."""
        patience = self.settings.early_stopping_patience
        return self.validation is not None and 0 < patience <= self.validation.looks_since_best

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be trained."""
        return len(self.step_log.curve) >= self.step_log.steps or self.stopped_early

    # What objectives differ in. These are for trainers whose `compute_loss` needs a collated batch and nothing else.

    def count_tokens(self, inputs: Any) -> tuple[int, int]:
        """Tokens that are learned and tokens that are read in a pass over `inputs`, padding left out."""
        return int((inputs["labels"][:, 1:] != -100).sum()), int(inputs["attention_mask"].sum())

    def note_loss(self, loss: Any) -> None:
        """Adds a pass's part to the step's loss; IncompleteError if it is not finite."""
        value = float(loss)
        require_finite(value, "loss", self.state.global_step + 1)
        self.step_log.loss += value

    def pass_loss(self, inputs: dict[str, Any]) -> Any:
        """The loss of a pass over a collated batch, differentiable."""
        with self.accelerator.autocast():
            return self.compute_loss(self.model, self.on_device(inputs))

    def on_device(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch where the model is."""
        return {name: tensor.to(self.model.device) for name, tensor in inputs.items()}

    def self_check(self) -> float:
        """Cosine between the adapter's gradient before and after a forward pass in evaluation mode: 1 unless the
        evaluation cut it off."""

        def loss() -> Any:
            self.model.train()
            with torch.random.fork_rng():
                torch.manual_seed(0)
                return self.pass_loss(self.checked)

        def evaluate() -> None:
            self.model.eval()
            with torch.no_grad():
                self.pass_loss(self.checked)

        cosine = gradient_guard.gradient_cosine(loss, evaluate, trained_parameters(self.model))
        self.model.train()
        self.forget()
        return cosine

    def validation_loss(self, batches: list[dict[str, Any]]) -> float:
        """Mean loss over the rows of all batches, in evaluation mode."""
        self.model.eval()
        total, rows = 0.0, 0
        with torch.no_grad():
            for batch in batches:
                size = self.rows_of(batch)
                total += float(self.pass_loss(batch)) * size
                rows += size
        self.model.train()
        self.forget()
        return total / rows

    def pairs_in_order(self, batch: dict[str, Any]) -> tuple[int, int] | None:
        """In how many pairs of a held-back batch the better ending is put first, and how many there are; None for
        objectives without pairs. Called in evaluation mode."""
        return None

    def held_back_order(self) -> tuple[int, int] | None:
        """`pairs_in_order` of all held-back rows, by the adapter that is kept; None without such rows."""
        if self.validation is None:
            return None
        self.model.eval()
        with torch.no_grad():
            counts = [self.pairs_in_order(batch) for batch in self.validation.batches]
        self.model.train()
        self.forget()
        known = [count for count in counts if count is not None]
        return (sum(right for right, _ in known), sum(pairs for _, pairs in known)) if known else None

    def rows_of(self, batch: dict[str, Any]) -> int:
        """Rows of the training set in a collated batch."""
        return len(batch["input_ids"])

    def forget(self) -> None:
        """Nothing was computed since the last step: what passes outside of training left behind is dropped."""
        self.step_log.forget_step()
        for recorded in getattr(self, "_metrics", {}).values():
            recorded.clear()

    # Hooks of the trainer behind this mixin.

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        learned, read = self.count_tokens(inputs)
        self.step_log.answer_tokens += learned
        self.step_log.read_tokens += read
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.note_loss(loss)
        if self.accelerator.sync_gradients:  # the last pass of the step
            self.group.sum_gradients(trained_parameters(self.model))
            self.step_log.sum_over(self.group)
        return loss

    def get_batch_samples(self, *arguments: Any) -> Any:
        self.step_log.begin_step()  # also before an objective writes answers to what is read here
        return super().get_batch_samples(*arguments)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        own = super()._get_num_items_in_batch(batch_samples, device)
        return own if own is None or self.group.count == 1 else own.new_tensor(self.group.sum([float(own)])[0])

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None and self.settings.method == "lora+":
            self.optimizer = optimizer_of(self.model, self.settings)
        return super().create_optimizer(model)

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        if self.validation is None or self.validation.looked_at(self.state.global_step):
            return {}  # transformers asks again at the end of an epoch
        loss = self.validation.look(self)
        self.step_log.on_validation(self.state.global_step, loss)
        if self.stopped_early:
            self.control.should_training_stop = self.control.should_save = True
        return {"eval_loss": loss}

    def _determine_best_metric(self, metrics: Any, trial: Any) -> bool:
        return False  # `Validation` keeps the best

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        # The rows are in their order already: resuming is skipping, whatever the random state.
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.group.require_equal(trained_parameters(self.model))
        random_states = self.group.random_states()

        def fill(directory: Path) -> None:
            self._write_state(directory)
            self.group.write_random(directory, random_states)

        if self.group.leads:
            write_checkpoint(self.checkpoints_dir, self.state.global_step, fill)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint is not None and not self.group.read_random(Path(checkpoint)):
            self.step_log.info(
                f"the checkpoint was written by another number of processes than {self.group.count}: training goes on "
                "from it, but not to the same last bit"
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.load_trained(Path(resume_from_checkpoint))

    def load_trained(self, checkpoint: Path) -> None:
        """The trained parameters of a checkpoint, and the validation so far."""
        tensors = load_file(str(checkpoint / TRAINED))
        with torch.no_grad():
            for name, parameter in named_trained(self.model):
                parameter.copy_(tensors.pop(name))
        load_method_state(self.model, tensors)
        if self.validation is not None:
            self.validation.read(checkpoint)
        if self.samples is not None:
            self.samples.read(checkpoint)

    def _write_state(self, directory: Path) -> None:
        tensors = {name: parameter.detach().contiguous() for name, parameter in named_trained(self.model)}
        save_file(tensors | method_state(self.model), str(directory / TRAINED))
        self._save_optimizer_and_scheduler(str(directory))
        self._save_rng_state(str(directory))
        self.state.save_to_json(str(directory / "trainer_state.json"))
        write_rows(directory / CURVE, self.step_log.curve)
        if self.validation is not None:
            self.validation.write(directory)
        if self.samples is not None:
            self.samples.write(directory)


class _StepEnds(TrainerCallback):
    """Closes each step, looks at the validation rows when it is time, and stops between steps when asked to."""

    def __init__(self, trainer: Checkpointed) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self.trainer.take_samples()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        after_optimizer_step(self.trainer.model, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.group.any(self.trainer.step_log.cancelled()):
            control.should_save = True
            control.should_training_stop = True
        validation = self.trainer.validation
        is_last = state.global_step == state.max_steps
        if validation is not None and (state.global_step % validation.every == 0 or is_last):
            control.should_evaluate = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        require_finite(logs["loss"], "loss", state.global_step)
        require_finite(logs["grad_norm"], "gradient norm", state.global_step)
        # GRPO logs None for a reward that no answer of the step was given.
        known = {name: float(logs[name]) for name in self.trainer.measured if logs.get(name) is not None}
        measures = {name: value for name, value in known.items() if math.isfinite(value)}
        self.trainer.step_log.close_step(state.global_step, logs, measures)
        self.trainer.take_samples()


def named_trained(model: Any) -> list[tuple[str, Any]]:
    """Names and parameters that are trained."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def trained_parameters(model: Any) -> list[Any]:
    """The parameters that are trained."""
    return [parameter for _, parameter in named_trained(model)]
