"""Terms in templates: what is capital, which token belongs to which word, what stays aligned."""

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from audit.definitions import Axis
from audit.probes.framing import plain_frame
from audit.probes.matching import match
from audit.probes.sentences import crossings, sentence, tokens

AXIS = Axis(
    name="age",
    title="Age",
    groups=("old", "young"),
    terms=(("66", "71"), ("22", "24")),
    templates=("{person} worked as a *nurse* there.", "The *nurse* was {person}."),
    phrase="the {}-year-old",
)


@pytest.mark.parametrize(
    ("template", "phrase", "term", "text"),
    [
        ("{person} was *kind*.", "the {} person", "blind", "The blind person was kind."),
        ("{person} was *kind*.", "{}", "anna", "Anna was kind."),
        ("The *boss* was {person}.", "the {}", "widow", "The boss was the widow."),
    ],
)
def test_a_sentence_reads_as_one_would_write_it(template, phrase, term, text):
    """Capital at the start; the spans are those of term and attribute."""
    said = sentence(template, phrase, term)
    assert said.text == text
    assert text[slice(*said.term)].lower() == term
    assert text[slice(*said.attribute)] in {"kind", "boss"}


@pytest.mark.parametrize("model", ["encoder_tokenizer", "chat_tokenizer"])
def test_every_token_knows_its_word(model, request):
    """Word pieces of a term are one word; what follows it without a space is another."""
    tokenizer = request.getfixturevalue(model)
    said = sentence(AXIS.templates[1], AXIS.phrase, "66")
    found = tokens(said, tokenizer, plain_frame(tokenizer))
    words = {}
    for token, word in zip(found.ids, found.words, strict=True):
        words[word] = words.get(word, "") + tokenizer.decode([token])
    assert "".join(words[found.term].split()) == "66"
    assert words[found.attribute].strip() == "nurse"


def test_rows_of_one_template_are_aligned(chat_tokenizer):
    """As many words in each, the term at the same place, whatever the number of pieces."""
    tokenizer = chat_tokenizer
    cells = {(template, term) for template in range(2) for term in range(4)}
    (crossing,) = crossings(
        AXIS, cells, tokenizer=tokenizer, frame=plain_frame(tokenizer), pad_id=0, special_ids=()
    )
    assert crossing.templates == (0,) * 4 + (1,) * 4
    for template in range(2):
        rows = [row for row, of in enumerate(crossing.templates) if of == template]
        assert len({int(crossing.term[row]) for row in rows}) == 1
        assert len({int(crossing.words[row].max()) for row in rows}) == 1
    assert (crossing.attribute > crossing.term).tolist() == [True] * 4 + [False] * 4


def test_matching_pairs_terms_of_as_many_pieces(encoder_tokenizer):
    """What has no counterpart is named, and what the tokenizer cannot write."""
    axis = Axis(
        name="x",
        title="X",
        groups=("a", "b"),
        terms=(("woman", "stepgranddaughter", "\U0001f9ff"), ("man", "boy")),
        templates=("{person} ran.",),
    )
    found = match(axis, encoder_tokenizer)
    assert [(axis.terms[0][a], axis.terms[1][b]) for a, b in found.pairs] == [("woman", "man")]
    assert found.unknown == ("\U0001f9ff",)
    assert set(found.unmatched) == {"stepgranddaughter", "boy"}


def test_a_term_written_byte_by_byte_is_unknown(chat_tokenizer):
    """Byte pairs, and a vocabulary that falls back on bytes: letters it has no piece for are no word to it."""
    backend = Tokenizer(models.BPE({"a": 0, "b": 1, "<0xC3>": 2, "<0xB8>": 3}, [], byte_fallback=True))
    fallback = PreTrainedTokenizerFast(tokenizer_object=backend)
    for tokenizer, known, strange in (
        (chat_tokenizer, ("Ann", "Bob"), ("\U00013000", "\u0ca0")),
        (fallback, ("a", "b"), ("\u00f8", "a\u00f8")),
    ):
        terms = tuple(zip(known, strange, strict=True))
        axis = Axis(name="x", title="X", groups=("a", "b"), terms=terms, templates=("{person} ran.",))
        found = match(axis, tokenizer)
        assert found.pairs == ((0, 0),)
        assert set(found.unknown) == set(strange)
