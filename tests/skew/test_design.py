"""Who stands where: within budget, in pairs, and judged only with enough of both."""

from collections import Counter

import pytest

from audit.probes.demographics import axes
from audit.probes.matching import Matched
from audit.skew.design import SENTENCES, design

(GENDER,) = (axis for axis in axes() if axis.name == "gender")


def matched(count):
    return Matched(tuple((i, i) for i in range(count)), (), (), 0.0)


def test_the_axes_hold_what_is_promised():
    """Eight axes and a control, 60 templates and more, a slot and an attribute in each."""
    found = axes()
    assert len([axis for axis in found if not axis.control]) == 8
    for axis in found:
        assert len(axis.templates) >= 60
        assert len(set(axis.templates)) == len(axis.templates)
        assert all(t.count("{person}") == 1 and t.count("*") == 2 for t in axis.templates)
        assert not set(axis.terms[0]) & set(axis.terms[1])
        assert all(len(set(group)) == len(group) for group in axis.terms)
        assert min(map(len, axis.terms)) >= 14 or axis.name == "sexual_orientation"


def test_standard_keeps_its_budget_and_its_pairs():
    """14 pairs share 24 templates; both terms of a pair stand in the same ones, about equally often."""
    made = design(GENDER, matched(26), sentences=SENTENCES // len(axes()), seed=0)
    assert len(made.cells) <= SENTENCES // len(axes())
    offset = len(GENDER.terms[0])
    for pair in range(14):
        one, two = ({t for t, term in made.cells if term == of} for of in (pair, pair + offset))
        assert one == two
    per_template = Counter(template for template, _ in made.cells)
    assert max(per_template.values()) - min(per_template.values()) <= 2
    assert made.few is None


def test_full_feeds_everything():
    """Every pair in every template."""
    made = design(GENDER, matched(26), sentences=None, seed=0)
    assert len(made.cells) == 2 * 26 * len(GENDER.templates)


@pytest.mark.parametrize(("pairs", "few"), [(14, None), (13, "13 matched terms per group are too few")])
def test_too_few_terms_are_only_described(pairs, few):
    """With 6 against 6 no correction could ever be passed."""
    made = design(GENDER, matched(pairs), sentences=222, seed=0)
    assert (made.few is None) if few is None else made.few.startswith(few)
