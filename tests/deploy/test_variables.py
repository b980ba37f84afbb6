"""Every variable and every command that docker/ and deploy/ name is one that the code knows."""

import json
import re

from tests.deploy.common import KUBERNETES, ROOT, UNITS, compose, containers, instructions, rendered
from workers.cli import VERBS
from workers.settings import from_environment


class Asked(dict):
    """An environment that remembers what it was asked for."""

    def __init__(self):
        super().__init__(ATTNAUDIT_REDIS_URL="redis://host/0")
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


def test_every_variable_is_read():
    """A misspelt one would be passed over in silence."""
    asked = Asked()
    from_environment(environment=asked)
    files = [p for top in ("docker", "deploy") for p in (ROOT / top).rglob("*") if p.is_file()]
    assert len(files) > 15
    for file in files:
        named = set(re.findall(r"\bATTNAUDIT_[A-Z_]+\b", file.read_text()))
        assert named <= asked.names, f"{file.name}: {named - asked.names}"
    assert {"ATTNAUDIT_REDIS_PASSWORD_FILE", "ATTNAUDIT_STORE", "ATTNAUDIT_HTTP"} <= asked.names


def test_every_command_exists():
    """Of the image, of compose, of Kubernetes and of systemd."""
    found = dict(instructions())
    assert json.loads(found["ENTRYPOINT"]) == ["attnaudit"]
    verbs = [json.loads(found["CMD"])[0]]
    verbs += [s["command"][0] for s in compose()["services"].values() if "attention-audit" in s["image"]]
    for document in rendered(KUBERNETES / "base").values():
        verbs += [c["args"][0] for c in containers(document) if "attention-audit" in c["image"]]
    for unit in UNITS.glob("*.service"):
        (start,) = re.findall(r"^ExecStart=\S+/attnaudit (.*)$", unit.read_text(), re.MULTILINE)
        verbs.append(start)
    assert len(verbs) == 7
    assert set(verbs) == {"worker", "scheduler"}
    assert set(verbs) <= VERBS.keys()
