"""The one function that reports and commands call."""

from audit.theory.survey import survey
from tests.theory.configurations import BERT


def test_survey_carries_the_reading_and_the_diagram():
    """What the configuration lacks and what the theory cannot do reach the page together."""
    found = survey({**BERT, "model_type": "albert", "num_hidden_layers": 2}, tokens=128, similarity=0.5)
    assert found.reading.architecture.tokens == found.diagram.point.tokens == 128
    assert found.diagram.profile.similarity[0] == 0.5
    assert found.diagram.assumptions == found.reading.assumptions
    assert any("share one set" in words for words in found.diagram.words)
