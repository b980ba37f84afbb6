"""Published data sets: known by their layout, read as their authors give them out, refused in one line."""

import json

import pytest

from audit.errors import UnusableInput
from audit.probes.published import kind_of, read_published
from audit.probes.published.stereoset import NEEDS_HEAD, NO_BLANK
from audit.probes.published.winobias import DIFFERENT
from audit.probes.published.winogender import NEUTRAL, OTHER

CROWS = ",sent_more,sent_less,stereo_antistereo,bias_type,annotations\n"
SENTENCES = "sentid\tsentence\n"
SHARES = "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\n"


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def item(**changes):
    filled = {"stereotype": "The smith is loud.", "anti-stereotype": "The smith is shy."}
    filled["unrelated"] = "The smith is seven."
    fields = {"id": "1", "target": "smith", "bias_type": "profession", "context": "The smith is BLANK."}
    fields["sentences"] = [{"id": k, "sentence": v, "gold_label": k} for k, v in filled.items()]
    return fields | changes


def stereoset(folder, within, across=(), name="dev.json"):
    data = {"version": "1.1", "data": {"intrasentence": list(within), "intersentence": list(across)}}
    return written(folder, name, json.dumps(data))


def winobias(folder, pro, anti):
    written(folder, "anti_stereotyped_type1.txt.dev", anti)
    return written(folder, "pro_stereotyped_type1.txt.dev", pro)


PRO = (
    "1 [The smith] thanked the florist because [he] was late.\n"
    "2 The smith thanked [the florist] because [she] brought roses.\n"
    "3 The smith saw [a florist] and greeted [her].\n"
    "4 [The smith] told the florist that [he] would cut [his] hair.\n"
)
ANTI = PRO.replace("[he]", "[X]").replace("[she]", "[he]").replace("[X]", "[she]")
ANTI = ANTI.replace("[her]", "[him]").replace("[his]", "[her]")


def test_crows_pairs_keep_their_direction_and_bias_type(tmp_path):
    """The first sentence of a pair is `sent_more` in either direction."""
    spec = written(
        tmp_path,
        "pairs.csv",
        CROWS + '0,"Old, men nap.",Young men nap.,stereo,age,[]\n1,A,B,antistereo,gender,[]\n',
    )
    assert kind_of(spec) == "crows_pairs"
    probe = read_published(spec)
    assert [(pair.more.text, pair.less.text, pair.group, pair.direction) for pair in probe.pairs] == [
        ("Old, men nap.", "Young men nap.", "age", "stereo"),
        ("A", "B", "gender", "antistereo"),
    ]
    assert probe.private


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CROWS, "holds no rows"),
        (CROWS.replace("bias_type", "kind") + "0,A,B,stereo,age,[]\n", "no column 'bias_type'"),
        (CROWS + "0,A,,stereo,age,[]\n", "row 1, column 'sent_less': empty"),
        (CROWS + "0,A,B,stereo, ,[]\n", "row 1, column 'bias_type': empty"),
        (CROWS + "0,A,B,sideways,age,[]\n", "neither stereo nor antistereo"),
    ],
)
def test_crows_pairs_in_another_layout_are_refused(tmp_path, text, words):
    """One line that names the row and quotes no text."""
    with pytest.raises(UnusableInput, match=words):
        read_published(written(tmp_path, "pairs.csv", text))


def test_stereoset_is_read_within_sentences(tmp_path):
    """What needs a head that no checkpoint holds, and what has no blank, is counted."""
    spec = stereoset(tmp_path, [item(), item(context="The smith is loud.")], [item(context="Who?")])
    assert kind_of(spec) == "stereoset"
    probe = read_published(spec)
    (triple,) = probe.triples
    assert (triple.group, triple.target) == ("profession", "smith")
    assert (triple.stereotype, triple.anti, triple.unrelated) == (
        "The smith is loud.",
        "The smith is shy.",
        "The smith is seven.",
    )
    assert probe.unusable == {NEEDS_HEAD: 1, NO_BLANK: 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1]", "not in the layout of StereoSet"),
        ("{", "not in the layout of StereoSet"),
        (json.dumps({"data": {"intrasentence": [{"target": "x"}]}}), "missing required field"),
        (json.dumps({"data": {}}), "holds no items"),
        (json.dumps({"data": {"intrasentence": [item(sentences=[])]}}), "item 1: no sentence labelled"),
        (json.dumps({"data": {"intrasentence": [item(bias_type="")]}}), "empty target or bias_type"),
    ],
)
def test_stereoset_in_another_layout_is_refused(tmp_path, content, words):
    """By what is missing."""
    with pytest.raises(UnusableInput, match=words):
        read_published(written(tmp_path, "dev.json", content))


