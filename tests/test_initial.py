"""The theory's answer for a checkpoint, or the reason why there is none."""

from types import SimpleNamespace

from audit.initial import initial
from audit.results.subject import Skipped
from audit.results.trainability import Diagram
from tests.theory.configurations import BERT


def test_a_known_configuration_has_a_diagram():
    """Read from the configuration alone."""
    found = initial(SimpleNamespace(config=BERT | {"num_hidden_layers": 2}))
    assert isinstance(found, Diagram)
    assert found.here.point.depth == 2


def test_what_the_theory_cannot_do_without_is_named():
    """The audit goes on; its coverage says why there is no diagram."""
    found = initial(SimpleNamespace(config={"model_type": "novel"}))
    assert isinstance(found, Skipped)
    assert found.metric == "trainability"
    assert "no 'hidden_size'" in found.reason
