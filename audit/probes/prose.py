"""The prose probe: short essays on many subjects."""

from functools import partial

from audit.definitions import Probe
from audit.probes import corpus

DIGEST = "a29592619c9e223b4a8151ffb6a4bff700e29cac66e98c5e7418fda8f7f8ce8c"

PROBE = Probe(
    name="prose",
    title="Prose",
    summary="132 short English essays of 380 to 460 words on many subjects, written for this project",
    licence="Apache-2.0",
    documents=partial(corpus.read, "prose", sha256=DIGEST),
    depths=("quick", "standard", "full"),
)
