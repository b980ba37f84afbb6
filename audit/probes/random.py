"""The random probe: uniform token ids, a control without language; the only one that needs no tokenizer."""

from audit.definitions import Document, Probe

STREAMS = 1024


def documents() -> tuple[Document, ...]:
    """One document without text per stream of ids; the ids are drawn when the probe is fed."""
    return tuple(Document(id=f"stream-{index:04}", text=None) for index in range(STREAMS))


PROBE = Probe(
    name="random",
    title="Random tokens",
    summary="token ids drawn uniformly from the checkpoint's vocabulary, special tokens left out: a control",
    licence="none needed",
    documents=documents,
)
