"""What metrics read where nothing was learnt: known values of random scores, and a model made anew."""

from pathlib import Path
from typing import Any

import pytest

from audit import catalog
from audit import plan as planning
from audit.checkpoint.opening import open_checkpoint
from audit.feeding import cut
from audit.models.coverage import survey
from audit.models.loading import LoadedModel, load_model
from audit.nulls import Ground, all_nulls, own, random_scores, reinitialised
from audit.results import Plan
from tests.rules.cases import layers, measured

METRICS = tuple(catalog.metrics().values())


def ground(values: dict[str, Any], *, feeds: Any = (), **changes: Any) -> Ground:
    fields: dict[str, Any] = {
        "plan": Plan(),
        "metrics": METRICS,
        "measurements": {metric: {"prose": measured(value)} for metric, value in values.items()},
        "layers": layers(3),
        "feeds": feeds,
    }
    return Ground(**fields | changes)


class Fed:
    """As much of a feed as random scores need: 100 tokens per sample."""

    name, tokens, samples = "prose", 800, 8


def test_random_scores_have_the_ranks_computed_for_them() -> None:
    """Causal, T = 100: rank 5 without any spread, more than 8 at one and at three (22 and 32)."""
    spreads = ground({"score_spread": [[0.0, 1.0, 3.0]]})
    null = random_scores(spreads, Fed())["attention_rank"]["random_scores"]  # type: ignore[arg-type]
    assert null.value == [pytest.approx([5.0, 9.0, 9.0])]
    assert "100 tokens" in null.how


def test_random_scores_need_the_spread_of_real_ones() -> None:
    """Without it there is no such null, and nothing is made up."""
    assert random_scores(ground({"attention_rank": [[1.0] * 3]}), Fed()) == {}  # type: ignore[arg-type]


def test_the_own_heads_give_quantiles() -> None:
    """All heads of the model together, metrics of layers over layers."""
    found = own(ground({"head_output_norm": [[0.5, 1.0, 1.5]], "block_influence": [0.1]}), "prose")
    assert found["head_output_norm"]["other_heads"].value == 1.0
    assert found["block_influence"]["other_layers"].n == 1


@pytest.fixture(scope="module")
def tiny(bert_tiny: Path) -> LoadedModel:
    return load_model(open_checkpoint(bert_tiny))


def real(loaded: LoadedModel, plan: Plan) -> Ground:
    feeds = tuple(cut(probe, loaded, plan) for probe in planning.probes(plan)[:1])
    return ground({}, feeds=feeds, layers=survey(loaded.model), plan=plan)


def test_an_untrained_model_attends_evenly_and_the_same_each_time(tiny: LoadedModel) -> None:
    """Normalised entropy above .998 and rank one, from the seed alone; the audited weights stay as they are."""
    plan = Plan(probes=("prose",), samples=4, max_length=64)
    before = next(tiny.model.parameters()).clone()
    first, again = (reinitialised(real(tiny, plan), tiny, real(tiny, plan).feeds[0]) for _ in range(2))

    entropy = first["attention_entropy"]["reinitialised"]
    assert isinstance(entropy.low, float)
    assert entropy.low > 0.998
    assert first["attention_rank"]["reinitialised"].value == 1.0
    assert first == again
    assert bool((next(tiny.model.parameters()) == before).all())


def test_quick_audits_make_no_second_model(tiny: LoadedModel) -> None:
    """The re-initialised model is run from depth standard on."""
    plan = Plan(depth="quick", probes=("prose",), samples=2, max_length=32)
    found = all_nulls(real(tiny, plan), tiny)
    assert not any("reinitialised" in by_name for by_name in found.values())
