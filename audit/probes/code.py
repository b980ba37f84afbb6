"""The code probe: functions and classes of many modules, most of them Python."""

from functools import partial

from audit.definitions import Probe
from audit.probes import corpus

DIGEST = "8a10e9b98e0379bb3e6325596a924e93b20c4bc14b6cdaf19725c825eb40d3f0"

PROBE = Probe(
    name="code",
    title="Source code",
    summary="161 excerpts of 46 to 90 lines: the Python 3.11 standard library, its C headers, 14 other languages",
    licence="PSF-2.0 and Apache-2.0",
    documents=partial(corpus.read, "code", sha256=DIGEST),
    depths=("standard", "full"),
)
