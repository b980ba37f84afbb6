"""From a probe to what is fed."""

import dataclasses
import inspect

import pytest
import torch

from audit.definitions import Document, Probe
from audit.errors import UnusableInput
from audit.probes import code, corpus, long, prose, random, sampling
from audit.probes.sampling import WITHHELD, Feed, needs_tokenizer
from audit.results import Plan

pytestmark = pytest.mark.usefixtures("no_network")


def feed(
    probe: Probe, tokenizer, *, vocab_size=None, max_positions=None, special_ids=None, **options
) -> Feed:
    """Feeds with what the tokenizer says, where there is one."""
    return sampling.feed(
        probe,
        tokenizer=tokenizer,
        vocab_size=vocab_size or len(tokenizer),
        special_ids=tokenizer.all_special_ids if special_ids is None else special_ids,
        plan=Plan(**options),
        max_positions=max_positions,
        pad_id=0 if tokenizer is None else tokenizer.pad_token_id,
    )


def rows(fed: Feed) -> list[tuple[str, list[int]]]:
    """Document and token ids of every sample, without padding."""
    return [
        (document, ids[mask].tolist())
        for batch in fed.batches
        for document, ids, mask in zip(batch.documents, batch.input_ids, batch.tokens, strict=True)
    ]


@pytest.mark.parametrize("module", [prose, code, long, random], ids=lambda module: module.PROBE.name)
def test_every_built_in_probe_is_fed_as_the_plan_says(encoder_tokenizer, module):
    """32 samples of 128 tokens in batches of 8, with [CLS] first and [SEP] last around text."""
    fed = feed(module.PROBE, encoder_tokenizer)

    assert (fed.samples, fed.tokens, len(fed.batches), fed.remark) == (32, 32 * 128, 4, None)
    assert fed.name == module.PROBE.name
    assert fed.documents == min(32, len(module.PROBE.documents()))
    assert fed.digest == corpus.digest(module.PROBE.documents())
    for batch in fed.batches:
        ends = batch.special[:, [0, -1]]
        assert ends.all() if module is not random else not batch.special.any()


def test_the_same_seed_feeds_the_same_and_another_seed_feeds_other_documents(chat_tokenizer):
    """Choice and order are the seed's; the digest of the probe is not."""
    first, again, other = (feed(prose.PROBE, chat_tokenizer, seed=seed) for seed in (0, 0, 1))

    assert rows(first) == rows(again)
    assert rows(first) != rows(other)
    assert {document for document, _ in rows(first)} != {document for document, _ in rows(other)}
    assert first.digest == other.digest


def test_probes_of_other_content_are_drawn_in_another_order(word_tokenizer, words_probe):
    """The probe's digest enters the seed: two probes are not sampled in step."""
    one, two = (feed(words_probe(*([size] * 40)), word_tokenizer) for size in (20, 21))

    assert [document for document, _ in rows(one)] != [document for document, _ in rows(two)]


@pytest.mark.parametrize("module", [prose, random], ids=lambda module: module.PROBE.name)
def test_the_batch_size_changes_the_batches_and_nothing_else(encoder_tokenizer, module):
    """The contract promises the same measurements at any batch size; that begins with the same samples."""
    by_size = {size: feed(module.PROBE, encoder_tokenizer, batch_size=size, samples=10) for size in (1, 3, 8)}

    assert rows(by_size[1]) == rows(by_size[3]) == rows(by_size[8])
    assert [len(fed.batches) for fed in by_size.values()] == [10, 4, 2]
    for fed in by_size.values():
        assert tuple(range(10)) == tuple(sample for batch in fed.batches for sample in batch.samples)


@pytest.mark.parametrize("module", [prose, random], ids=lambda module: module.PROBE.name)
def test_more_samples_only_append(encoder_tokenizer, module):
    """Asking for more never takes back what was measured."""
    few, many = (feed(module.PROBE, encoder_tokenizer, samples=samples) for samples in (5, 40))

    assert rows(few) == rows(many)[:5]


def test_windows_of_one_document_stay_one_cluster(chat_tokenizer):
    """16 documents give 40 samples: two of each, and a third of eight; none is the same text."""
    fed = feed(long.PROBE, chat_tokenizer, samples=40)
    names = [document for document, _ in rows(fed)]

    assert fed.documents == 16
    assert (
        sorted(names[:16])
        == sorted(names[16:32])
        == sorted(document.id for document in long.PROBE.documents())
    )
    assert names[:8] == names[16:24] == names[32:]
    assert len({tuple(ids) for _, ids in rows(fed)}) == 40


