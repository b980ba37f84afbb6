"""A pass under watch leaves the model alone and says in one line why it failed."""

from typing import Any

import pytest
import torch

from audit.errors import MachineFault, UnusableInput
from audit.models.inputs import configurations, model_inputs
from audit.models.passes import Watcher, eager, run
from tests.architectures import tiny_model
from tests.models.watching import random_batch


def test_every_part_of_a_model_is_eager_and_goes_back_to_what_it_was() -> None:
    """Parts may differ, and nested configurations count."""
    model = tiny_model("gemma3", "causal")
    configs = configurations(model)
    assert len(configs) > 2
    for config, implementation in zip(configs, ("sdpa", "eager", "sdpa"), strict=False):
        config._attn_implementation_internal = implementation
    before = [config._attn_implementation for config in configs]

    with eager(model):
        assert {config._attn_implementation for config in configs} == {"eager"}

    assert [config._attn_implementation for config in configs] == before


def test_dropout_is_off_in_a_pass_and_each_module_goes_back_to_its_own_mode() -> None:
    """A model half in training stays so."""
    model = tiny_model("bert", "masked")
    model.bert.encoder.layer[1].train()
    before = [module.training for module in model.modules()]

    with eager(model):
        assert not any(module.training for module in model.modules())

    assert [module.training for module in model.modules()] == before
    assert any(before)
    assert not all(before)


@pytest.mark.parametrize(
    ("error", "expected", "line"),
    [
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 12 bytes"),
            MachineFault,
            "memory gave out in 'lm_head' on 2 rows of 13 tokens: use a smaller --batch-size or --max-length",
        ),
        (
            ValueError("wrong\n   shape"),
            UnusableInput,
            "LlamaForCausalLM failed in 'lm_head' on 2 rows of 13 tokens: ValueError: wrong shape",
        ),
    ],
)
def test_a_failure_is_one_line(
    error: Exception, expected: type[Exception], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed, where, on how much, and what to do."""
    model = tiny_model("llama")

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(model.lm_head, "forward", fail)

    with pytest.raises(expected) as caught:
        run(model, model_inputs(model, random_batch(model)), Watcher())

    assert str(caught.value) == line


def test_no_gradients_are_recorded() -> None:
    """The output needs none, and the mode is as before."""
    model = tiny_model("llama")
    assert torch.is_grad_enabled()

    output = run(model, model_inputs(model, random_batch(model)), Watcher())

    assert not output.logits.requires_grad
    assert torch.is_grad_enabled()
