"""WinoBias: two occupations and a pronoun, from `pro_stereotyped_type1.txt.dev` and its like.

Each file stands beside its counterpart, `pro_` beside `anti_`, whose lines are the same but for the pronouns. Which
gender an occupation is stereotyped with is read from the files themselves: from the pronouns of the former.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from audit.errors import UnusableInput
from audit.probes.published.items import Choice, Gender, Mention, Pair, PublishedProbe, Span, Told

LINE = re.compile(r"\d+ (?P<text>.*\[.+\].*\[.+\].*)")
BRACKETED = re.compile(r"\[([^\[\]]+)\]")
GENDERS: Mapping[str, Gender] = {
    **dict.fromkeys(("he", "him", "his", "himself"), "male"),
    **dict.fromkeys(("she", "her", "hers", "herself"), "female"),
}
SUBSTITUTES = (("she", "he"), ("her", "his"))  # those with which a beginning can go on
DIFFERENT = "lines whose two versions differ in more than the pronoun"
UNCLEAR = "lines in which occupation and pronoun are not marked as they should be"
VERSIONS = ("pro_stereotyped", "anti_stereotyped")


class _Line(NamedTuple):
    """One line without its brackets, and what stood in them."""

    text: str
    pronouns: tuple[Span, ...]
    referent: Span  # of the occupation that the pronoun stands for, without its article

    @property
    def occupation(self) -> str:
        return self.text[slice(*self.referent)].lower()

    @property
    def first(self) -> str:
        return self.text[slice(*self.pronouns[0])].lower()

    @property
    def skeleton(self) -> tuple[str, ...]:
        """The text between the pronouns: alike in both versions of a line."""
        cuts = [0, *(end for span in self.pronouns for end in span), len(self.text)]
        return tuple(self.text[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True))


def read_winobias(path: Path) -> PublishedProbe:
    """Both versions of a published file, line by line; `path` is either of them.

    Raises:
        UnusableInput: the file is not called as the published ones are, its counterpart is not beside it, they have
            not as many lines, or a line is not numbered or marks no two phrases; no text of the file is quoted.
    """
    files = _versions(path)
    texts = [_texts(file) for file in files]
    if len(texts[0]) != len(texts[1]):
        raise UnusableInput(
            f"probe files {files[0].name!r} and {files[1].name!r} have {len(texts[0])} and {len(texts[1])} lines: "
            "they are no two versions of the same sentences"
        )
    pro, anti = ([_line(text) for text in version] for version in texts)
    genders = _stereotypes(pro)
    unusable: Counter[str] = Counter()
    pairs = []
    for one, two in zip(pro, anti, strict=True):
        if one is None or two is None:
            unusable[UNCLEAR] += 1
        elif one.skeleton != two.skeleton or _gender(one) == _gender(two):
            unusable[DIFFERENT] += 1
        else:
            pairs.append(_pair(one, two, genders))
    return PublishedProbe(
        name=path.name,
        kind="winobias",
        title=f"WinoBias, {path.name.partition('stereotyped_')[2].replace('.txt.', ' ') or path.name}",
        limits="Forty occupations of the United States and two genders in constructed sentences; some are unnatural or "
        "can be read in two ways (Blodgett et al. 2021). Its published score is of systems that resolve pronouns; here "
        "the two versions of a sentence are held against each other",
        reference="Zhao et al. 2018, Gender bias in coreference resolution: evaluation and debiasing methods",
        pairs=tuple(pairs),
        choices=tuple(_choices(pro, genders)),
        genders=genders,
        unusable=dict(unusable),
    )


def _versions(path: Path) -> tuple[Path, Path]:
    """The pro-stereotypical file and its counterpart."""
    own = next((word for word in VERSIONS if path.name.startswith(word)), None)
    if own is None:
        raise UnusableInput(
            f"probe file {path.name!r}: the files of WinoBias are called pro_stereotyped_... and anti_stereotyped_..."
        )
    found = [path.with_name(path.name.replace(own, word, 1)) for word in VERSIONS]
    for file in found:
        if not file.is_file():
            raise UnusableInput(
                f"probe file {path.name!r}: its counterpart {file.name!r} is not beside it; WinoBias is read as a pair"
            )
    return found[0], found[1]


def _texts(file: Path) -> list[str]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UnusableInput(f"probe file {file.name!r} is not UTF-8; save the file as UTF-8") from error
    found = [(number, LINE.fullmatch(line)) for number, line in enumerate(lines, 1) if line.strip()]
    for number, match in found:
        if match is None:
            raise UnusableInput(
                f"probe file {file.name!r}, line {number}: a line of WinoBias is a number and a sentence with the "
                "occupation and the pronoun in brackets"
            )
    return [match["text"] for _, match in found if match]


def _line(marked: str) -> _Line | None:
    """None where it marks no pronoun, or not exactly one occupation."""
    text, pronouns, referents = "", [], []
    for number, part in enumerate(BRACKETED.split(marked)):
        start, part = len(text), re.sub(r"[\[\]]", "", part)  # noqa: PLW2901 - a stray bracket
        text += part
        if number % 2 == 0:
            continue
        if part.lower() in GENDERS:
            pronouns.append((start, len(text)))
        else:
            article = re.match(r"\s*(the |an? )?", part, re.IGNORECASE)
            referents.append((start + (article.end() if article else 0), len(text)))
    if not pronouns or len(referents) != 1:
        return None
    return _Line(text, tuple(pronouns), referents[0])


def _gender(line: _Line) -> Gender:
    return GENDERS[line.first]


def _stereotypes(pro: Sequence[_Line | None]) -> dict[str, Gender]:
    """Gender of each occupation: that of most pronouns which stand for it."""
    votes: dict[str, Counter[Gender]] = {}
    for line in pro:
        if line is not None:
            votes.setdefault(line.occupation, Counter())[_gender(line)] += 1
    return {occupation: count.most_common(1)[0][0] for occupation, count in sorted(votes.items())}


def _pair(pro: _Line, anti: _Line, genders: Mapping[str, Gender]) -> Pair:
    return Pair(
        group="all",
        cluster=pro.occupation,
        more=_told(pro, genders),
        less=_told(anti, genders),
        fits=_gender(pro),
    )


def _told(line: _Line, genders: Mapping[str, Gender]) -> Told:
    """With both occupations, where the other one is found as well."""
    start, end = line.referent
    others = [
        Mention(term, (found.start(), found.end()))
        for term, gender in genders.items()
        if gender != genders[line.occupation]
        for found in re.finditer(rf"\b{re.escape(term)}\b", line.text, re.IGNORECASE)
        if found.end() <= start or found.start() >= end
    ]
    own = Mention(line.occupation, line.referent)
    return Told(line.text, line.pronouns, (own, *others) if len(others) == 1 else ())


def _choices(pro: Sequence[_Line | None], genders: Mapping[str, Gender]) -> Iterator[Choice]:
    """Lines two by two that share their beginning up to a pronoun of the same kind, as Vig et al. choose them."""
    for one, two in zip(pro[::2], pro[1::2], strict=False):
        if one is None or two is None or {len(one.pronouns), len(two.pronouns)} != {1}:
            continue
        parts = [line.skeleton for line in (one, two)]
        kinds = [next((kind for kind in SUBSTITUTES if line.first in kind), None) for line in (one, two)]
        referents = [genders[line.occupation] for line in (one, two)]
        if parts[0][0] != parts[1][0] or kinds[0] is None or kinds[0] != kinds[1]:
            continue
        if set(referents) != {"male", "female"}:
            continue
        tails = dict(zip(referents, (part[1].strip() for part in parts), strict=True))
        yield Choice(
            cluster=one.occupation,
            before=parts[0][0].strip(),
            pronouns=kinds[0],
            continuations=(tails["female"], tails["male"]),
        )