def test_passages_of_one_document_are_one_cluster(word_tokenizer):
    """Rows with the same document id share a stream; the second passage comes in a later round."""
    texts = [("a", 30), ("b", 40), ("a", 50)]
    documents = tuple(
        Document(id=name, text=" ".join(f"w{size}" for _ in range(size))) for name, size in texts
    )
    probe = Probe(name="p", title="", summary="", licence="", documents=lambda: documents)

    fed = feed(probe, word_tokenizer, max_length=64)

    assert (fed.samples, fed.documents) == (3, 2)
    assert {"a", "b"} == {document for document, _ in rows(fed)[:2]}
    assert ("a", [word_tokenizer.convert_tokens_to_ids("w50")] * 50) == rows(fed)[2]


def test_short_windows_are_left_out_and_said(word_tokenizer, words_probe):
    """16 tokens are enough, 15 are not."""
    fed = feed(words_probe(16, 15, 128 + 15, 30), word_tokenizer)

    assert {document: len(ids) for document, ids in rows(fed)} == {"d0": 16, "d2": 128, "d3": 30}
    assert fed.remark == "left out, shorter than 16 tokens: 2; 3 of 32 samples: the probe has no more text"


def test_fewer_windows_than_asked_for_is_said(word_tokenizer, words_probe):
    """And enough is not remarked on."""
    probe = words_probe(20, 20, 20)

    assert feed(probe, word_tokenizer, samples=3).remark is None
    assert feed(probe, word_tokenizer, samples=4).remark == "3 of 4 samples: the probe has no more text"


def test_a_probe_without_one_long_window_is_refused(word_tokenizer, words_probe):
    """An audit of nothing is not begun."""
    with pytest.raises(UnusableInput, match="probe 'words' gives no window of 16 tokens or more"):
        feed(words_probe(15, 3), word_tokenizer)


def test_windows_end_where_the_models_positions_end(encoder_tokenizer):
    """A longer window would fail in the model or wrap around silently."""
    fed = feed(prose.PROBE, encoder_tokenizer, max_length=600, max_positions=512)

    assert max(len(ids) for _, ids in rows(fed)) == 512
    assert fed.remark.startswith("windows of 512 tokens instead of 600: the model has no more positions")


def test_special_tokens_count_towards_the_length(encoder_tokenizer):
    """16 tokens with [CLS] and [SEP] leave 14 for text, and that is accepted."""
    fed = feed(prose.PROBE, encoder_tokenizer, max_length=16)

    assert {16} == {len(ids) for _, ids in rows(fed)}
    assert {2} == {int(row.sum()) for batch in fed.batches for row in batch.special}


@pytest.mark.parametrize("module", [prose, random], ids=lambda module: module.PROBE.name)
def test_windows_too_short_to_say_anything_are_refused(encoder_tokenizer, module):
    """With the length to ask for."""
    with pytest.raises(
        UnusableInput, match="windows of 15 tokens are too short.*it takes 16, of --max-length"
    ):
        feed(module.PROBE, encoder_tokenizer, max_length=15)


def test_an_unknown_word_is_text_and_not_a_special_token(encoder_tokenizer):
    """A sink on [UNK] is a sink on text."""
    text = "snow " * 20 + "\N{SNOWMAN} " * 20
    probe = Probe(
        name="p", title="", summary="", licence="", documents=lambda: (Document(id="d", text=text),)
    )

    (batch,) = feed(probe, encoder_tokenizer).batches

    assert (batch.input_ids == encoder_tokenizer.unk_token_id).sum() == 20
    assert batch.special.sum() == 2


def test_an_unknown_token_that_also_begins_a_text_is_special(word_tokenizer, words_probe):
    """GPT-2 has one token for all purposes."""
    word_tokenizer.bos_token = "[UNK]"
    probe = words_probe(20)
    documents = (dataclasses.replace(probe.documents()[0], text="novel " * 20),)

    (batch,) = feed(dataclasses.replace(probe, documents=lambda: documents), word_tokenizer).batches

    assert batch.special.all()


def test_a_tokenizer_of_another_model_is_refused(encoder_tokenizer):
    """An id beyond the embedding would be an index error deep in the model."""
    with pytest.raises(
        UnusableInput, match=r"probe 'prose': the tokenizer gives id \d+ and the model's vocabulary has 1000"
    ):
        feed(prose.PROBE, encoder_tokenizer, vocab_size=1000)


def test_text_without_a_tokenizer_is_refused_and_says_what_can_be_fed():
    """Whoever asked for it by name has to know."""
    assert needs_tokenizer(prose.PROBE)
    with pytest.raises(
        UnusableInput, match="'prose' is text and the checkpoint has no tokenizer; use --probe random"
    ):
        feed(prose.PROBE, None, vocab_size=100, special_ids=())


def test_random_tokens_need_no_tokenizer():
    """Ids below the vocabulary's size, special ones left out, one stream per sample."""
    fed = feed(random.PROBE, None, vocab_size=50, special_ids=(0, 1, 49), samples=64)
    drawn = {token for _, ids in rows(fed) for token in ids}

    assert drawn == set(range(2, 49))
    assert (fed.samples, fed.documents, fed.tokens, fed.remark) == (64, 64, 64 * 128, None)
    assert fed.texts[0].startswith("ids ")


