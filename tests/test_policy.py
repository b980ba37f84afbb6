"""Policies: inherited defaults, refusals by name, waivers and verdicts."""

import datetime as dt

import pytest

from audit import catalog, policy
from audit.errors import UnusableInput
from audit.results import Check, Confirmation, Finding


def finding(rule="dead_head", severity="fail", place="-l001-h002") -> Finding:
    return Finding(
        id=rule + place,
        rule=rule,
        severity=severity,
        layer=1,
        head=2,
        cause="",
        statement="",
        evidence=(),
        confirmation=Confirmation(status="confirmed", reason=""),
        mitigation="",
        remedy=None,
        references=(),
        limits="",
        reproduce="",
    )


def written(tmp_path, text):
    path = tmp_path / "ours.toml"
    path.write_text(text, encoding="utf-8")
    return policy.load(path)


def test_the_default_policy_knows_every_rule_and_no_other():
    """A rule without a severity could never be judged; a severity without a rule is a typing error."""
    assert set(policy.load().severity) == set(catalog.rules())


def test_a_policy_inherits_what_it_does_not_say(tmp_path):
    """Only the named threshold and severity change."""
    own = written(tmp_path, '[severity]\ndead_head = "fail"\n[thresholds.entropy_collapse]\nentropy = 0.2\n')
    default = policy.load()

    assert own.severity == default.severity | {"dead_head": "fail"}
    assert own.thresholds["entropy_collapse"] == default.thresholds["entropy_collapse"] | {"entropy": 0.2}
    assert own.name == "ours"
    today = dt.date(2026, 1, 1)
    assert own.record(today).digest != default.record(today).digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "is not TOML"),
        ("[severty]\n", "did you mean severity"),
        ('[severity]\ndaed_head = "fail"\n', "did you mean dead_head"),
        ('[severity]\ndead_head = "fatal"\n', "use info, watch or fail"),
        ("[thresholds.entropy_collapse]\nentrop = 1\n", "did you mean entropy"),
        ("[thresholds.entropy_collapse]\nentropy = true\n", "not a number"),
        ('required = ["nonsense"]\n', "unknown required rule"),
        ('[[waivers]]\nrule = "dead_head"\n', "lacks owner, reason"),
        ('[[waivers]]\nrule = "daed_head"\nowner = "a"\nreason = "b"\n', "did you mean dead_head"),
        (
            '[[waivers]]\nrule = "dead_head"\nowner = "a"\nreason = "b"\nexpires = "soon"\n',
            "expires 'soon'; give a date",
        ),
        ("waivers = 3\n", "waivers must be a list of tables"),
        ('required = "dead_head"\n', "required must be a list of names"),
        ("thresholds = {uniform_head = 3}\n", "must be a table"),
        ("[thresholds.entropy_collapse]\nentropy = nan\n", "not a number"),
    ],
)
def test_an_unusable_policy_is_refused_by_name(tmp_path, text, said):
    """Each refusal says what was found and what to do."""
    with pytest.raises(UnusableInput, match=said):
        written(tmp_path, text)


def test_unknown_policy_names_the_shipped_ones():
    """A wrong name is answered with the right ones."""
    with pytest.raises(UnusableInput, match="did you mean default"):
        policy.load("defualt")


@pytest.mark.parametrize(
    ("expires", "expected"), [("2026-12-31", "pass"), ("2026-01-01", "fail"), (None, "pass")]
)
def test_a_waiver_holds_until_it_expires(tmp_path, expires, expected):
    """A waived finding does not fail the checkpoint; an expired waiver counts as none."""
    line = f'expires = "{expires}"\n' if expires else ""
    own = written(tmp_path, f'[[waivers]]\nrule = "dead_head"\nowner = "me"\nreason = "known"\n{line}')
    record = own.record(dt.date(2026, 6, 1))
    assert policy.verdict([finding()], [], own, record) == expected


def test_the_verdict_is_the_worst_that_counts(tmp_path):
    """Fail > inconclusive (a required rule was not measured) > watch > pass."""
    own = written(tmp_path, 'required = ["dead_head"]\n')
    record = own.record(dt.date(2026, 6, 1))
    missing = [Check(rule="dead_head", outcome="not_measured", reason="")]
    assert policy.verdict([finding()], missing, own, record) == "fail"
    assert policy.verdict([finding(severity="watch")], missing, own, record) == "inconclusive"
    assert policy.verdict([finding(severity="watch")], [], own, record) == "watch"
    assert policy.verdict([finding(severity="info")], [], own, record) == "pass"
