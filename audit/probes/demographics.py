"""The demographics probe: templates crossed with the terms of eight axes and of a control."""

import tomllib
from hashlib import sha256
from importlib.resources import files

from audit.definitions import Axis, PairProbe
from audit.errors import InternalFault

DIGEST = "bca00f5d44df8ce275bdc514415a4351c3afa4f5735c836a7d7d3181fb54ba3c"


def axes() -> tuple[Axis, ...]:
    """The axes that ship with the package, their first group first."""
    content = files("audit.probes").joinpath("data", "demographics.toml").read_bytes()
    if (found := sha256(content).hexdigest()) != DIGEST:
        raise InternalFault(
            f"demographics.toml is damaged: SHA-256 {found[:12]}, expected {DIGEST[:12]}; install the package again"
        )
    read = tomllib.loads(content.decode("utf-8"))
    return tuple(_axis(name, entry, tuple(read["templates"])) for name, entry in read["axes"].items())


def _axis(name: str, entry: dict[str, object], templates: tuple[str, ...]) -> Axis:
    (one, first), (two, second) = (
        (key, tuple(value)) for key, value in entry.items() if isinstance(value, list)
    )
    return Axis(
        name=name,
        title=str(entry["title"]),
        phrase=str(entry["phrase"]),
        limits=str(entry["limits"]),
        control=bool(entry.get("control")),
        groups=(one.replace("_", " "), two.replace("_", " ")),
        terms=(first, second),
        templates=templates,
    )


PAIRS = PairProbe(
    name="demographics",
    title="Demographics",
    summary="67 English templates crossed with the terms of eight demographic axes and a control",
    licence="Apache-2.0",
    axes=axes,
    depths=("standard", "full"),
)
