"""Alert rules and dashboard: what Prometheus' own tool says, and only metrics that are really told."""

import json
import re
import subprocess

import yaml
from prometheus_client import generate_latest

from tests.deploy.common import ALERTS, DASHBOARD, KUBERNETES, rendered
from workers.attempt import Ended
from workers.jobs import STATES
from workers.ledger.records import Figures
from workers.watching.metrics import Metrics

WORDS = {"sum", "max", "min", "count", "by", "without", "and", "or", "unless", "on", "ignoring"}


def promtool(*words):
    return subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True)


def queries():
    """Every query of the files, with where it stands."""
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    (trigger,) = rendered(KUBERNETES / "overlays/scaled")["ScaledObject", "worker"]["spec"]["triggers"]
    yield "ScaledObject", trigger["metadata"]["query"]


def names_in(query):
    """Metric names: words that are neither labels, strings, durations, functions nor operators."""
    bare = re.sub(r'"[^"]*"|\[[^]]*\]', "", query)
    bare = re.sub(r"\{[^}]*\}|\b(?:by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    return {w for w in re.findall(r"\b[a-z_]\w*\b(?!\s*\()", bare) if w not in WORDS}


class Ledger:
    """One that holds nothing."""

    def figures(self):
        return Figures(dict.fromkeys(STATES, 0), {}, 0.0)


def test_every_query_reads_metrics_that_are_told():
    """With the labels and values they are told with, from the first scrape on."""
    metrics = Metrics(Ledger())
    metrics.ended(Ended("a", "published", 3.0, 2.9, 2**29))
    text = generate_latest(metrics.registry).decode()
    told = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    for where, query in queries():
        names = names_in(query)
        assert names, where
        assert names <= told, where
        for name, labels in re.findall(r"(\w+)\{([^}]*)\}", query):
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', labels):
                for value in values.split("|"):
                    assert re.search(rf'^{name}\{{[^}}]*\b{label}="{value}"', text, re.MULTILINE), where


def test_names_are_found_in_a_query():
    """The helper of the test above."""
    query = 'histogram_quantile(0.9, sum by (le) (rate(a_bucket{o="x"}[5m]))) > 2 and on (instance) b_c == 0'
    assert names_in(query) == {"a_bucket", "b_c"}


def test_prometheus_understands_every_query(tmp_path):
    """The dashboard's as well, dressed as recording rules."""
    assert promtool("check", "rules", ALERTS).returncode == 0
    rules = [{"record": f"q:{number}", "expr": query} for number, (_, query) in enumerate(queries())]
    (tmp_path / "q.yaml").write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": rules}]}))
    done = promtool("check", "rules", tmp_path / "q.yaml")
    assert done.returncode == 0, done.stderr


QUIET = {
    "attnaudit_ledger_up": "1+0x60",
    "attnaudit_oldest_queued_seconds": "0+0x60",
    'attnaudit_jobs{state="running"}': "0+0x60",
    'attnaudit_jobs_ended_total{state="quarantined"}': "0+0x60",
    'attnaudit_attempts_total{outcome="published"}': "0+1x60",
    'attnaudit_attempts_total{outcome="died"}': "0+0x60",
}
TROUBLE = {
    "AuditServiceSilent": {"attnaudit_ledger_up": None},
    "AuditLedgerAway": {"attnaudit_ledger_up": "0+0x60"},
    "AuditQueueStandsStill": {"attnaudit_oldest_queued_seconds": "0+60x60"},
    "AuditQueueSlow": {
        "attnaudit_oldest_queued_seconds": "15000+60x60",
        'attnaudit_jobs{state="running"}': "1+0x60",
    },
    "AuditJobQuarantined": {'attnaudit_jobs_ended_total{state="quarantined"}': "0+0x20 1+0x40"},
    "AuditAttemptsDie": {'attnaudit_attempts_total{outcome="died"}': "0+1x60"},
}


def test_each_alert_fires_in_its_trouble_and_no_other_then(tmp_path):
    """An hour of figures for each trouble, judged after 45 minutes; and one hour without any."""
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    assert {rule["alert"] for rule in rules} == TROUBLE.keys()
    tests = []
    for trouble, figures in [(None, {}), *TROUBLE.items()]:
        series = {name: values for name, values in (QUIET | figures).items() if values}
        expected = [
            {
                "eval_time": "45m",
                "alertname": rule["alert"],
                "exp_alerts": [{"exp_labels": rule["labels"], "exp_annotations": _said(rule, series)}]
                if rule["alert"] == trouble
                else [],
            }
            for rule in rules
        ]
        listed = [{"series": name, "values": values} for name, values in series.items()]
        tests.append({"interval": "1m", "input_series": listed, "alert_rule_test": expected})
    (tmp_path / "t.yaml").write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": tests}))
    done = promtool("test", "rules", tmp_path / "t.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def _said(rule, series):
    """The alert's text; the one figure in them is the age after 45 minutes."""
    return {"summary": rule["annotations"]["summary"].replace("{{ $value | humanizeDuration }}", "4h 55m 0s")}


def test_the_dashboard_is_whole():
    """Panels with a title, a place of their own and a source that the reader chooses."""
    board = json.loads(DASHBOARD.read_text())
    places = set()
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & places
        assert max(x for x, _ in cells) < 24
        places |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]
