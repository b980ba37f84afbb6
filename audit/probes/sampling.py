"""Turns a probe into what is fed: a seeded choice of windows of its documents, in fixed batches."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from audit.definitions import Document, Probe
from audit.errors import UnusableInput
from audit.observations import Batch
from audit.probes.batching import batches
from audit.probes.corpus import digest
from audit.probes.sources import Source, random_source, text_source
from audit.probes.stretching import Cut, stretched
from audit.probes.windows import Deal, Window, deal
from audit.results import Plan

NO_CHAT = "random token ids are no message: they go through no chat template"
EXCERPT = 240  # characters
WITHHELD = "(text withheld: the probe is private; --show-text shows it)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A probe as it is really fed."""

    name: str
    private: bool  # a user's own text
    digest: str  # of the probe's documents: sampling, tokenizer and chat do not enter
    batches: tuple[Batch, ...]
    samples: int
    documents: int  # distinct ones among the samples: the clusters
    tokens: int  # without padding
    remark: str | None
    texts: tuple[str, ...]  # the beginning of each sample's own text, for exhibits


def needs_tokenizer(probe: Probe) -> bool:
    """Whether the probe has text; only token streams such as `random` can be fed without a tokenizer."""
    return _has_text(probe.documents())


def feed(
    probe: Probe,
    *,
    tokenizer: PreTrainedTokenizerBase | None,
    vocab_size: int,
    special_ids: Collection[int],
    plan: Plan,
    max_positions: int | None,
    pad_id: int,
    heads: int | None = None,
) -> Feed:
    """The probe's samples in batches: `plan.samples` windows of at most `plan.max_length` tokens.

    Windows of a probe for long context are longer on a model whose number of `heads`, in all layers, is given.
    Documents are permuted by the plan's seed and the probe's digest; each gives its first window before any gives
    its second. The same seed chooses the same windows whatever the batch size, and more samples only append.

    Raises:
        UnusableInput: no tokenizer for a text, no window long enough, no room beside the special tokens, no chat
            template where one was asked for, or token ids the model's vocabulary does not have.
    """
    documents = probe.documents()
    seal = digest(documents)
    cut = stretched(probe, plan, heads=heads, max_positions=max_positions)
    source = _source(
        probe.name,
        documents,
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        special_ids=frozenset(special_ids) | _control_ids(tokenizer),
        length=cut.length,
        chat=plan.chat,
        entropy=(plan.seed, int(seal[:16], 16)),
    )
    dealt = deal(source.streams, plan.samples, shortest=source.shortest)
    _check(probe.name, dealt.windows, vocab_size, source.shortest)
    made = batches(dealt.windows, size=cut.batch_size, pad_id=pad_id, special_ids=source.special_ids)
    return Feed(
        name=probe.name,
        private=probe.private,
        digest=seal,
        batches=tuple(made),
        samples=len(dealt.windows),
        documents=len({window.document for window in dealt.windows}),
        tokens=sum(len(window.ids) for window in dealt.windows),
        remark=_remark(source, dealt, plan, cut),
        texts=_texts(probe, dealt.windows, tokenizer, plan),
    )


def _has_text(documents: Sequence[Document]) -> bool:
    return any(document.text is not None for document in documents)


def _control_ids(tokenizer: PreTrainedTokenizerBase | None) -> frozenset[int]:
    """Ids of all tokens the tokenizer declares special, those without a role of their own included."""
    known = {} if tokenizer is None else tokenizer.added_tokens_decoder
    return frozenset(index for index, token in known.items() if token.special)


def _source(
    name: str,
    documents: Sequence[Document],
    *,
    tokenizer: PreTrainedTokenizerBase | None,
    vocab_size: int,
    special_ids: Collection[int],
    length: int,
    chat: bool,
    entropy: Sequence[int],
) -> Source:
    if not _has_text(documents):
        # Embeddings are often padded beyond the vocabulary; the ids up there were never trained.
        known = vocab_size if tokenizer is None else min(vocab_size, len(tokenizer))
        source = random_source(
            documents, vocab_size=known, special_ids=special_ids, length=length, entropy=entropy
        )
        return source._replace(remark=NO_CHAT) if chat else source
    if tokenizer is None:
        raise UnusableInput(f"probe {name!r} is text and the checkpoint has no tokenizer; use --probe random")
    return text_source(
        documents, tokenizer=tokenizer, special_ids=special_ids, length=length, chat=chat, entropy=entropy
    )


def _check(name: str, windows: Sequence[Window], vocab_size: int, shortest: int) -> None:
    if not windows:
        raise UnusableInput(f"probe {name!r} gives no window of {shortest} tokens or more; give longer texts")
    largest = max(max(window.ids) for window in windows)
    if largest >= vocab_size:
        raise UnusableInput(
            f"probe {name!r}: the tokenizer gives id {largest} and the model's vocabulary has {vocab_size}; the "
            "checkpoint's tokenizer belongs to another model"
        )


def _remark(source: Source, dealt: Deal, plan: Plan, cut: Cut) -> str | None:
    remarks = [remark for remark in (source.remark, cut.remark) if remark]
    if cut.length < plan.max_length:
        remarks.append(
            f"windows of {cut.length} tokens instead of {plan.max_length}: the model has no more positions"
        )
    if dealt.too_short:
        remarks.append(f"left out, shorter than {source.shortest} tokens: {dealt.too_short}")
    if len(dealt.windows) < plan.samples:
        remarks.append(f"{len(dealt.windows)} of {plan.samples} samples: the probe has no more text")
    return "; ".join(remarks) or None


def _texts(
    probe: Probe, windows: Sequence[Window], tokenizer: PreTrainedTokenizerBase | None, plan: Plan
) -> tuple[str, ...]:
    if probe.private and not plan.show_text:
        return (WITHHELD,) * len(windows)
    return tuple(_excerpt(window, tokenizer) for window in windows)


def _excerpt(window: Window, tokenizer: PreTrainedTokenizerBase | None) -> str:
    if tokenizer is None:
        text = f"ids {' '.join(map(str, window.text))}"
    else:
        text = str(tokenizer.decode(list(window.text), clean_up_tokenization_spaces=False))
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}..."
