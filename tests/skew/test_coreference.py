"""Attention from a pronoun to the occupation it fits: read from the right tokens, tested over occupations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.checkpoint.opening import open_checkpoint
from audit.models.coverage import observed, survey
from audit.models.loading import load_model
from audit.probes.published.items import Mention, Pair, PublishedProbe, Told
from audit.progress import Silent
from audit.results import Plan
from audit.skew.published.antecedents import attended
from audit.skew.published.coreference import coreference
from audit.skew.published.pairs import Weighed
from audit.skew.published.spelling import spelling
from audit.skew.published.survey import SAMPLED, survey_published

JOBS = [
    "smith",
    "florist",
    "miner",
    "nanny",
    "pilot",
    "usher",
    "tutor",
    "baker",
    "cook",
    "judge",
    "clerk",
    "farmer",
    "nurse",
    "guard",
    "mayor",
    "banker",
    "poet",
    "sailor",
    "hunter",
    "dancer",
    "singer",
    "barber",
    "plumber",
    "butcher",
    "tailor",
    "editor",
    "lawyer",
    "waiter",
]
TEMPLATES = (
    "The {} spoke to the {} because {} was late .",
    "The {} waved at the {} before {} left .",
    "The {} called the {} and {} laughed .",
)
HEAD = 1  # of layer 0


def told(template, one, two, pronoun):
    text = template.format(one, two, pronoun)
    spans = [
        (text.index(word), text.index(word) + len(word)) for word in (f" {one} ", f" {two} ", f" {pronoun} ")
    ]
    inner = [(start + 1, end - 1) for start, end in spans]
    return Told(text, (inner[2],), (Mention(one, inner[0]), Mention(two, inner[1])))


def sentences(genders):
    """Every occupation with some of the other gender, in either order."""
    men, women = ([job for job in JOBS if genders[job] == gender] for gender in ("male", "female"))
    for number, man in enumerate(men):
        for step, template in enumerate(TEMPLATES):
            woman = women[(number + step) % len(women)]
            for one, two in ((man, woman), (woman, man)):
                his, hers = (told(template, one, two, pronoun) for pronoun in ("he", "she"))
                fits = genders[one]
                more, less = (his, hers) if fits == "male" else (hers, his)
                yield Pair("all", one, more, less, fits=fits)


def probe_of(genders):
    return PublishedProbe(
        name="mine",
        kind="winobias",
        title="Mine",
        limits="Made up.",
        reference="",
        pairs=tuple(sentences(genders)),
        genders=genders,
    )


def alternate():
    return {job: ("male", "female")[number % 2] for number, job in enumerate(JOBS)}


@pytest.fixture(scope="module")
def masked(bert_tiny):
    loaded = load_model(open_checkpoint(bert_tiny))
    layers = survey(loaded.model)
    return loaded, observed(layers, {layer.index for layer in layers})


def judged(masked, probe, weighed=()):
    loaded, layers = masked
    found = coreference(loaded, probe, probe.pairs, weighed, spelling(loaded), layers=layers, seed=0)
    return found.axes[0]


def test_attention_is_read_between_the_right_words(masked):
    """Half of what an occupation gets from `he` less from `she`, as the model's own attentions say it."""
    loaded, layers = masked
    his, hers = (told(TEMPLATES[0], "locksmith", "florist", pronoun) for pronoun in ("he", "she"))
    seen = attended(
        loaded.model, spelling(loaded), [Pair("all", "locksmith", his, hers, fits="male")], layers=layers
    )
    masses = []
    loaded.model.set_attn_implementation("eager")
    for each in (his, hers):
        fed = loaded.tokenizer(each.text, return_tensors="pt")
        pieces = loaded.tokenizer.convert_ids_to_tokens(fed.input_ids[0])
        own = [place for place, piece in enumerate(pieces) if piece in ("locks", "##mith")]
        assert len(own) == 2
        with torch.no_grad():
            patterns = loaded.model(**fed, output_attentions=True).attentions
        row = pieces.index(each.text[slice(*each.pronouns[0])])
        masses.append(np.concatenate([pattern[0, :, row, own].sum(-1).numpy() for pattern in patterns]))
    assert seen.terms == ("florist", "locksmith")
    assert np.allclose(seen.lead[1], (masses[0] - masses[1]) / 2, atol=1e-6)
    assert np.allclose(seen.level[1], (masses[0] + masses[1]) / 2, atol=1e-6)
    assert seen.counts.tolist() == [1, 1]
    swapped = Pair("all", "locksmith", hers, his, fits="female")
    again = attended(loaded.model, spelling(loaded), [swapped], layers=layers)
    assert np.allclose(again.lead, seen.lead, atol=1e-6)