def test_winobias_versions_are_read_together(tmp_path):
    """From either file: the fitting pronoun first, both occupations found, stereotypes read from the pronouns."""
    spec = winobias(tmp_path, PRO, ANTI)
    assert kind_of(spec) == "winobias"
    probe, other = read_published(spec), read_published(spec.replace("pro_", "anti_"))
    assert probe.pairs == other.pairs
    assert probe.genders == {"florist": "female", "smith": "male"}
    first, _, third, fourth = probe.pairs
    assert first.more.text == "The smith thanked the florist because he was late."
    assert first.less.text == "The smith thanked the florist because she was late."
    assert (first.cluster, first.fits) == ("smith", "male")
    for told in (first.more, third.less):
        assert {told.text[slice(*m.span)].lower() for m in told.mentions} == {"smith", "florist"}
    assert third.more.text[slice(*third.more.pronouns[0])] == "her"
    assert [fourth.more.text[slice(*span)] for span in fourth.more.pronouns] == ["he", "his"]
    (choice,) = probe.choices
    assert (choice.before, choice.pronouns) == ("The smith thanked the florist because", ("she", "he"))
    assert choice.continuations == ("brought roses.", "was late.")


def test_winobias_versions_that_differ_elsewhere_are_counted(tmp_path):
    """They are no pair."""
    probe = read_published(winobias(tmp_path, PRO, ANTI.replace("was late", "was early")))
    assert len(probe.pairs) == 3
    assert probe.unusable == {DIFFERENT: 1}


def test_winobias_without_its_counterpart_is_refused(tmp_path):
    """The line says which file is missing; so it is with versions of other lengths, names and lines."""
    spec = written(tmp_path, "pro_stereotyped_type1.txt.dev", PRO)
    with pytest.raises(UnusableInput, match="anti_stereotyped_type1.txt.dev' is not beside it"):
        read_published(spec)
    winobias(tmp_path, PRO, "1 [The smith] left because [he] could.\n")
    with pytest.raises(UnusableInput, match="have 4 and 1 lines"):
        read_published(spec)
    with pytest.raises(UnusableInput, match=r"called pro_stereotyped"):
        read_published(written(tmp_path, "mine.dev", PRO))
    winobias(tmp_path, PRO + "no brackets\n", ANTI)
    with pytest.raises(UnusableInput, match="line 5"):
        read_published(f"winobias:{spec}")


def winogender(folder, *rows, shares=SHARES + "smith\t3\t4.5\t2015\nflorist\t80\t90.1\t2015\n"):
    if shares:
        written(folder, "occupations-stats.tsv", shares)
    return written(folder, "all_sentences.tsv", SENTENCES + "".join(f"{row}\n" for row in rows))


def told(answer, gender, pronoun, tail):
    return f"smith.guest.{answer}.{gender}.txt\tThe smith told the guest that {pronoun} {tail}"


ROWS = tuple(
    told(answer, gender, pronoun, tail)
    for answer, tail in (("0", "was done."), ("1", "could pay."))
    for gender, pronoun in (("male", "he"), ("female", "she"), ("neutral", "they"))
)


def test_winogender_pairs_are_put_together(tmp_path):
    """The stereotype is that of most who do the work; only pronouns that stand for them are counted."""
    spec = winogender(tmp_path, *ROWS)
    assert kind_of(spec) == "winogender"
    probe = read_published(spec)
    one, two = probe.pairs
    assert (one.cluster, one.fits, one.counted, two.counted) == ("smith", "male", True, False)
    assert one.more.text == "The smith told the guest that he was done."
    assert one.less.text[slice(*one.less.pronouns[0])] == "she"
    assert one.less.text[slice(*one.less.mentions[0].span)] == "smith"
    assert probe.unusable == {NEUTRAL: 2, OTHER: 1}
    (choice,) = probe.choices
    assert choice.continuations == ("could pay.", "was done.")


def test_winogender_without_shares_is_refused(tmp_path):
    """So are sentences named otherwise, and shares that are no numbers."""
    with pytest.raises(UnusableInput, match="'occupations-stats.tsv' is not beside"):
        read_published(winogender(tmp_path, *ROWS, shares=None))
    with pytest.raises(UnusableInput, match="row 1, column 'bls_pct_female': no number"):
        read_published(winogender(tmp_path, *ROWS, shares=SHARES + "smith\t3\tfew\t2015\n"))
    with pytest.raises(UnusableInput, match="row 1, column 'sentid'"):
        read_published(winogender(tmp_path, "7\tThe smith left."))


def test_other_files_are_no_published_data_set(tmp_path):
    """Texts and a user's own pairs are read as before; a kind may be said where the layout does not tell."""
    assert kind_of("prose") is None
    assert kind_of(written(tmp_path, "texts.csv", "text\nhello\n")) is None
    assert kind_of(written(tmp_path, "a.txt", "1 hello\n")) is None
    assert kind_of("crows_pairs:anything.csv") == "crows_pairs"
    with pytest.raises(UnusableInput, match="does not exist"):
        read_published("crows_pairs:nowhere.csv")
    with pytest.raises(UnusableInput, match="is empty"):
        read_published(f"stereoset:{written(tmp_path, 'empty.json', '')}")
