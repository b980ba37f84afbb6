"""Reading shipped corpora and taking digests."""

import pytest

from audit.definitions import Document
from audit.errors import InternalFault
from audit.probes import corpus, prose


def test_a_corpus_that_is_not_the_recorded_one_is_a_fault_of_ours():
    """A damaged installation never feeds other texts under the same name."""
    with pytest.raises(InternalFault, match=r"corpus 'prose' is damaged: SHA-256 \w{12}, expected 0{12}"):
        corpus.read("prose", sha256="0" * 64)


def test_a_corpus_that_is_missing_is_a_fault_of_ours():
    """The line says what to do."""
    with pytest.raises(InternalFault, match="corpus 'verse' cannot be read .*install the package again"):
        corpus.read("verse", sha256=prose.DIGEST)


@pytest.mark.parametrize(
    "changed",
    [
        (Document(id="b", text="one"), Document(id="c", text="two")),
        (Document(id="a", text="one!"), Document(id="c", text="two")),
        (Document(id="c", text="two"), Document(id="a", text="one")),
        (Document(id="a", text="one"),),
        (Document(id="a", text=None), Document(id="c", text="two")),
    ],
)
def test_the_digest_changes_with_ids_texts_order_and_number(changed):
    """Whatever could change a number changes the digest."""
    documents = (Document(id="a", text="one"), Document(id="c", text="two"))

    assert corpus.digest(documents) != corpus.digest(changed)


def test_the_digest_is_fixed_for_all_time():
    """Another value here would make every stored audit a stranger to its probe."""
    documents = (Document(id="1", text="Grüße,\nWelt"), Document(id="2", text=None))

    assert corpus.digest(documents) == "8e5dc653dc8c01463077bbe1bcd9431341375929c91d7ada39ad56ac9d9a697e"
