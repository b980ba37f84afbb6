"""Policies: inherited defaults, refusals by name, waivers and verdicts."""

import datetime as dt

import pytest

from audit import catalog, policy
from audit.errors import UnusableInput


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
        ('inherits = "strct"\n', "did you mean strict"),
        ("[coverage]\nlayer = 1\n", "did you mean layers"),
        ("[coverage]\nlayers = 30\n", "share between 0 and 1"),
        ("[coverage]\ndocuments = 1.5\n", "not a number"),
        ('[coverage]\nprobes = "prose"\n', "must be a list"),
        ("coverage = 3\n", "must be a table"),
        ('[[waivers]]\nrule = "dead_head"\nowner = " "\nreason = "b"\n', "lacks owner"),
        (
            '[[waivers]]\nrule = "dead_head"\nowner = "a"\nreason = "b"\nexpire = "2020-01-01"\n',
            "did you mean expires",
        ),
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


def test_a_policy_inherits_from_the_shipped_one_it_names(tmp_path):
    """What `strict` sets is in force where the file does not say otherwise."""
    own = written(
        tmp_path, 'inherits = "strict"\n[severity]\ndead_head = "watch"\n[coverage]\ndocuments = 4\n'
    )
    strict = policy.load("strict")
    assert own.severity == strict.severity | {"dead_head": "watch"}
    assert own.required == strict.required
    assert own.coverage.layers == 1.0
    assert own.coverage.documents == 4


def test_the_shipped_policies_are_these():
    """Each loads, and none but `default` is the default under another name."""
    assert policy.shipped() == ["default", "strict", "training-run"]
    loaded = {name: policy.load(name) for name in policy.shipped()}
    assert [found.name for found in loaded.values()] == policy.shipped()
    assert len({found.record(dt.date(2026, 1, 1)).digest for found in loaded.values()}) == 3
    assert loaded["default"].required == ()
    assert loaded["default"].coverage == policy.CoverageDemand()


@pytest.mark.parametrize("name", ["default", "strict", "training-run", None])
def test_what_show_prints_is_the_policy(attnaudit, tmp_path, name):
    """The printed TOML, read back, demands the same; what is inherited stands beside what is set otherwise."""
    given = name
    if name is None:
        given = tmp_path / "quoted.toml"
        given.write_text(
            '[[waivers]]\nrule = "dead_head"\nowner = "a \\"b\\" \u202e"\nreason = "c\\\\d"\nexpires = 2020-01-01\n',
            "utf-8",
        )
    ran = attnaudit("policy", "show", given)
    again = written(tmp_path, ran.out)
    shown = policy.load(given)
    assert (again.severity, again.thresholds, again.waivers) == (
        shown.severity,
        shown.thresholds,
        shown.waivers,
    )
    assert (again.required, again.coverage, again.name) == (shown.required, shown.coverage, shown.name)
    assert ("expired: counts as none" in ran.out) == (name is None)
    assert ('dead_head = "fail"  # inherited: "watch"' in ran.out) == (name in {"strict", "training-run"})


def test_a_classification_marks_the_audit(tmp_path):
    """And is another policy: its reports say otherwise."""
    plain, marked = written(tmp_path, ""), written(tmp_path, 'classification = "Internal"')
    today = dt.date(2026, 1, 1)
    assert plain.record(today).classification is None
    assert marked.record(today).classification == "Internal"
    assert plain.record(today).digest != marked.record(today).digest
    with pytest.raises(UnusableInput, match="classification must be one line"):
        written(tmp_path, 'classification = "a\\nb"')
