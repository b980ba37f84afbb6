"""The sweep over model types, in small: what is observed is what an independent count finds."""

import pytest

from tests.architectures import Task
from tests.sweep import Row, markdown, pairs, sweep

TYPES = (
    "bailing_hybrid",
    "big_bird",
    "codegen",
    "cpmant",
    "deberta",
    "deepseek_v4",
    "distilbert",
    "funnel",
    "gpt_neo",
    "gpt_neox",
    "led",
    "m2m_100",
    "mamba",
    "mpt",
    "openai-gpt",
    "phi3",
    "prophetnet",
    "qwen2_moe",
    "squeezebert",
    "umt5",
    "zamba",
)
OTHERS = {"big_bird": "none", "led": "some", "mamba": "refused"}


@pytest.mark.parametrize(("model_type", "task"), pairs(TYPES))
def test_all_softmax_attention_is_observed_or_the_reason_given(model_type: str, task: Task) -> None:
    """Saved, opened again, observed, and counted by the shapes of the softmaxes."""
    (row,) = sweep([(model_type, task)])

    assert row.outcome == OTHERS.get(model_type, "all"), row.reason
    assert row.observed >= row.counted
    assert row.reason or row.outcome == "all"


def test_every_pair_of_type_and_task_is_swept() -> None:
    """277 of them in this version of transformers."""
    assert len(pairs()) == 277


def test_the_table_names_what_was_not_observed() -> None:
    """One line per row, totals at the end."""
    rows = [Row("a", "causal", "all", 2, 2, ""), Row("b", "masked", "some", 1, 2, "1 layers: x | y")]

    table = markdown(rows)

    assert "| b | masked | some | 1 | 2 | 1 layers: x / y |\n" in table
    assert table.endswith("2 types and tasks: 1 all, 1 some.\n")
