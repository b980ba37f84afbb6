"""The random control."""

from audit.probes import random
from audit.probes.sampling import needs_tokenizer


def test_random_has_streams_without_text():
    """Each stream is a document of its own: a cluster of the statistics."""
    documents = random.PROBE.documents()

    assert len({document.id for document in documents}) == random.STREAMS >= 128
    assert all(document.text is None for document in documents)


def test_random_needs_no_tokenizer_and_belongs_to_no_depth():
    """It is fed when named, and takes the place of text where there is no tokenizer."""
    assert not needs_tokenizer(random.PROBE)
    assert random.PROBE.depths == ()
