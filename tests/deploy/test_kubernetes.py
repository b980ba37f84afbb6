"""The Kubernetes files: against the API's schemas, and against what the workers need and may not have."""

import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from tests.deploy.common import KUBERNETES, containers, rendered
from workers.worker import FAREWELL

FOLDERS = [KUBERNETES / "base", *sorted((KUBERNETES / "overlays").iterdir())]
OLDEST, NEWEST = "1.30", "1.37"
each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@each_folder
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_one_of_the_api(folder, version):
    """Strictly: an unknown field is a fault. KEDA's object has no schema here and a test of its own."""
    for (kind, _), document in rendered(folder).items():
        if kind != "ScaledObject":
            kubernetes_validate.validate(document, version, strict=True)
    wrong = rendered(folder)["Deployment", "worker"]
    wrong["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


@each_folder
def test_every_file_is_named_and_kustomize_agrees(folder):
    """What lies beside a kustomization and is not in it would be forgotten; where kubectl is at hand, it builds the same."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    used = {*plan["resources"], *(patch["path"] for patch in plan.get("patches", []))}
    used |= {file.split("=")[1] for made in plan.get("configMapGenerator", []) for file in made["files"]}
    assert {name for name in used if "/" not in name} == {path.name for path in folder.iterdir()} - {
        "kustomization.yaml"
    }
    if kubectl := shutil.which("kubectl"):
        built = subprocess.run(
            [kubectl, "kustomize", folder], capture_output=True, text=True, check=True
        ).stdout
        theirs = {}
        for document in yaml.safe_load_all(built):
            name = document["metadata"]["name"]
            theirs[document["kind"], "reports" if document["kind"] == "ConfigMap" else name] = document
        ours = rendered(folder)
        assert theirs.keys() == ours.keys()
        for key, document in ours.items():
            assert [c["image"] for c in containers(theirs[key])] == [c["image"] for c in containers(document)]
            assert theirs[key].get("spec", {}).get("replicas") == document.get("spec", {}).get("replicas")
            limits = [c["resources"] for c in containers(document)]
            assert [c["resources"] for c in containers(theirs[key])] == limits


@each_folder
def test_every_pod_is_locked_in(folder):
    """Pod Security's `restricted`, a read-only root, limits, and no key to the cluster."""
    pods = [d["spec"]["template"]["spec"] for d in rendered(folder).values() if containers(d)]
    assert len(pods) == 4
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
            assert container["livenessProbe"]
            assert container["readinessProbe"]


def test_a_worker_reaches_redis_and_nothing_else():
    """By policy, and needs no name server for it."""
    found = rendered(KUBERNETES / "base")
    labels = found["Deployment", "worker"]["spec"]["template"]["metadata"]["labels"]
    policies = [d["spec"] for (kind, _), d in found.items() if kind == "NetworkPolicy"]
    mine = [p for p in policies if p["podSelector"].get("matchLabels", {}).items() <= labels.items()]
    assert any(not p["podSelector"] and set(p["policyTypes"]) == {"Ingress", "Egress"} for p in mine)
    ways_out = [way for p in mine for way in p.get("egress", [])]
    assert ways_out == [
        {
            "to": [{"podSelector": {"matchLabels": {"app": "redis"}}}],
            "ports": [{"protocol": "TCP", "port": 6379}],
        }
    ]
    assert found["StatefulSet", "redis"]["spec"]["template"]["metadata"]["labels"] == {"app": "redis"}
    (container,) = containers(found["Deployment", "worker"])
    urls = [variable["value"] for variable in container["env"] if variable["name"] == "ATTNAUDIT_REDIS_URL"]
    assert urls == ["redis://$(REDIS_SERVICE_HOST):$(REDIS_SERVICE_PORT)/0"]
    assert "redis" in {name for kind, name in found if kind == "Service"}


def test_a_worker_may_finish_reads_models_and_is_looked_at_where_it_answers():
    """The grace ends before its pod does; the models cannot be written; the probes are those of the HTTP server."""
    for name in ("worker", "scheduler"):
        document = rendered(KUBERNETES / "base")["Deployment", name]
        pod = document["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        given = {variable["name"]: variable.get("value") for variable in container["env"]}
        grace = float(given.get("ATTNAUDIT_GRACE") or 0)
        assert pod["terminationGracePeriodSeconds"] > grace + FAREWELL
        assert {v["name"]: v.get("readOnly", False) for v in container["volumeMounts"]} == {
            "models": True,
            "store": False,
            "tmp": False,
            "password": True,
        }
        assert container["livenessProbe"]["httpGet"]["path"] == "/live"
        assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
        assert container["ports"] == [{"name": "http", "containerPort": 9464}]


def test_workers_are_scaled_on_queued_and_running():
    """By a metric that is really told, on a Deployment that is there and says no number itself."""
    found = rendered(KUBERNETES / "overlays/scaled")
    scaled = found["ScaledObject", "worker"]["spec"]
    assert ("Deployment", scaled["scaleTargetRef"]["name"]) in found
    assert "replicas" not in found["Deployment", "worker"]["spec"]
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "prometheus"
    assert 'attnaudit_jobs{state=~"queued|running"}' in trigger["metadata"]["query"]
    assert 1 <= scaled["minReplicaCount"] <= scaled["maxReplicaCount"]
    known = {"scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount"}
    assert scaled.keys() <= known | {"fallback", "advanced", "triggers"}
    # the autoscaler that KEDA makes of it
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "worker"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **scaled["scaleTargetRef"]},
            "minReplicas": scaled["minReplicaCount"],
            "maxReplicas": scaled["maxReplicaCount"],
            **scaled["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }
    kubernetes_validate.validate(autoscaler, NEWEST, strict=True)
