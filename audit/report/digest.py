"""What print leaves out, so that it stays a digest, and where each of these things is found."""

from collections.abc import Container, Sequence

from audit.report.blocks import Row
from audit.report.wording import counted
from audit.results import Audit, Finding

CARDS = {"screen": 200, "print": 8}  # findings in full
LINES = {"screen": 2000, "print": 24}  # further findings, one line each
PATTERNS = {"screen": 40, "print": 4}
EVIDENCE = {"screen": 1000, "print": 5}  # rows of a finding
STEPS = {"screen": 1000, "print": 5}  # of a drop curve's table: the first ones and the last
PAIRS = {"screen": 1000, "print": 12}  # matched terms of an axis
RANKED = {"screen": 1000, "print": 12}  # layers; a table of more is left out


def cited(shown: Sequence[Finding]) -> frozenset[str]:
    """Metrics that the findings shown in full rest on: those that print defines."""
    return frozenset(item.metric for finding in shown for item in finding.evidence)


def left_out(audit: Audit, *, defined: Container[str]) -> tuple[Row, ...]:
    """A row for each kind of thing that the PDF has less of than the audit, by what the HTML report calls it."""
    probes = [probe.name for probe in audit.coverage.probes]
    rows = [
        ("Findings", _findings(len(audit.findings))),
        ("Redundancy", _redundancy(audit)),
        ("Anatomy", _heads(probes)),
        ("Groups of people", _people(audit)),
        ("Patterns", _patterns(audit)),
        ("Method", _methods(audit, defined)),
    ]
    found = [Row(label=label, text=text) for label, text in rows if text]
    return (
        *found,
        Row(label="Numbers", text="Each sample's value is in measurements.parquet, each mean in audit.json."),
    )


def _findings(count: int) -> str:
    if count <= CARDS["print"]:
        return ""
    lines = min(count - CARDS["print"], LINES["print"])
    rest = count - CARDS["print"] - lines
    more = f", {rest:,} not at all" if rest else ""
    return f"{CARDS['print']} of {count:,} stand here in full, {counted(lines, 'as one line', 'as one line each')}{more}."


def _redundancy(audit: Audit) -> str:
    long = any(len(curve.steps) > STEPS["print"] for curve in audit.drop_curves)
    return "Every step of the drop curves, and ranks layer by layer." if long else ""


def _heads(probes: Sequence[str]) -> str:
    others = f" Grids of {', '.join(probes[1:])}, and" if len(probes) > 1 else " The"
    return f"Grids here show {probes[0]}.{others} numbers by layer and head are there." if probes else ""


def _people(audit: Audit) -> str:
    quiet = sum(not axis.found and not axis.control for skew in audit.skew for axis in skew.axes)
    rows = [f"{counted(quiet, 'axis', 'axes')} without a difference only in the overview."] if quiet else []
    if any(axis.found for skew in audit.skew for axis in skew.axes):
        rows.append("Remedies and attributes of each axis, and all matched terms.")
    return " ".join(rows)


def _patterns(audit: Audit) -> str:
    count = sum(exhibit.kind == "pattern" for exhibit in audit.exhibits)
    return f"{PATTERNS['print']} of {count} kept patterns." if count > PATTERNS["print"] else ""


def _methods(audit: Audit, defined: Container[str]) -> str:
    missing = sum(name not in defined for name in audit.methods)
    return f"Definitions of {counted(missing, 'metric')} on which no finding above rests." if missing else ""
