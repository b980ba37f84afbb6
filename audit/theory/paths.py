"""A configuration sent through the map: as it is, by the paper's limit, without skips, and with its gap closed."""

from dataclasses import replace
from typing import NamedTuple

from audit.theory.architecture import Architecture, Initialisation
from audit.theory.knobs import Setting, setting
from audit.theory.propagation import Trajectory, propagate
from audit.theory.rows import Overlapping, infinite_rows


class Paths(NamedTuple):
    """One configuration under four maps."""

    architecture: Architecture
    initialisation: Initialisation
    setting: Setting
    overlaps: Overlapping
    finite: Trajectory
    infinite: Trajectory  # by the paper's T -> infinity map
    bare: Trajectory  # without skip connections
    centred: Trajectory  # with attention less its mean


def paths(architecture: Architecture, initialisation: Initialisation, overlaps: Overlapping) -> Paths:
    """The four of them."""
    base = setting(architecture, initialisation)
    unskipped = replace(architecture, skip_attention=0.0, skip_mlp=0.0)
    none = setting(unskipped, initialisation)
    return Paths(
        architecture,
        initialisation,
        base,
        overlaps,
        propagate(architecture, base.gains, base.first, overlaps),
        propagate(architecture, base.gains, base.first, infinite_rows(architecture)),
        propagate(unskipped, none.gains, none.first, overlaps),
        propagate(replace(architecture, centred=True), base.gains, base.first, overlaps),
    )
