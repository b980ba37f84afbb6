"""Attention between words, and what of it is compared between two groups of people."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from audit.observations import AttentionObservation
from audit.probes.sentences import Crossing

TINY = 1e-12
LEAST_ROWS = 3  # two points always correlate by one


class Words(NamedTuple):
    """One layer's attention between words."""

    pattern: (
        Tensor  # float32 [batch, head, word, word]: mean over the pieces of a row, sum over those of a key
    )
    visible: Tensor  # bool [batch, word, word]
    others: Tensor  # bool [batch, word], the words of the sentence but for the term
    term: Tensor  # int64 [batch]
    attribute: Tensor  # int64 [batch], -1 where there is none


class Quantity(NamedTuple):
    """Something of each sentence, layer and head: `read` gives [batch, head], NaN where it is not defined."""

    title: str
    read: Callable[[Words], Tensor]


class Divergence(NamedTuple):
    """Something of two sentences of one template: `compare` gives [pair, head] for two lists of rows, NaN where it is not defined."""

    title: str
    compare: Callable[[Words, Tensor, Tensor], Tensor]


def words_of(seen: AttentionObservation, crossing: Crossing) -> Words:
    """The pattern of one layer, pieces gathered into words."""
    pieces = crossing.words[..., None] == torch.arange(crossing.count)  # [batch, token, word]
    columns = pieces.float().to(seen.pattern.device)[:, None]
    rows = (columns / columns.sum(2, keepdim=True).clamp_min(1)).mT  # [batch, 1, word, token]
    others = crossing.ordinary.scatter(1, crossing.term[:, None], False)
    return Words(
        pattern=(rows @ torch.where(seen.visible, seen.pattern.float(), 0.0) @ columns).cpu(),
        visible=((rows @ seen.visible[:, :1].float() @ columns)[:, 0] > 0).cpu(),
        others=others,
        term=crossing.term,
        attribute=crossing.attribute,
    )


def received(words: Words) -> Tensor:
    """Mean mass that the rows of the other words give to the term."""
    rows = words.others & _column(words.visible[:, None], words.term)[:, 0]
    return _mean(_column(words.pattern, words.term), rows)


def received_from_attribute(words: Words) -> Tensor:
    """Mass that the attribute's row gives to the term."""
    column = _column(words.pattern, words.term)
    return _at(column, words.attribute, _column(words.visible[:, None], words.term)[:, 0])


def given(words: Words) -> Tensor:
    """Mass that the term's row gives to the other words."""
    keys = words.others & _row(words.visible[:, None], words.term)[:, 0]
    return _mean(_row(words.pattern, words.term), keys) * keys.sum(-1)[:, None]


def given_to_attribute(words: Words) -> Tensor:
    """Mass that the term's row gives to the attribute."""
    row = _row(words.pattern, words.term)
    return _at(row, words.attribute, _row(words.visible[:, None], words.term)[:, 0])


QUANTITIES: Mapping[str, Quantity] = {
    "received": Quantity("attention received from the sentence", received),
    "received_from_attribute": Quantity("attention received from the attribute", received_from_attribute),
    "given": Quantity("attention given to the sentence", given),
    "given_to_attribute": Quantity("attention given to the attribute", given_to_attribute),
}


def divergence(words: Words, one: Tensor, two: Tensor) -> Tensor:
    """Jensen-Shannon divergence of the rows of the other words, mean over rows, in nats.

    Source: Lin 1991, Divergence measures based on the Shannon entropy.
    """
    rows = words.pattern / words.pattern.sum(-1, keepdim=True).clamp_min(TINY)
    own = _entropy(rows)
    mixed = _entropy(rows.index_select(0, one).add_(rows.index_select(0, two)).div_(2))
    return _mean((mixed - (own[one] + own[two]) / 2).clamp_min(0.0), words.others[one])


def column_difference(words: Words, one: Tensor, two: Tensor) -> Tensor:
    """One minus the correlation of the columns of two terms over the other words; 0 is equal treatment.

    NaN where fewer than three words can look at the term.

    Source: Gaci et al. 2022, Debiasing pretrained text encoders by paying attention to paying attention (its bias
    score, between terms in the same sentence; here between sentences that differ in the term).
    """
    rows = (words.others & _column(words.visible[:, None], words.term)[:, 0])[:, None]
    columns = torch.where(rows, _column(words.pattern, words.term), 0.0)
    columns = torch.where(rows, columns - columns.sum(-1, keepdim=True) / rows.sum(-1, keepdim=True), 0.0)
    columns = columns / columns.norm(dim=-1, keepdim=True).clamp_min(TINY)
    alike: Tensor = (columns[one] * columns[two]).sum(-1)
    return torch.where(rows[one, 0].sum(-1, keepdim=True) >= LEAST_ROWS, 1.0 - alike, torch.nan)


DIVERGENCES: Mapping[str, Divergence] = {
    "divergence": Divergence("divergence of the pattern", divergence),
    "column_difference": Divergence("difference of who attends to the term", column_difference),
}


def _column(values: Tensor, of: Tensor) -> Tensor:
    """[batch, head, word] of [batch, head, word, word]."""
    return values.gather(-1, of[:, None, None, None].expand(*values.shape[:-1], 1))[..., 0]


def _row(values: Tensor, of: Tensor) -> Tensor:
    return _column(values.mT, of)


def _at(values: Tensor, where: Tensor, visible: Tensor) -> Tensor:
    """[batch, head] of [batch, head, word]; NaN where there is no such word or it is not visible."""
    place = where.clamp_min(0)[:, None]
    found = values.gather(-1, place[:, None].expand(*values.shape[:-1], 1))[..., 0]
    return torch.where((where >= 0)[:, None] & visible.gather(1, place), found, torch.nan)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the last axis where `mask` [batch, word] holds, [batch, head]; NaN where it holds nowhere."""
    mean: Tensor = torch.where(mask[:, None], values, 0.0).sum(-1) / mask.sum(-1)[:, None]
    return mean


def _entropy(rows: Tensor) -> Tensor:
    """Of the last axis; several times as fast as `xlogy`, which the largest tensors here would wait for."""
    entropy: Tensor = -rows.clamp_min(TINY).log_().mul_(rows).sum(-1)
    return entropy
