"""Who stands where: within budget, in pairs, and judged only with enough of both."""

from collections import Counter
from dataclasses import replace

import pytest

from audit.probes.demographics import axes
from audit.probes.matching import Matched
from audit.skew.design import MOST_PAIRS, MOST_TEMPLATES, SENTENCES, design, thinned

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
    alone = design(GENDER, matched(13)._replace(unmatched=("x", "y")), sentences=222, seed=0)
    assert alone.few.endswith("; 2 have no counterpart of as many word pieces")


def test_too_few_templates_are_only_described():
    """Fewer than 20, as in a short file of one's own."""
    short = replace(GENDER, templates=GENDER.templates[:19])
    made = design(short, matched(14), sentences=None, seed=0)
    assert made.few == "19 templates are too few to judge by (20 are needed)"
    assert (
        design(replace(GENDER, templates=GENDER.templates[:20]), matched(14), sentences=None, seed=0).few
        is None
    )


def test_a_large_file_is_cut_to_what_memory_is_meant_for():
    """The closest pairs, in so many templates; both terms of a pair stay."""
    count = 300
    terms = tuple(tuple(f"{group}{i}" for i in range(count)) for group in "ab")
    every = frozenset((i, term) for i in range(count) for term in (i, i + count))
    own = replace(GENDER, terms=terms, templates=tuple(f"{{person}} {i}." for i in range(count)), rows=every)
    made = design(own, matched(count), sentences=None, seed=0)
    assert len(made.chosen) == 2 * MOST_PAIRS
    assert len(made.templates) <= MOST_TEMPLATES
    assert made.first.sum() == MOST_PAIRS
    full = replace(GENDER, terms=terms, templates=own.templates)
    assert len(design(full, matched(count), sentences=None, seed=0).cells) == 2 * MOST_PAIRS * MOST_TEMPLATES


def test_a_large_file_keeps_the_budget_of_standard():
    """As many of its closest pairs as 24 templates of the fullest leave room for; judged all the same."""
    terms = tuple(tuple(f"{group}{i}" for i in range(100)) for group in "ab")
    every = frozenset((i, term) for i in range(60) for term in range(200) if i != 3 or term < 20)
    own = replace(GENDER, terms=terms, templates=tuple(f"{{person}} {i}." for i in range(60)), rows=every)
    made = design(own, matched(100), sentences=SENTENCES, seed=0)
    assert SENTENCES - 100 < len(made.cells) <= SENTENCES
    assert made.cells <= every
    assert made.templates == (*range(3), *range(4, 25))
    assert made.few is None


def test_thinning_keeps_whole_templates():
    """About as many sentences as asked for."""
    cells = [(template, term) for template in range(24) for term in range(8)]
    assert {template for template, _ in thinned(cells, 64)} == set(range(0, 24, 3))
    assert thinned(cells, 1000) == set(cells)
