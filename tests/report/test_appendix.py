"""Method, rules, probes and provenance say what the audit records."""

from dataclasses import replace

from audit.report import appendix
from audit.results import Check
from tests.report.example import METRICS, RULES, example_audit

AUDIT = example_audit()


def test_every_metric_has_formula_unit_direction_health_and_source():
    """All that is needed to compute it again."""
    blocks = appendix.methods(AUDIT)
    assert [block.name for block in blocks] == sorted(METRICS)
    assert all(
        [row.label for row in block.rows] == ["Values", "Reads", "Healthy", "Source"] for block in blocks
    )
    assert blocks[0].rows[0].text == "0 upwards (tokens); one per sample for each head"
    assert all(block.formula for block in blocks)


def test_every_rule_leaves_its_outcome():
    """Flagged or not, with the thresholds it judged by."""
    blocks = (*appendix.rules(AUDIT, quiet=False), *appendix.rules(AUDIT, quiet=True))
    assert {block.name for block in blocks} == set(RULES)
    assert {block.outcome for block in appendix.rules(AUDIT, quiet=True)} == {"passed"}
    assert ("Thresholds", "entropy = 0.1, off_sink_mass = 0.1") in [(r.label, r.text) for r in blocks[0].rows]


def test_a_rule_without_a_record_is_still_listed():
    """By name, with its outcome and reason."""
    odd = (Check(rule="brand_new", outcome="not_applicable", reason="no decoder"),)
    (block,) = appendix.rules(replace(AUDIT, checks=odd), quiet=True)
    assert (block.title, block.outcome_word, block.rows) == ("brand_new", "Not applicable", ())


def test_the_command_and_every_digest_are_there():
    """What is needed to repeat the audit and to know it is the same."""
    record = appendix.provenance(AUDIT, medium="screen")
    said = " ".join(row.text for row in record.rows)
    assert record.command == AUDIT.provenance.command
    assert all(
        d in said for d in (AUDIT.audit_id, AUDIT.measurement_id, AUDIT.subject.digest, AUDIT.policy.digest)
    )
    assert [name for name, _, _ in record.files] == ["config.json", "model.safetensors"]


def test_settings_are_words():
    """No Python stands in the report."""
    plan = {"chat": False, "metrics": [], "probes": ["prose"], "threads": None, "seed": 0}
    settings = appendix.provenance(replace(AUDIT, plan=plan), medium="screen").settings
    assert [row.text for row in settings] == ["no", "by depth", "prose", "0", "not set"]


def test_an_expired_waiver_is_shown_as_none():
    """It counts for nothing, and a reviewer sees that."""
    waivers = (
        {
            "rule": "dead_head",
            "where": "dead_head-l001",
            "owner": "Ada",
            "reason": "known",
            "expires": "2027-01-01",
            "in_force": True,
        },
        {"rule": "uniform_head", "owner": "Ada", "reason": "old", "expires": "2020-01-01", "in_force": False},
    )
    rows = appendix.provenance(
        replace(AUDIT, policy=replace(AUDIT.policy, waivers=waivers)), medium="screen"
    ).waivers
    assert rows[0] == ("dead_head at dead_head-l001", "known", "Ada", "in force, until 2027-01-01")
    assert rows[1][3] == "expired: counts as none, until 2020-01-01"


def test_probes_are_listed_as_they_were_fed():
    """Documents, samples and tokens, with what was left out."""
    ((name, documents, samples, tokens, digest),) = appendix.probes(AUDIT)
    assert (name, documents, samples, tokens) == ("prose", "32", "32", "4,096")
    assert "2 of 34 documents" in digest
