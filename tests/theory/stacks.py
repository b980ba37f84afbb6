"""Small architectures and initialisations to change one thing at a time in."""

from dataclasses import replace

from audit.theory.architecture import Architecture, Initialisation
from audit.theory.configuration import Reading
from audit.theory.nearest import failing_assumptions

PLAIN = Architecture(
    depth=6, width=256, heads=1, head_dim=256, tokens=256, mlp_width=256, placement="post", activation="relu"
)
UNIT = Initialisation(
    sd_query=0.05,
    sd_key=0.05,
    sd_value=1 / 16,
    sd_output=1 / 16,
    sd_mlp_in=1 / 16,
    sd_mlp_gate=1 / 16,
    sd_mlp_out=1 / 16,
    p0=0.2,
)


def plain(**changes: object) -> Architecture:
    """PLAIN but for `changes`."""
    return replace(PLAIN, **changes)


def unit(**changes: object) -> Initialisation:
    """UNIT but for `changes`."""
    return replace(UNIT, **changes)


def read(architecture: Architecture, initialisation: Initialisation) -> Reading:
    """As if a configuration had said so."""
    return Reading(
        model_type="none",
        known=True,
        architecture=architecture,
        initialisation=initialisation,
        assumptions=failing_assumptions(architecture),
        missing=(),
        remarks=(),
    )
