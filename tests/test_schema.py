"""The shipped JSON Schema describes the records, and audits validate against it."""

import json
from importlib import resources

import jsonschema
import msgspec
import pytest

from audit.results import SCHEMA_VERSION, Audit
from tests.report.example import example_audit

SHIPPED = resources.files("audit") / "schema" / f"audit-{SCHEMA_VERSION}.json"


def schema():
    return json.loads(SHIPPED.read_text("utf-8"))


def test_the_shipped_schema_is_the_one_of_the_records():
    """A changed record needs a new schema file: `python -m tests.test_schema` writes it."""
    assert schema() == generated()


def test_an_audit_validates():
    """audit.json as written holds to the schema."""
    jsonschema.validate(json.loads(msgspec.json.encode(example_audit())), schema())


@pytest.mark.parametrize("damage", [{"verdict": "fine"}, {"coverage": None}, {"findings": [{}]}])
def test_a_wrong_audit_does_not_validate(damage):
    """The schema can say no."""
    content = json.loads(msgspec.json.encode(example_audit())) | damage
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


def generated():
    content = json.loads(msgspec.json.encode(msgspec.json.schema(Audit)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"attention-audit audit.json, schema {SCHEMA_VERSION}",
        **content,
    }


if __name__ == "__main__":
    with resources.as_file(SHIPPED) as path:
        path.write_text(json.dumps(generated(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
