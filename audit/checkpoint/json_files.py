"""Reads the JSON files of a checkpoint; light, so that a configuration alone can be looked at in no time."""

import json
from pathlib import Path
from typing import Any

from audit.checkpoint.wording import first_line
from audit.errors import RefusedCheckpoint

_LARGEST_JSON = 100_000_000  # bytes; the limit that safetensors sets for its own JSON header


def read_json(path: Path, name: str, *, largest: int = _LARGEST_JSON) -> dict[str, Any]:
    """The JSON object in a file of at most `largest` bytes; `name` is how messages call it. Raises RefusedCheckpoint.

    Infinities and NaN, which transformers writes as `{"__float__": "Infinity"}`, become floats again.
    """
    if path.stat().st_size > largest:
        raise RefusedCheckpoint(f"{name!r} is larger than {largest} bytes: no such file is read as JSON")
    try:
        content = json.loads(path.read_bytes(), object_hook=_special_float)
    except (ValueError, RecursionError) as error:  # also not UTF-8, or nested without end
        raise RefusedCheckpoint(f"{name!r} is not JSON: {first_line(error)}; restore the file") from error
    if not isinstance(content, dict):
        raise RefusedCheckpoint(f"{name!r} holds a JSON {type(content).__name__}, not an object")
    return content


def _special_float(entry: dict[str, Any]) -> Any:
    tagged = entry.get("__float__")
    if len(entry) == 1 and isinstance(tagged, str) and tagged in {"Infinity", "-Infinity", "NaN"}:
        return float(tagged)
    return entry
