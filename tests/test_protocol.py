"""A published protocol is kept to, or the measurement says by how much it is not."""

from pathlib import Path

from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.feeding import cut
from audit.models.coverage import survey
from audit.models.loading import load_model
from audit.progress import Silent
from audit.protocol import apart, by_protocol
from audit.results import Plan


def test_metrics_with_a_protocol_are_told_from_the_others() -> None:
    """Three of the paper on lazy layers share theirs."""
    usual, own = apart(tuple(catalog.metrics().values()))
    assert {metric.name for metric in own[100, 100]} == {
        "max_rank_100",
        "average_rank_100",
        "mass_columns_100",
    }
    assert len(usual) + 3 == len(catalog.metrics())


def test_fewer_texts_than_published_are_said(bert_tiny: Path) -> None:
    """The number behind the measurement, and that it is not the paper's."""
    loaded = load_model(open_checkpoint(bert_tiny))
    _, own = apart((catalog.metrics()["max_rank_100"],))
    found = by_protocol(
        loaded,
        survey(loaded.model),
        own,
        lambda wanted: cut(catalog.probes()["prose"], loaded, Plan(samples=3, max_length=wanted[1])),
        progress=Silent(),
    )["max_rank_100"]
    assert found.n == 3
    assert str(found.absent).endswith("3 sequences of 100 tokens, not the published 100")


def test_where_no_text_is_long_enough_nothing_is_measured(bert_tiny: Path) -> None:
    """A model of 64 positions has no pattern of 100 tokens."""
    loaded = load_model(open_checkpoint(bert_tiny))
    _, own = apart((catalog.metrics()["max_rank_100"],))
    found = by_protocol(
        loaded,
        survey(loaded.model),
        own,
        lambda _: cut(catalog.probes()["prose"], loaded, Plan(samples=3, max_length=64)),
        progress=Silent(),
    )["max_rank_100"]
    assert (found.value, found.absent) == (None, "no text of 100 tokens")
