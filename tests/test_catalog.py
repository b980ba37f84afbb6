"""The catalogue finds pieces by file and refuses what does not fit."""

import sys
from types import ModuleType

import pytest

from audit import catalog
from audit.definitions import Metric
from audit.errors import InternalFault, UnusableInput


def test_pieces_are_sorted_and_named_after_their_files():
    """File stem = name = word on the command line."""
    for pieces in (catalog.metrics(), catalog.rules(), catalog.probes()):
        assert list(pieces) == sorted(pieces)
        assert all(name == piece.name for name, piece in pieces.items())


def test_every_metric_says_what_a_reader_needs():
    """Unit, direction, formula and source are there for each."""
    for metric in catalog.metrics().values():
        for field in ("title", "summary", "unit", "direction", "healthy", "formula", "reference"):
            assert getattr(metric, field).strip(), (metric.name, field)


def test_a_broken_piece_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    """Never a warning, never a silent omission."""
    package = ModuleType("broken_pieces")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "broken_pieces", package)
    (tmp_path / "gone_wrong.py").write_text("import nothing_of_that_name")
    with pytest.raises(InternalFault, match=r"broken_pieces\.gone_wrong.*nothing_of_that_name"):
        catalog._pieces(package, "METRIC", Metric)
    (tmp_path / "gone_wrong.py").unlink()
    (tmp_path / "misnamed.py").write_text("METRIC = 3")
    with pytest.raises(InternalFault, match="must be a Metric named 'misnamed'"):
        catalog._pieces(package, "METRIC", Metric)


def test_an_unknown_name_is_answered_with_the_nearest():
    """As a person would: did you mean ...?"""
    with pytest.raises(UnusableInput, match="did you mean sink_mass"):
        catalog.chosen("metric", ("sink_mas",), catalog.metrics())
