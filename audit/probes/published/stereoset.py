"""StereoSet: a blank filled with a stereotype, its opposite or something unrelated, from `dev.json`."""

from collections import Counter
from pathlib import Path

import msgspec

from audit.errors import UnusableInput
from audit.probes.published.items import PublishedProbe, Triple

LABELS = ("stereotype", "anti-stereotype", "unrelated")
BLANK = "BLANK"
NEEDS_HEAD = "next-sentence items: the published scorer trains a head for them, which no checkpoint holds"
NO_BLANK = f"items without a word {BLANK} in their context"


class _Sentence(msgspec.Struct):
    sentence: str
    gold_label: str


class _Item(msgspec.Struct):
    target: str
    bias_type: str
    context: str
    sentences: list[_Sentence]


class _Items(msgspec.Struct):
    intrasentence: list[_Item] = []
    intersentence: list[_Item] = []


class _File(msgspec.Struct):
    data: _Items


def read_stereoset(path: Path) -> PublishedProbe:
    """The items of the published file whose choice is within a sentence; those across two sentences are counted.

    Raises:
        UnusableInput: the file is no JSON of the published layout, or an item lacks one of its three sentences; the
            line names file and item. No text of the file is quoted.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File).data
    except msgspec.MsgspecError as error:
        raise UnusableInput(
            f"probe file {path.name!r} is not in the layout of StereoSet (data: intrasentence, intersentence): {error}"
        ) from error
    within = found.intrasentence
    if not within and not found.intersentence:
        raise UnusableInput(f"probe file {path.name!r} holds no items; StereoSet has them under data")
    triples = [_triple(path.name, number, item) for number, item in enumerate(within, 1)]
    blank = [triple for triple in triples if BLANK in triple.context]
    unusable = Counter({NEEDS_HEAD: len(found.intersentence), NO_BLANK: len(triples) - len(blank)})
    return PublishedProbe(
        name=path.name,
        kind="stereoset",
        title="StereoSet",
        limits="Many of its items hold no stereotype, or contrast sentences that differ in more than one way "
        "(Blodgett et al. 2021). It is about the United States; only its items within a sentence are scored",
        reference="Nadeem et al. 2021, StereoSet: measuring stereotypical bias in pretrained language models",
        triples=tuple(blank),
        unusable={why: count for why, count in unusable.items() if count},
    )


def _triple(file: str, number: int, item: _Item) -> Triple:
    by_label = {each.gold_label: each.sentence for each in item.sentences}
    for label in LABELS:
        if not by_label.get(label, "").strip():
            raise UnusableInput(
                f"probe file {file!r}, intrasentence item {number}: no sentence labelled {label!r}"
            )
    if not item.target.strip() or not item.bias_type.strip():
        raise UnusableInput(
            f"probe file {file!r}, intrasentence item {number}: empty target or bias_type; fill it in"
        )
    return Triple(item.bias_type, item.target, item.context, *(by_label[label] for label in LABELS))
