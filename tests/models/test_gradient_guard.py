from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError
from workbench.models.gradient_guard import (
    SEVERED_WARNING,
    check_unpacked,
    disable_packed_path,
    gradient_cosine,
    require_gradient,
    severed_gradients_are_errors,
)
from workbench.models.loading import load

IDS = torch.arange(3, 43).reshape(2, 20)


def _adapted(tiny_model_dir: Path) -> Any:
    """The tiny 4-bit model with a LoRA adapter whose B is not zero, so that gradients reach everything."""
    from peft import LoraConfig, get_peft_model

    base = load(ModelConfig(ref=str(tiny_model_dir)), "nf4", Path()).model
    torch.manual_seed(0)
    return get_peft_model(base, LoraConfig(target_modules="all-linear", r=4, init_lora_weights=False))


def _cosine(model: Any) -> float:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def loss() -> Any:
        model.train()
        return model(input_ids=IDS, labels=IDS).loss

    def evaluate() -> None:
        model.eval()
        with torch.no_grad():
            model(input_ids=IDS)

    return gradient_cosine(loss, evaluate, parameters)


def _unguard(model: Any) -> None:
    from bitsandbytes.functional import has_avx512bf16
    from bitsandbytes.nn import Linear4bit

    if not has_avx512bf16():
        pytest.skip("this CPU has no AVX-512 BF16, so bitsandbytes never takes the path without gradients")
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = True


def test_guarded_model_keeps_its_gradient_after_an_evaluation(tiny_model_dir: Path) -> None:
    model = _adapted(tiny_model_dir)
    assert _cosine(model) == pytest.approx(1.0, abs=1e-9)
    check_unpacked(model)


def test_guard_finds_every_four_bit_layer(tiny_model_dir: Path) -> None:
    assert disable_packed_path(_adapted(tiny_model_dir)) == 2 * 7


def test_check_catches_the_gradient_lost_without_the_guard(tiny_model_dir: Path) -> None:
    model = _adapted(tiny_model_dir)
    _unguard(model)
    with pytest.raises(IncompleteError, match="packed for inference"):
        check_unpacked(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cosine = _cosine(model)
    assert cosine < 0.99
    with pytest.raises(IncompleteError, match="gradient self-check failed"):
        require_gradient(cosine)


def test_guard_set_too_late_is_noticed(tiny_model_dir: Path) -> None:
    model = _adapted(tiny_model_dir)
    _unguard(model)
    model.eval()
    with torch.no_grad():
        model(input_ids=IDS)
    disable_packed_path(model)
    with pytest.raises(IncompleteError, match="load the model again"):
        check_unpacked(model)


def test_warning_of_a_missing_backward_is_an_error() -> None:
    with pytest.raises(IncompleteError, match="no gradient"), severed_gradients_are_errors():
        warnings.warn(f"bitsandbytes::gemv_4bit: {SEVERED_WARNING} to the Autograd key(s)", stacklevel=1)
    with pytest.warns(UserWarning, match="something else"), severed_gradients_are_errors():
        warnings.warn("something else", stacklevel=1)


@pytest.mark.parametrize("cosine", [0.139, 0.0, float("nan")])
def test_low_cosine_fails_the_stage(cosine: float) -> None:
    with pytest.raises(IncompleteError):
        require_gradient(cosine)


def test_cosine_of_changed_and_severed_gradients() -> None:
    weight = torch.tensor([1.0, 0.0], requires_grad=True)
    direction = [torch.tensor([1.0, 0.0])]

    def turn() -> None:
        direction.append(torch.tensor([1.0, 1.0]))

    turned = gradient_cosine(lambda: weight @ direction[-1], turn, [weight])
    assert turned == pytest.approx(0.5**0.5)
    other = torch.tensor([1.0], requires_grad=True)
    severed = gradient_cosine(lambda: other.sum(), lambda: None, [weight])
    assert severed == 0.0
