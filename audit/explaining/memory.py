"""How much memory an audit will take at its peak, and how much there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from audit.models.allocator import RARE

CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")

# As audits of BERT-tiny, all-MiniLM-L6-v2 and SmolLM2-135M did on 2026-11-26: 768 MB against 612 after loading, ...
STREAMS = 50  # copies of the hidden states at a pass's peak, what metrics make of them included
PATTERNS = 8  # copies of a layer's pattern where it is held whole
DOUBLED = 16  # bytes for each logit that is asked for: a double and its logarithm
ASKED = {"masked": 1 / 16, "causal": 1 / 4}  # of the tokens of a sentence
ROWS, SENTENCE = 124, 17  # of the longest built-in sentences about groups of people that are fed at once
PAGE, PAGE_PER_HEAD = 30_000_000, 600_000  # bytes, of drawing a report


class Fed(NamedTuple):
    """The largest batch of a kind."""

    rows: int
    tokens: int  # of a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What of a model decides how much a pass takes; bytes are those of one number."""

    task: str
    layers: int
    heads: int  # of the widest layer
    all_heads: int
    hidden: int
    vocabulary: int
    bytes: int
    whole_patterns: bool


def beyond(build: Build, *, texts: Sequence[Fed], sentences: Fed | None, tried: bool) -> int:
    """Bytes beyond the loaded model, at the peak: drawing the report comes on top, since what was freed is kept.

    Args:
        build: the model.
        texts: what is observed.
        sentences: that are fed at once to compare groups of people.
        tried: whether experiments keep what blocks return.
    """
    observed = [_pass(build, fed) for fed in texts]
    kept = [_pass(build, fed) + _kept(build, fed) for fed in texts] if tried else []
    asked = [_asked(build, sentences)] if sentences else []
    return max([*kept, *asked, *observed], default=0) + PAGE + PAGE_PER_HEAD * build.all_heads


def _pass(build: Build, fed: Fed) -> int:
    tokens = fed.rows * fed.tokens
    logits = tokens * build.vocabulary * build.bytes if build.task in ("masked", "seq2seq") else 0
    patterns = fed.rows * build.heads * fed.tokens**2 * build.bytes * PATTERNS if build.whole_patterns else 0
    return logits + patterns + STREAMS * tokens * build.hidden * build.bytes


def _kept(build: Build, fed: Fed) -> int:
    """What blocks returned, and logits at every position, where there are any."""
    tokens = fed.rows * fed.tokens
    logits = 0 if build.task == "encoder" else 2 * tokens * build.vocabulary * build.bytes
    return logits + (build.layers + 1) * tokens * build.hidden * build.bytes


def _asked(build: Build, fed: Fed) -> int:
    """Two sets of logits, one unchanged and one not, what is asked of them, and a third where their place is kept."""
    tokens = fed.rows * fed.tokens
    read = STREAMS * tokens * build.hidden * build.bytes
    share = ASKED.get(build.task)
    if share is None:
        return read
    logits = tokens * build.vocabulary
    sets = 2 if logits * build.bytes >= RARE else 3
    return read + logits * (sets * build.bytes + round(share * DOUBLED))


def resident() -> int:
    """Bytes this process holds in memory."""
    return int(psutil.Process().memory_info().rss)


def anonymous() -> int:
    """Bytes of them that no file backs: weights that are read from one come and go."""
    found = psutil.Process().memory_info()
    return int(found.rss - getattr(found, "shared", 0))


def available() -> int:
    """Bytes this process may still take: what the machine has free, or what its control group leaves."""
    free = int(psutil.virtual_memory().available)
    return min([free, *_left_by_groups()])


def _left_by_groups() -> list[int]:
    """Of every control group that this process is in, in either version of them."""
    limits = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    found = []
    for folder in _groups():
        for most, used in limits:
            limit, taken = _number(folder / most), _number(folder / used)
            if limit is not None and taken is not None:
                found.append(max(0, limit - taken + _cached(folder)))
    return found


def _cached(folder: Path) -> int:
    """Bytes of files that were read and can be dropped at once; a group's usage counts them."""
    try:
        lines = (folder / "memory.stat").read_text("ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _groups() -> list[Path]:
    try:
        lines = _OWN.read_text("utf-8").splitlines()
    except OSError:
        return []
    folders = {CGROUPS, CGROUPS / "memory"}
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds in ("", "memory"):
            own = (CGROUPS / kinds / path.lstrip("/")) if kinds else CGROUPS / path.lstrip("/")
            folders |= {own, *(each for each in own.parents if each.is_relative_to(CGROUPS))}
    return sorted(folders)


def _number(file: Path) -> int | None:
    try:
        text = file.read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
