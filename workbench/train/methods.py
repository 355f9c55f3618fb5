"""Methods as PEFT configurations, and the three that need more than a configuration.

    adapter_config(model, settings, steps)   ->  LoraConfig(use_dora=True, ...)     method `dora`
                                             ->  None                               method `full`

`lora+` has an optimiser of its own, `adalora` gives out its ranks while it trains, `pissa` and `olora` change the base
they train on and are turned into plain LoRA when they are saved. What each method can and cannot do stands in
`workbench.core.methods`. Papers (arXiv): LoRA 2106.09685, QLoRA 2305.14314, DoRA 2402.09353, rsLoRA 2312.03732, LoRA+
2402.12354, PiSSA 2404.02948, OLoRA 2406.01775, (IA)3 2205.05638, AdaLoRA 2303.10512, OFT 2306.07280, VeRA 2310.11454,
prefix tuning 2101.00190, prompt tuning 2104.08691, P-tuning 2103.10385.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.methods import METHODS, Method
from workbench.core.training import TrainConfig

_IA3_SCALED = ("k_proj", "v_proj", "qkv_proj", "query_key_value")
_IA3_FEEDFORWARD = ("down_proj", "fc2", "dense_4h_to_h")
_OFT_BLOCK = 32
_ORTHOGONAL_WEIGHT = 0.5
"""Of AdaLoRA's penalty (its paper's and PEFT's default)."""

ConfigOf = Callable[[TrainConfig, int, Any], Any]


def adapter_config(model: Any, settings: TrainConfig, steps: int) -> Any:
    """PEFT configuration of the method for a bare transformers `model` trained for `steps`; None for `full`.

    UsageError if the method does not know the model's layers.
    """
    if METHODS[settings.method].kind == "full":
        return None
    return _CONFIGS[settings.method](settings, steps, model)


def optimizer_of(model: Any, settings: TrainConfig) -> Any:
    """LoRA+: AdamW in which the second matrices learn `loraplus_ratio` times faster than the first."""
    from peft.optimizers import create_loraplus_optimizer
    from torch.optim import AdamW

    return create_loraplus_optimizer(
        model,
        AdamW,
        lr=settings.learning_rate,
        loraplus_lr_ratio=settings.loraplus_ratio,
        loraplus_weight_decay=settings.weight_decay,
    )


def after_optimizer_step(model: Any, step: int) -> None:
    """AdaLoRA: gives out the ranks anew, from the gradients of the step just done."""
    if (tuner := _adalora(model)) is not None:
        tuner.update_and_allocate(step)


def penalty(model: Any) -> Any:
    """AdaLoRA: mean Frobenius distance of its matrices from orthogonal ones, weighted; None for other methods.

    Equation 4 of arXiv 2303.10512. PEFT adds it to a loss that the model computes itself, which no trainer here asks it
    to do.
    """
    import torch

    if _adalora(model) is None:
        return None
    distances = []
    for name, matrix in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = matrix @ matrix.T if "lora_A" in name else matrix.T @ matrix
            distances.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
    return _ORTHOGONAL_WEIGHT * torch.stack(distances).mean()


def freeze_counts(model: Any) -> None:
    """AdaLoRA: the number of ranks of a layer is a parameter in PEFT, which on some bases would be trained as well."""
    if _adalora(model) is not None:
        for name, parameter in model.named_parameters():
            if ".ranknum." in name:
                parameter.requires_grad = False


def method_state(model: Any) -> dict[str, Any]:
    """What a checkpoint must hold besides the trained parameters: AdaLoRA's running importances and ranks."""
    import torch

    tuner = _adalora(model)
    if tuner is None:
        return {}
    state: dict[str, Any] = {}
    for kind in ("ipt", "exp_avg_ipt", "exp_avg_unc"):
        for name, tensor in getattr(tuner.rankallocator, kind).items():
            state[f"{kind}:{name}"] = tensor.contiguous()
    for name, kept in (tuner.peft_config["default"].rank_pattern or {}).items():
        state[f"rank_pattern:{name}"] = torch.tensor(kept)
    return state


def load_method_state(model: Any, state: dict[str, Any]) -> None:
    """Puts back what `method_state` gave."""
    tuner = _adalora(model)
    if tuner is None:
        return
    pattern: dict[str, list[bool]] = {}
    tuner.rankallocator.reset_ipt()
    for key, tensor in state.items():
        kind, _, name = key.partition(":")
        if kind == "rank_pattern":
            pattern[name] = tensor.tolist()
        else:
            getattr(tuner.rankallocator, kind)[name] = tensor
    tuner.peft_config["default"].rank_pattern = pattern or None


