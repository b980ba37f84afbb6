"""Mean head outputs are means over all real tokens of all texts, whatever the batches."""

import torch

from audit.interventions.means import mean_head_outputs
from tests.interventions.subjects import random_batches, tiny
from tests.models.watching import watch


def test_means_are_over_all_real_tokens() -> None:
    """Padding has outputs too, and does not count; the batch size changes nothing."""
    subject = tiny("llama", "causal")
    one, many = (random_batches(subject.model, samples=6, length=9, size=size) for size in (6, 6))
    found = mean_head_outputs(subject.model, [one], layers=subject.layers, wanted={1})
    again = mean_head_outputs(subject.model, [many, many], layers=subject.layers, wanted={1})
    seen = watch(subject.model, one.batches[0])[1].attention[1]
    assert seen.head_output is not None
    expected = seen.head_output.transpose(1, 2)[one.batches[0].tokens].double().mean(0)
    assert list(found) == [1]
    assert torch.allclose(found[1], expected, atol=1e-7)
    assert torch.allclose(again[1], found[1], atol=1e-12)


def test_nothing_is_fed_where_nothing_is_wanted() -> None:
    """An audit whose findings need no means pays no pass for them."""
    subject = tiny("llama", "causal")
    assert (
        mean_head_outputs(None, [random_batches(subject.model, samples=2, length=9)], layers=(), wanted=())
        == {}
    )
