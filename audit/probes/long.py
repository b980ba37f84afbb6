"""The long probe: stretches of novels, for what only shows over thousands of tokens."""

from functools import partial

from audit.definitions import Probe
from audit.probes import corpus

DIGEST = "fb2628249a5ee4f503ffa38b6c40ea25459bd560918b129db300f54f1fb8383f"

PROBE = Probe(
    name="long",
    title="Long prose",
    summary="16 stretches of 6,000 to 6,500 words from the six novels of Jane Austen",
    licence="public domain",
    documents=partial(corpus.read, "long", sha256=DIGEST),
    depths=("full",),
    stretches=True,
)
