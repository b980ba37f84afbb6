"""Winogender: an occupation, a participant and a pronoun, from `all_sentences.tsv`.

`occupations-stats.tsv` beside it says how many of an occupation are women; more than half make it a stereotype.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from audit.errors import UnusableInput
from audit.probes.published.items import Choice, Gender, Mention, Pair, PublishedProbe, Told
from audit.probes.readers import Row, read_csv

STATISTICS = "occupations-stats.tsv"
SHARE = "bls_pct_female"
NAME = re.compile(r"(?P<occupation>[^.]+)\.(?P<other>[^.]+)\.(?P<answer>[01])\.(?P<gender>\w+)\.txt")
SUBSTITUTES = (("she", "he"), ("her", "his"))
NEUTRAL = "sentences with a neutral pronoun"
ALONE = "sentences without a counterpart of the other gender"
OTHER = "pairs whose pronoun stands for the participant, who is no stereotype: only their attention is read"
UNLISTED = f"sentences of an occupation that {STATISTICS} does not list"


class _Place(NamedTuple):
    """What two sentences of different pronouns have in common."""

    occupation: str
    other: str
    answer: str  # 0: the pronoun stands for the occupation, 1: for the participant


def read_winogender(path: Path) -> PublishedProbe:
    """The sentences of the published file with male and female pronouns, in pairs.

    Raises:
        UnusableInput: a column, the statistics beside the file or a value is missing, or a sentence is not named as in
            the published file; the line names file and row. No text of the file is quoted.
    """
    rows = _rows(path, ("sentid", "sentence"))
    genders = _genders(path.with_name(STATISTICS))
    by_place: dict[_Place, dict[str, str]] = {}
    unusable: Counter[str] = Counter()
    for row in rows:
        match = NAME.fullmatch(str(row.values["sentid"]))
        if match is None:
            raise UnusableInput(
                f"probe file {path.name!r}, row {row.number}, column 'sentid': not of the form "
                "OCCUPATION.PARTICIPANT.0 or 1.GENDER.txt"
            )
        if match["gender"] == "neutral":
            unusable[NEUTRAL] += 1
        elif match["occupation"] not in genders:
            unusable[UNLISTED] += 1
        else:
            place = _Place(match["occupation"], match["other"], match["answer"])
            by_place.setdefault(place, {})[match["gender"]] = str(row.values["sentence"])
    both = {place: found for place, found in by_place.items() if {"male", "female"} <= found.keys()}
    unusable[ALONE] = sum(len(found) for place, found in by_place.items() if place not in both)
    pairs = [_pair(place, found, genders[place.occupation]) for place, found in both.items()]
    unusable[OTHER] = sum(not pair.counted for pair in pairs)
    return PublishedProbe(
        name=path.name,
        kind="winogender",
        title="Winogender",
        limits="Sixty occupations of the United States and two genders in constructed sentences, with the shares of women "
        "of 2015 and 2016; some are unnatural or can be read in two ways (Blodgett et al. 2021). Its published score is "
        "of systems that resolve pronouns; here the two versions of a sentence are held against each other",
        reference="Rudinger et al. 2018, Gender bias in coreference resolution",
        pairs=tuple(pairs),
        choices=tuple(_choices(both, genders)),
        genders={term: genders[term] for term in sorted({place.occupation for place in both})},
        unusable={why: count for why, count in unusable.items() if count},
    )


def _rows(path: Path, wanted: tuple[str, ...]) -> list[Row]:
    columns, rows = read_csv(path, wanted, separator="\t")
    for name in wanted:
        if name not in columns:
            raise UnusableInput(f"file {path.name!r} has no column {name!r}; Winogender has it")
    if not rows:
        raise UnusableInput(f"file {path.name!r} holds no rows; Winogender has a sentence in each")
    for row in rows:
        for name in wanted:
            if not str(row.values[name]).strip():
                raise UnusableInput(
                    f"file {path.name!r}, row {row.number}, column {name!r}: empty; fill it in"
                )
    return rows


def _genders(path: Path) -> dict[str, Gender]:
    if not path.is_file():
        raise UnusableInput(
            f"{path.name!r} is not beside the sentences of Winogender: it says which gender is the stereotype"
        )
    found: dict[str, Gender] = {}
    for row in _rows(path, ("occupation", SHARE)):
        try:
            share = float(row.values[SHARE])
        except ValueError as error:
            raise UnusableInput(
                f"file {path.name!r}, row {row.number}, column {SHARE!r}: no number; give percent"
            ) from error
        found[str(row.values["occupation"])] = "female" if share > 50 else "male"
    return found


def _pair(place: _Place, found: Mapping[str, str], gender: Gender) -> Pair:
    male, female = found["male"], found["female"]
    told = {"male": _told(place, male, female), "female": _told(place, female, male)}
    return Pair(
        group="all",
        cluster=place.occupation,
        more=told[gender],
        less=told["female" if gender == "male" else "male"],
        fits=gender,
        counted=place.answer == "0",
    )


def _told(place: _Place, text: str, other: str) -> Told:
    """The pronoun is what the other version has otherwise; the words of both line up."""
    words = list(re.finditer(r"\w+", text))
    others = re.findall(r"\w+", other)
    changed = [
        (word.start(), word.end()) for word, twin in zip(words, others, strict=False) if word[0] != twin
    ]
    named = re.search(rf"\b{re.escape(place.occupation)}\b", text, re.IGNORECASE)
    if len(words) != len(others) or len(changed) != 1 or named is None:
        return Told(text)
    return Told(text, tuple(changed), (Mention(place.occupation, (named.start(), named.end())),))


def _choices(both: Mapping[_Place, Mapping[str, str]], genders: Mapping[str, Gender]) -> Iterator[Choice]:
    """Sentences that share their beginning up to a pronoun of the same kind, as Vig et al. choose them."""
    for place, found in both.items():
        twin = both.get(place._replace(answer="1"))
        if place.answer != "0" or twin is None or place.other == "someone":
            continue
        halves = [_halves(place, each) for each in (found, twin)]
        if halves[0] is None or halves[1] is None or halves[0][:2] != halves[1][:2]:
            continue
        gender = genders[place.occupation]
        own, others = halves[0][2], halves[1][2]
        yield Choice(
            cluster=place.occupation,
            before=halves[0][0],
            pronouns=halves[0][1],
            continuations=(own, others) if gender == "female" else (others, own),
        )


def _halves(place: _Place, found: Mapping[str, str]) -> tuple[str, tuple[str, str], str] | None:
    """Beginning, kind of pronoun and what follows it; None where the pronoun is of another kind."""
    told = _told(place, found["male"], found["female"])
    if not told.pronouns:
        return None
    start, end = told.pronouns[0]
    kind = next((kind for kind in SUBSTITUTES if told.text[start:end].lower() == kind[1]), None)
    return None if kind is None else (told.text[:start].strip(), kind, told.text[end:].strip())
