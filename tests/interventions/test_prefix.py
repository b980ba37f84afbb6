"""A pass that begins at a later block computes what a whole pass does, and the model is left as it was."""

import pytest
import torch

from audit.errors import UnusableInput
from audit.interventions.ablation import Ablation, Replacement, Target
from audit.interventions.prefix import Inseparable, clean_pass, rerun, resumed
from audit.models.attention import Edit
from audit.observations import AttentionObservation
from audit.results.subject import LayerCoverage
from tests.architectures import Task
from tests.interventions.subjects import FAMILIES, tiny


@pytest.mark.parametrize(("model_type", "task"), FAMILIES)
def test_an_unchanged_pass_from_any_block_gives_the_clean_logits_to_the_last_bit(
    model_type: str, task: Task
) -> None:
    """The control of every ablation: nothing is changed, and nothing changes."""
    subject = tiny(model_type, task)
    clean = subject.clean()
    expected = subject.read(clean.output)
    for start in range(len(clean.route.blocks)):
        again = resumed(subject.model, subject.fed, clean, (), start=start, means={})
        assert torch.equal(subject.read(again), expected)


@pytest.mark.parametrize(("model_type", "task"), FAMILIES)
def test_an_ablation_from_its_own_block_equals_the_one_from_the_beginning(
    model_type: str, task: Task
) -> None:
    """What is saved is work only, in every layer of every kind of stack."""
    subject = tiny(model_type, task)
    clean = subject.clean()
    for layer in subject.layers:
        for ablation in _ablations(layer):
            start = clean.route.start((ablation,))
            late, early = (
                subject.read(resumed(subject.model, subject.fed, clean, (ablation,), start=at, means={}))
                for at in (start, 0)
            )
            assert torch.equal(late, early)
            assert not torch.equal(late, subject.read(clean.output))


def test_blocks_before_the_start_are_not_computed() -> None:
    """Otherwise nothing would be saved."""
    subject = tiny("llama", "causal")
    clean = subject.clean()
    seen = []
    hooks = [
        block.mlp.register_forward_hook(lambda *_, at=at: seen.append(at))
        for at, block in enumerate(subject.model.model.layers)
    ]
    resumed(subject.model, subject.fed, clean, (), start=1, means={})
    for hook in hooks:
        hook.remove()
    assert seen == [1]


@pytest.mark.parametrize(
    ("model_type", "task"), [("bert", "masked"), ("gemma2", "causal"), ("llama", "causal")]
)
def test_a_pass_edited_from_a_block_on_is_the_whole_pass_edited(model_type: str, task: Task) -> None:
    """What comes before the edited layer is taken from the clean pass; bit by bit the same."""
    subject = tiny(model_type, task)
    clean, last = subject.clean(), subject.layers[-1].index

    def edit(seen: AttentionObservation) -> Edit | None:
        return Edit(pattern=seen.pattern.flip(0)) if seen.layer == last else None

    start = clean.route.run_of(last)
    assert start
    whole, short = (
        subject.read(rerun(subject.model, subject.fed, clean, edit, start=at)) for at in (0, start)
    )
    assert torch.equal(whole, short)
    assert not torch.equal(whole, subject.read(clean.output))


def test_a_clean_pass_shows_every_layer() -> None:
    """And follows nothing of what is returned."""
    subject = tiny("llama", "causal")
    seen = []

    def look(observation: AttentionObservation) -> Edit:
        seen.append(observation.layer)
        return Edit(pattern=observation.pattern * 0)

    looked = clean_pass(subject.model, subject.fed, layers=subject.layers, keep=0, look=look)
    assert seen == [layer.index for layer in subject.layers]
    assert torch.equal(looked.output.logits, subject.clean().output.logits)


def test_an_encoder_decoder_resumed_in_the_decoder_skips_its_encoder() -> None:
    """Cross-attention reads the kept output of the encoder."""
    subject = tiny("t5", "seq2seq")
    clean = subject.clean()
    first = next(at for at, name in enumerate(clean.route.blocks) if name.startswith("decoder"))
    seen = []
    hook = subject.model.encoder.block[0].layer[0].register_forward_hook(lambda *_: seen.append(1))
    resumed(subject.model, subject.fed, clean, (), start=first, means={})
    hook.remove()
    assert not seen


def test_the_model_is_left_as_it_was_even_after_a_failure() -> None:
    """No block keeps a stand-in; a forward that somebody else put there stays."""
    subject = tiny("llama", "causal")
    own = subject.model.model.layers[1].forward
    subject.model.model.layers[1].forward = own
    clean = subject.clean()
    broken = clean._replace(kept=[])
    with pytest.raises(UnusableInput, match="IndexError"):
        resumed(subject.model, subject.fed, broken, (), start=1, means={})
    assert "forward" not in vars(subject.model.model.layers[0])
    assert vars(subject.model.model.layers[1])["forward"] is own


def test_a_clean_pass_keeps_as_many_block_outputs_as_asked() -> None:
    """Memory is bounded by what the deepest ablation needs."""
    subject = tiny("llama", "causal")
    for keep in (0, 1):
        kept = clean_pass(subject.model, subject.fed, layers=subject.layers, keep=keep).kept
        assert len(kept) == keep


def test_kept_outputs_are_not_overwritten_by_later_passes() -> None:
    """Two ablations in a row read the same prefix."""
    subject = tiny("gpt2", "causal")
    clean = subject.clean()
    before = [tensor.clone() for tensor in _tensors(clean.kept)]
    for layer in (0, 1):
        cut = (Ablation(target="attention", layer=layer, replacement="zero"),)
        resumed(subject.model, subject.fed, clean, cut, start=clean.route.start(cut), means={})
    assert all(torch.equal(a, b) for a, b in zip(before, _tensors(clean.kept), strict=True))


def test_runs_of_a_shared_block_are_told_apart() -> None:
    """ALBERT runs one block several times: each run is a place of its own."""
    subject = tiny("albert", "masked")
    clean = subject.clean()
    assert [clean.route.run_of(layer.index) for layer in subject.layers] == list(range(len(subject.layers)))
    assert len(set(clean.route.blocks)) == 1


def test_an_attention_whose_share_of_the_stream_cannot_be_told_is_refused_by_name() -> None:
    """XLM masks the stream between its sublayers in a way that hides what attention adds: no silent no-op."""
    subject = tiny("xlm", "causal")
    cut = (Ablation(target="attention", layer=0, replacement="skip"),)
    with pytest.raises(Inseparable, match="what layer 0 adds to the residual stream was not seen"):
        subject.logits(cut)


def _ablations(layer: LayerCoverage) -> list[Ablation]:
    if layer.reason is not None:
        return []
    wanted: list[tuple[Target, Replacement]] = [
        ("attention", "uniform"),
        ("attention", "skip"),
        ("block", "skip"),
    ]
    return [
        Ablation(target=target, layer=layer.index, replacement=replacement) for target, replacement in wanted
    ]


def _tensors(kept: list[object]) -> list[torch.Tensor]:
    return [
        t
        for each in kept
        for t in (each if isinstance(each, tuple) else (each,))
        if isinstance(t, torch.Tensor)
    ]
