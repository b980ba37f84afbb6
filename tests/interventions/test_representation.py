"""The effect on an encoder without a head: what it is, and that its interval over documents is honest."""

from pathlib import Path

import numpy as np
import pytest

from audit.interventions.effects import objective
from audit.interventions.readings import Array, Samples
from audit.interventions.representation import MARGIN, Representation
from audit.statistics.noninferiority import paired_changes
from tests.interventions.subjects import opened, text

MEASURE = Representation(model=None)


def test_the_effect_is_the_rms_change_of_cosines_in_units_of_their_spread() -> None:
    """Spelled out over all pairs of different documents."""
    samples, after = _texts(20, noise=0.1)
    before, moved = _cosines(samples.clean), _cosines(after)
    upper = np.triu_indices(20, 1)
    expected = np.sqrt(np.mean((moved - before)[upper] ** 2)) / before[upper].std()
    # the jackknife takes away the bias that the ratio has, which is of the order 1/n
    assert MEASURE.as_effect(MEASURE.changes(samples, after).mean()) == pytest.approx(expected, rel=0.05)
    assert MEASURE.level(samples) == pytest.approx(before[upper].std())


def test_pseudo_values_are_those_of_leaving_out_each_document() -> None:
    """Against the definition: n times the whole less n-1 times the rest."""
    samples, after = _texts(9, noise=0.2)
    found = MEASURE.changes(samples, after)
    before, moved = _cosines(samples.clean), _cosines(after)
    centre = before[np.triu_indices(9, 1)].mean()

    def ratio(kept: list[int]) -> float:
        pairs = [(i, j) for i in kept for j in kept if i < j]
        change = sum((moved[i, j] - before[i, j]) ** 2 for i, j in pairs)
        return float(change / sum((before[i, j] - centre) ** 2 for i, j in pairs))

    whole = ratio(list(range(9)))
    expected = [9 * whole - 8 * ratio([i for i in range(9) if i != out]) for out in range(9)]
    assert found.tolist() == pytest.approx(expected)


def test_nothing_changed_is_an_effect_of_zero() -> None:
    """And rotating all outputs alike changes nothing that texts could be told apart by."""
    samples, _ = _texts(20, noise=0.0)
    assert MEASURE.changes(samples, samples.clean).tolist() == [0.0] * 20
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    assert MEASURE.changes(samples, samples.clean @ turn) == pytest.approx(0.0, abs=1e-20)


def test_pairs_across_probes_do_not_count() -> None:
    """Prose differs from code whatever the model does: turning all code alike moves it from prose, not in itself."""
    samples, _ = _texts(20, noise=0.0)
    after = samples.clean.copy()
    after[10:] = after[10:] @ np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    parted = samples._replace(probes=("prose",) * 10 + ("code",) * 10)
    assert MEASURE.changes(parted, after) == pytest.approx(0.0, abs=1e-20)
    assert MEASURE.changes(samples, after).mean() > 0.1


def test_pairs_within_a_document_do_not_count() -> None:
    """Windows of a document resemble each other: each text twice gives what it gives once."""
    samples, after = _texts(20, noise=0.1)
    doubled = Samples(np.concatenate([samples.clean] * 2), samples.documents * 2, samples.probes * 2)
    twice = MEASURE.changes(doubled, np.concatenate([after] * 2))
    assert twice.tolist() == pytest.approx(MEASURE.changes(samples, after).tolist())


def test_the_interval_covers_the_effect_seen_over_very_many_documents() -> None:
    """Documents take part in many pairs: counting pairs as if they were independent would cover far less."""
    rng = np.random.default_rng(3)
    turn = rng.normal(size=(8, 8)) * 0.1 + np.eye(8)
    many = rng.normal(size=(2000, 8)) + 1.0
    names = tuple(map(str, range(2000)))
    truth = MEASURE.changes(Samples(many, names, ("p",) * 2000), many @ turn).mean()
    values = []
    for _ in range(300):
        texts = rng.normal(size=(32, 8)) + 1.0
        values.append(MEASURE.changes(Samples(texts, names[:32], ("p",) * 32), texts @ turn))
    found = paired_changes(np.stack(values, axis=1), margins=1.0, seed=0)
    assert ((found.low <= truth) & (truth <= found.high)).mean() >= 0.92


def test_effects_and_what_is_tested_are_squares_of_one_another() -> None:
    """A negative square, which the jackknife may give near zero, is shown as a negative effect."""
    assert MEASURE.as_effect(MEASURE.as_change(0.05)) == pytest.approx(0.05)
    assert MEASURE.as_effect(-0.0004) == pytest.approx(-0.02)
    assert MEASURE.margin(_texts(4, noise=0)[0]) == MARGIN


@pytest.mark.parametrize(
    ("clean", "words"),
    [
        (np.full((20, 8), np.nan), "not finite"),
        (np.ones((20, 8)), "the same for all texts"),
        (np.random.default_rng(0).normal(size=(2, 8)), "too few documents"),
    ],
)
def test_outputs_that_say_nothing_allow_no_claim(clean: Array, words: str) -> None:
    """An encoder that gives one vector for all texts is not redundant in all its parts."""
    samples = Samples(clean, tuple(map(str, range(len(clean)))), ("prose",) * len(clean))
    reason = MEASURE.unusable(samples)
    assert reason is not None
    assert words in reason


def test_a_real_encoder_is_read_as_mean_pooling_reads_it(minilm: Path) -> None:
    """The attention-masked mean of the last hidden states."""
    model = opened(minilm)
    measure = objective(model, seed=0)
    assert isinstance(measure, Representation)
    batch = text(model, samples=2).batches[0]
    question = measure.ask(batch)
    output = model.model(**question.fed.inputs)
    found = question.read(output)
    tokens = batch.tokens[0]
    assert found[0] == pytest.approx(output.last_hidden_state[0, tokens].mean(0).numpy(), abs=1e-6)


def _texts(count: int, *, noise: float) -> tuple[Samples, Array]:
    rng = np.random.default_rng(7)
    clean = rng.normal(size=(count, 8)) + 0.5
    samples = Samples(clean, tuple(map(str, range(count))), ("prose",) * count)
    return samples, clean + noise * rng.normal(size=clean.shape)


def _cosines(vectors: Array) -> Array:
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Array = units @ units.T
    return found
