"""Runs every case in processes of its own and sets them side by side, as ratios to the plain pass of the same run.

Two processes that do the same may differ by a tenth for as long as they live, by where their memory came to lie: a
round starts all of them anew, and the cases take turns.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from audit.errors import AuditError, MachineFault, UnusableInput
from audit.models.allocator import ENVIRONMENT

LENGTHS: Final = (128, 512, 1024, 2048)
AUDITS: Final = {"without_spectra": 0.0, "default": 0.5, "everything": 1.0}  # shares; 16 of 32 is the default
HEAPED: Final = ("plain_onednn", *AUDITS)  # set up their heap as an audit does
LENS: Final = ("lens_patterns", "lens")  # need TransformerLens, which nothing else here does
SLOW: Final = ("eager_svdvals", "eager_svd")  # run in the first round alone, on the first samples
OTHERS: Final = ("eager", *LENS, *SLOW)
# tokens a case is given: of longer samples it takes minutes or all memory
LONGEST: Final = {"eager": 2048, "lens_patterns": 2048, **dict.fromkeys(("lens", *SLOW), 1024)}
ROWS: Final = 8  # samples at once, as many as an audit feeds
NAMES: Final = {
    "plain": "plain forward pass, SDPA",
    "plain_onednn": "the same, linear maps and heap as in an audit",
    "without_spectra": "audit without spectra",
    "default": "audit, spectra of half the samples (the default)",
    "everything": "audit, spectra of every sample",
    "eager": "eager, output_attentions, entropies",
    "lens_patterns": "TransformerLens, run_with_cache of patterns, entropies",
    "lens": "TransformerLens, run_with_cache of everything, entropies",
    "eager_svdvals": "eager, output_attentions, entropies, singular values",
    "eager_svd": "eager, output_attentions, entropies, full SVD",
}


class Timing(NamedTuple):
    """What one case took at one length."""

    case: str
    tokens: int
    samples: int
    seconds: float
    bytes: int  # most memory beyond the weights


class Growth(NamedTuple):
    """Exponents of how a case grows with the length of a sample; None with fewer than two lengths."""

    seconds: float | None  # of each sample
    bytes: float | None  # of as many samples at once as `compare` feeds


class Comparison(NamedTuple):
    """All cases on one checkpoint."""

    timings: tuple[Timing, ...]  # one of each

    @classmethod
    def of_rounds(cls, timings: Iterable[Timing]) -> "Comparison":
        """Medians of what each case took at each length."""
        runs: dict[tuple[str, int], list[Timing]] = {}
        for timing in timings:
            runs.setdefault((timing.case, timing.tokens), []).append(timing)
        return cls(tuple(map(_median, runs.values())))

    def of(self, case: str, tokens: int) -> Timing | None:
        """One case at one length, if it was run."""
        return next((t for t in self.timings if (t.case, t.tokens) == (case, tokens)), None)

    def ratio(self, case: str, tokens: int, *, to: str = "plain") -> tuple[float, float] | None:
        """Time per sample and memory of a case over those of another."""
        one, other = self.of(case, tokens), self.of(to, tokens)
        if one is None or other is None:
            return None
        per = (one.seconds / one.samples) / (other.seconds / other.samples)
        return per, one.bytes / other.bytes if other.bytes else float("nan")

    def growth(self, case: str) -> Growth:
        """Slopes of logarithms, by least squares."""
        mine = [t for t in self.timings if t.case == case]
        if len(mine) < 2:
            return Growth(None, None)
        length = np.log([t.tokens for t in mine])

        def slope(values: Sequence[float]) -> float | None:
            return float(np.polyfit(length, np.log(values), 1)[0]) if min(values) > 0 else None

        return Growth(slope([t.seconds / t.samples for t in mine]), slope([t.bytes for t in mine]))


def _median(runs: Sequence[Timing]) -> Timing:
    seconds, most = median(t.seconds for t in runs), median(t.bytes for t in runs)
    return runs[0]._replace(seconds=seconds, bytes=round(most))


def installed() -> tuple[str, ...]:
    """The cases that can be run here."""
    return tuple(case for case in NAMES if case not in LENS or find_spec("transformer_lens") is not None)


def samples(tokens: int) -> int:
    """How many samples of a length are fed: 4,096 tokens, and at least two samples, for half of them to mean one."""
    return max(2, 4096 // tokens)


def compare(
    checkpoint: Path,
    *,
    lengths: Sequence[int] = LENGTHS,
    cases: Sequence[str] | None = None,
    rounds: int = 3,
    count: int | None = None,
    failed: Callable[[AuditError], None] | None = None,
) -> Iterator[Timing]:
    """Every case at every length, each case in a process of its own, as they are done: once for every round.

    `cases` are all that are installed. `count` samples are fed of each length, or as many as make 4,096 tokens.
    `failed` hears why what others run failed, which is then not tried again.

    Raises:
        UnusableInput: the checkpoint cannot be audited.
        MachineFault: a case died.
        Either also of what others run, where `failed` is not given.
    """
    cases = [*(installed() if cases is None else cases)]
    for round_ in range(rounds):
        for case in tuple(cases):
            if case in SLOW and round_:
                continue
            sizes = [
                _size(count or samples(tokens), tokens, slow=case in SLOW)
                for tokens in sorted(lengths)
                if tokens <= LONGEST.get(case, tokens)
            ]
            try:
                yield from _timings(case, checkpoint, sizes) if sizes else ()
            except (UnusableInput, MachineFault) as error:
                if failed is None or case not in OTHERS:
                    raise
                failed(error)
                cases.remove(case)


def at_once(samples: int) -> int:
    """How many of them are fed together: at most half, so that half of them are whole batches."""
    return min(ROWS, -(-samples // 2))


def _size(rows: int, tokens: int, *, slow: bool) -> str:
    """What a case is given: tokens, samples, and how many at once."""
    # decomposing every pattern takes long and is alike for all samples: the first batch stands for the rest
    return f"{tokens}x{at_once(rows) if slow else rows}x{at_once(rows)}"


def _timings(case: str, checkpoint: Path, sizes: Sequence[str]) -> Iterator[Timing]:
    command = [sys.executable, "-P", "-m", "audit.benchmark.cases", case, str(checkpoint), *sizes]
    with (
        tempfile.TemporaryFile("w+") as errors,  # a pipe that nobody reads would stop it
        subprocess.Popen(  # noqa: S603 - ourselves
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment(case)
        ) as child,
    ):
        assert child.stdout is not None  # noqa: S101 - asked for above
        for line in child.stdout:
            yield Timing(**json.loads(line))
        child.wait()
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if child.returncode:
        reason = said[-1] if said and child.returncode > 0 else _ended(child.returncode)
        kind = UnusableInput if "audit.errors" in reason else MachineFault
        raise kind(f"case {case!r} on {str(checkpoint)!r}: {reason.removeprefix('audit.errors.')}")


def _ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "it was killed, as a process is that takes all memory"
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with {code}"


def _environment(case: str) -> dict[str, str]:
    """As whoever runs it would have it: an audit sets up its heap, a plain pass does not."""
    heap = ENVIRONMENT if case in HEAPED else {}
    return {**heap, **os.environ, "PYTHONWARNINGS": "ignore"}  # noqa: TID251 - handed on to the child