def test_stereotypes_that_a_head_follows_are_found_and_others_are_not(masked):
    """Genders dealt out by the alphabet find nothing; genders that one head's attention follows find it first."""
    loaded, layers = masked
    blind = probe_of(alternate())
    assert judged(masked, blind).verdict == "none found"
    seen = attended(loaded.model, spelling(loaded), blind.pairs, layers=layers)
    order = [seen.terms[row] for row in np.argsort(-seen.lead[:, HEAD])]
    followed = {job: "male" if job in order[: len(JOBS) // 2] else "female" for job in JOBS}
    axis = judged(masked, probe_of(followed))
    assert axis.verdict == "skew found"
    first = axis.heads[0]
    assert (first.layer, first.head, first.quantity) == (0, HEAD, "received_from_pronoun")
    assert 0 < first.low < first.difference < first.high
    assert first.reinitialised is not None
    assert sum(axis.by_layer) == axis.found
    turned = {job: "female" if gender == "male" else "male" for job, gender in followed.items()}
    other = judged(masked, replace(probe_of(followed), genders=turned)).heads[0]
    assert other.difference == pytest.approx(-first.difference)


def test_the_output_beside_it_is_tested_over_occupations(masked):
    """A model that always finds the fitting pronoun likelier leans; sentences of one occupation are one observation."""
    probe = probe_of(alternate())
    weighed = [Weighed(pair, -10.0, -12.0) for pair in probe.pairs]
    output = judged(masked, probe, weighed).output
    assert output.p < 1e-4
    assert output.difference == pytest.approx(2.0)
    drawn = np.random.default_rng(3).normal(size=len(weighed))
    output = judged(
        masked, probe, [each._replace(more=-12 + n) for each, n in zip(weighed, drawn, strict=True)]
    ).output
    assert output.p > 0.05


def test_few_occupations_are_described(masked):
    """And nothing is said to stand out."""
    some = {job: gender for job, gender in alternate().items() if job in JOBS[:12]}
    pairs = tuple(
        pair for pair in probe_of(alternate()).pairs if {m.term for m in pair.more.mentions} <= set(some)
    )
    axis = judged(masked, replace(probe_of(alternate()), genders=some, pairs=pairs))
    assert axis.verdict == "descriptive"
    assert axis.found == 0


def test_a_data_set_is_scored_and_its_attention_read_within_a_budget(masked, monkeypatch):
    """Below depth full; what is left out is counted, and two runs agree."""
    loaded, layers = masked
    monkeypatch.setattr("audit.skew.published.survey.SENTENCES", 40)
    probe = probe_of(alternate())

    def surveyed(depth):
        return survey_published(loaded, probe, layers=layers, plan=Plan(depth=depth), progress=Silent())

    standard = surveyed("standard")
    assert standard.published.fed == 20
    assert standard.published.unscored == {SAMPLED: len(probe.pairs) - 20}
    assert standard.skew.axes[0].sentences == 40
    assert standard == surveyed("standard")
    assert surveyed("full").published.fed == len(probe.pairs)
    (score,) = standard.published.scores
    assert score.name == "preference"
    assert 0 <= score.value <= 100


def test_an_encoder_has_no_scores_but_its_attention_is_read(minilm):
    """Said with its reason."""
    loaded = load_model(open_checkpoint(minilm))
    layers = survey(loaded.model)
    layers = observed(layers, {layer.index for layer in layers})
    probe = replace(probe_of(alternate()), pairs=probe_of(alternate()).pairs[:24])
    found = survey_published(loaded, probe, layers=layers, plan=Plan(), progress=Silent())
    assert "does not predict words" in found.published.absent
    assert found.published.scores == ()
    assert found.skew.axes[0].heads
    assert found.skew.axes[0].output is None