def keep_ranks_in_use(model: Any) -> None:
    """AdaLoRA, before an adapter from the middle of training is saved: a rank that was masked in an earlier step and
    has learned since is not left out."""
    if (tuner := _adalora(model)) is None or (pattern := tuner.peft_config["default"].rank_pattern) is None:
        return
    for name, parameter in tuner.model.named_parameters():
        if name in pattern:
            in_use = (parameter.detach().view(-1) != 0).tolist()
            pattern[name] = [kept or used for kept, used in zip(pattern[name], in_use, strict=True)]


def _adalora(model: Any) -> Any:
    """The AdaLoRA tuner inside a PEFT model, or None."""
    configs = getattr(model, "peft_config", {})
    return model.base_model if any(config.peft_type == "ADALORA" for config in configs.values()) else None


def _lora(settings: TrainConfig, **options: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        bias="none",
        **options,
    )


def _adalora_config(settings: TrainConfig, steps: int, model: Any) -> Any:
    """Half as many ranks again at the start; a tenth of the steps before pruning begins, a fifth after it ends."""
    from peft import AdaLoraConfig

    return AdaLoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        init_r=max(settings.rank + 1, settings.rank * 3 // 2),
        target_r=settings.rank,
        tinit=steps // 10,
        tfinal=steps // 5,
        deltaT=max(1, steps // 100),
        total_step=steps,
        orth_reg_weight=_ORTHOGONAL_WEIGHT,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
    )


def _ia3(settings: TrainConfig, steps: int, model: Any) -> Any:
    """Keys, values and the way out of each feed-forward block, as in the paper, under the names this model has."""
    from peft import IA3Config

    ends = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    feedforward = [name for name in _IA3_FEEDFORWARD if name in ends]
    scaled = [name for name in _IA3_SCALED if name in ends]
    if not feedforward or not scaled:
        raise _unknown_layers("ia3", model)
    return IA3Config(task_type="CAUSAL_LM", target_modules=scaled + feedforward, feedforward_modules=feedforward)


def _unknown_layers(method: Method, model: Any) -> UsageError:
    return UsageError(
        f"method {method} does not know the layers of {type(model).__name__}",
        where="train.method",
        next_step="take train.method: qlora or lora, which adapt every linear layer",
    )


def _oft(settings: TrainConfig, steps: int, model: Any) -> Any:
    from peft import OFTConfig

    if any(type(module).__name__ == "Conv1D" for module in model.modules()):
        raise _unknown_layers("oft", model)
    return OFTConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",
        r=0,
        oft_block_size=_OFT_BLOCK,
        module_dropout=settings.dropout,
        use_cayley_neumann=False,
    )


def _vera(settings: TrainConfig, steps: int, model: Any) -> Any:
    from peft import VeraConfig

    return VeraConfig(
        task_type="CAUSAL_LM", target_modules="all-linear", r=settings.rank, vera_dropout=settings.dropout
    )


def _prefix(settings: TrainConfig, steps: int, model: Any) -> Any:
    from peft import PrefixTuningConfig

    return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=settings.virtual_tokens)


def _prompt(settings: TrainConfig, steps: int, model: Any) -> Any:
    """Begins as random words of the vocabulary: random numbers lie outside of what the model has ever read."""
    from peft import PromptTuningConfig

    return PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=settings.virtual_tokens, prompt_tuning_init="SAMPLE_VOCAB"
    )


def _p_tuning(settings: TrainConfig, steps: int, model: Any) -> Any:
    from peft import PromptEncoderConfig

    return PromptEncoderConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=settings.virtual_tokens,
        encoder_hidden_size=model.config.get_text_config().hidden_size,
    )


_CONFIGS: dict[Method, ConfigOf] = {
    "qlora": lambda settings, steps, model: _lora(settings),
    "lora": lambda settings, steps, model: _lora(settings),
    "lora+": lambda settings, steps, model: _lora(settings),
    "dora": lambda settings, steps, model: _lora(settings, use_dora=True),
    "rslora": lambda settings, steps, model: _lora(settings, use_rslora=True),
    "pissa": lambda settings, steps, model: _lora(settings, init_lora_weights="pissa"),
    "olora": lambda settings, steps, model: _lora(settings, init_lora_weights="olora"),
    "adalora": _adalora_config,
    "ia3": _ia3,
    "oft": _oft,
    "vera": _vera,
    "prefix": _prefix,
    "prompt": _prompt,
    "p-tuning": _p_tuning,
}
