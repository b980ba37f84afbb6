"""What the files in docker/ and deploy/ say, for the tests that hold them to the code."""

import re
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker/Dockerfile"
COMPOSE = ROOT / "docker/compose.yaml"
KUBERNETES = ROOT / "deploy/kubernetes"
UNITS = ROOT / "deploy/systemd"
ALERTS = ROOT / "deploy/watching/alerts.yaml"
DASHBOARD = ROOT / "deploy/watching/dashboard.json"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, in their order."""
    return [(step["instruction"], step["value"]) for step in DockerfileParser(str(DOCKERFILE)).structure]


def compose(text: str | None = None) -> Any:
    """The compose file with its variables at their defaults; a required one as a path."""
    text = COMPOSE.read_text() if text is None else text
    return yaml.safe_load(
        re.sub(r"\$\{\w+:(?:-([^}]*)|[?][^}]*)\}", lambda found: found[1] or "/models", text)
    )


def rendered(folder: Path) -> dict[tuple[str, str], Any]:
    """What kustomize would make of a folder, by kind and name; knows no more of it than our files use."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    known = {"apiVersion", "kind", "namespace", "resources", "configMapGenerator", "images", "patches"}
    assert set(plan) <= known, f"{folder} uses {set(plan) - known}"
    found: dict[tuple[str, str], Any] = {}
    for name in plan["resources"]:
        place = folder / name
        some = rendered(place) if place.is_dir() else named(place)
        assert not found.keys() & some.keys()
        found |= some
    for generated in plan.get("configMapGenerator", []):
        content = {
            key: (folder / file).read_text() for key, file in (f.split("=") for f in generated["files"])
        }
        found["ConfigMap", generated["name"]] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": generated["name"]},
            "data": content,
        }
    for patch in plan.get("patches", []):
        for key, change in named(folder / patch["path"]).items():
            found[key] = merged(found[key], change)
    for image in plan.get("images", []):
        for document in found.values():
            for container in containers(document):
                name, _, _ = container["image"].rpartition(":")
                if name == image["name"]:
                    container["image"] = f"{name}:{image['newTag']}"
    return found


def named(file: Path) -> dict[tuple[str, str], Any]:
    documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
    assert documents, f"{file} is empty"
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def merged(base: Any, change: Any) -> Any:
    """Kubernetes' strategic merge, as far as our patches need it: lists of named things by name, null removes."""
    if isinstance(base, dict) and isinstance(change, dict):
        both = {key: merged(base.get(key), value) for key, value in change.items() if value is not None}
        return {
            key: value for key, value in (base | both).items() if key not in change or change[key] is not None
        }
    if (
        isinstance(base, list)
        and isinstance(change, list)
        and all("name" in item for item in (*base, *change))
    ):
        changes = {item["name"]: item for item in change}
        assert changes.keys() <= {item["name"] for item in base}
        return [merged(item, changes.get(item["name"], {})) for item in base]
    return change


def containers(document: Any) -> list[Any]:
    """Of whatever has a pod template."""
    found: list[Any] = document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return found