def test_random_tokens_keep_to_the_vocabulary_inside_a_padded_embedding(word_tokenizer):
    """Rows beyond the tokenizer's last id were never trained."""
    fed = feed(random.PROBE, word_tokenizer, vocab_size=4096, samples=8)

    assert max(max(ids) for _, ids in rows(fed)) < len(word_tokenizer)


def test_random_tokens_hold_no_control_token_of_the_tokenizer(chat_tokenizer):
    """SmolLM2 declares 17, of which only three have a role; 8,192 draws from 32 ids would show them."""
    fed = feed(random.PROBE, chat_tokenizer, vocab_size=32, samples=64)

    assert {token for _, ids in rows(fed) for token in ids} == set(range(17, 32))


def test_a_vocabulary_of_special_tokens_only_is_refused():
    """Nothing could be drawn."""
    with pytest.raises(UnusableInput, match="vocabulary of 3 ids, all of them special"):
        feed(random.PROBE, None, vocab_size=3, special_ids=(0, 1, 2))


def test_chat_puts_every_window_into_one_user_message_and_says_so(chat_tokenizer):
    """Second windows too; the length holds with the template in it."""
    fed = feed(long.PROBE, chat_tokenizer, samples=20, max_length=96, chat=True)

    for _, ids in rows(fed):
        text = chat_tokenizer.decode(ids)
        assert text.startswith("<|im_start|>system\nYou are")
        assert text.count("<|im_start|>user\n") == 1
        assert text.endswith("<|im_end|>\n")
        assert len(ids) == 96
    assert fed.remark == "each window is one user message in the tokenizer's chat template (26 tokens added)"


def test_in_a_chat_the_control_tokens_are_special_and_the_words_are_not(chat_tokenizer):
    """Two openings and two endings in SmolLM2's template; its system prompt is text to the model."""
    fed = feed(prose.PROBE, chat_tokenizer, chat=True)

    assert {4} == {int(row.sum()) for batch in fed.batches for row in batch.special}


def test_a_chat_template_that_fills_the_window_is_refused(chat_tokenizer):
    """16 tokens of the text itself are the least."""
    assert feed(prose.PROBE, chat_tokenizer, chat=True, max_length=42).samples == 32
    with pytest.raises(UnusableInput, match="26 of them are added by the chat template; it takes 42,"):
        feed(prose.PROBE, chat_tokenizer, chat=True, max_length=41)


def test_chat_leaves_random_tokens_as_they_are(chat_tokenizer):
    """There is no message to send."""
    plain, chat = (feed(random.PROBE, chat_tokenizer, chat=chat) for chat in (False, True))

    assert rows(plain) == rows(chat)
    assert (plain.remark, chat.remark) == (None, sampling.NO_CHAT)


def test_the_date_a_template_writes_is_remarked_on(chat_tokenizer, monkeypatch):
    """The reader sees that it was held."""
    template = "{{ strftime_now('%Y') }}<|im_start|>{{ messages[0]['content'] }}<|im_end|>"
    monkeypatch.setattr(chat_tokenizer, "chat_template", template)

    assert "its date held at 2025-01-01" in feed(prose.PROBE, chat_tokenizer, chat=True).remark


def test_excerpts_are_the_beginning_of_each_samples_own_text(chat_tokenizer):
    """Without the template, cut at a readable length."""
    fed = feed(prose.PROBE, chat_tokenizer, chat=True)
    texts = {document.id: document.text for document in prose.PROBE.documents()}

    for (document, _), text in zip(rows(fed), fed.texts, strict=True):
        assert len(text) <= sampling.EXCERPT + 3
        assert texts[document].startswith(text.removesuffix("..."))


def test_a_private_text_is_withheld_unless_asked_for(word_tokenizer, words_probe):
    """One excerpt per sample either way; nothing else in the feed is text."""
    probe = words_probe(20, 20, private=True)

    assert feed(probe, word_tokenizer).texts == (WITHHELD, WITHHELD)
    assert all(text.startswith("w") for text in feed(probe, word_tokenizer, show_text=True).texts)


def test_the_signature_is_what_the_audit_calls():
    """Keyword-only beyond the probe."""
    parameters = inspect.signature(sampling.feed).parameters

    assert list(parameters) == [
        "probe",
        "tokenizer",
        "vocab_size",
        "special_ids",
        "plan",
        "max_positions",
        "pad_id",
        "heads",
    ]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in list(parameters.values())[1:])


def test_padding_is_as_long_as_the_longest_of_its_batch(word_tokenizer, words_probe):
    """True tokens stand left of it and their number is the window's."""
    fed = feed(words_probe(20, 50, 30, 40), word_tokenizer, batch_size=2)

    for batch in fed.batches:
        lengths = batch.tokens.sum(1)
        assert batch.input_ids.shape[1] == lengths.max()
        assert torch.equal(batch.tokens, torch.arange(batch.tokens.shape[1]) < lengths[:, None])
