"""A language model that is asked how probable given tokens are at given places."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from audit.models.inputs import model_inputs
from audit.models.loading import LoadedModel
from audit.models.passes import Watcher, run
from audit.probes.batching import batches
from audit.probes.windows import Window
from audit.skew.published.spelling import Spelling

Array = NDArray[np.float64]

LOGITS = 2**25  # computed at once: 128 MB in float32


class Ask(NamedTuple):
    """Token ids to feed, the positions whose logits are read, and the id whose probability is read at each."""

    ids: tuple[int, ...]
    places: tuple[int, ...]
    targets: tuple[int, ...]


Answer = Callable[[Sequence[Ask]], list[Array]]  # log probabilities of each ask, nats, [place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """What is to be known of a language model to ask it."""

    causal: bool  # else masked
    spelling: Spelling
    start: tuple[
        int, ...
    ]  # of a causal model: what a text begins with, be it the tokenizer's or an id for it
    mask: int  # of a masked model
    vocabulary: int
    answer: Answer

    def fits(self, ask: Ask) -> bool:
        """Whether the model has positions for it."""
        return self.spelling.fits(ask.ids)


def speaker(loaded: LoadedModel, spelling: Spelling) -> Speaker | str:
    """`loaded` as a language model, or why it cannot be asked."""
    if loaded.task not in ("causal", "masked"):
        return f"a model of the kind {loaded.task!r} does not predict words of a sentence"
    tokenizer, causal = spelling.tokenizer, loaded.task == "causal"
    mask = getattr(tokenizer, "mask_token_id", None)
    if not causal and mask is None:
        return "the tokenizer has no mask token"
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    start = spelling.frame.before or tuple(token for token in known if token is not None)[:1]
    if causal and not start:
        return "the tokenizer has no token that a text begins with"
    return Speaker(
        causal=causal,
        spelling=spelling,
        start=start,
        mask=-1 if mask is None else mask,
        vocabulary=int(loaded.config.get_text_config().vocab_size),
        answer=lambda asks: answers(loaded, asks),
    )


def answers(loaded: LoadedModel, asks: Sequence[Ask]) -> list[Array]:
    """What `loaded` says to each of `asks`, of about one length at a time; the same ask is answered once.

    Raises:
        UnusableInput, MachineFault: as any pass does.
    """
    found: dict[Ask, Array] = {}
    size = int(loaded.config.get_text_config().vocab_size)
    for together in _packed(sorted(set(asks), key=lambda ask: (len(ask.ids), ask)), size):
        found |= zip(together, _answered(loaded, together), strict=True)
    return [found[ask] for ask in asks]


def _packed(asks: Sequence[Ask], vocabulary: int) -> Iterator[list[Ask]]:
    rows: list[Ask] = []
    for ask in asks:
        if rows and (len(rows) + 1) * len(ask.ids) * vocabulary > LOGITS:
            yield rows
            rows = []
        rows.append(ask)
    if rows:
        yield rows


def _answered(loaded: LoadedModel, asks: Sequence[Ask]) -> list[Array]:
    windows = [Window(str(row), ask.ids, ask.ids) for row, ask in enumerate(asks)]
    batch = next(batches(windows, size=len(windows), pad_id=0, special_ids=()))
    logits = run(loaded.model, model_inputs(loaded.model, batch, every_logit=True), Watcher()).logits
    counts = [len(ask.places) for ask in asks]
    rows = torch.arange(len(asks)).repeat_interleave(torch.tensor(counts))
    places = torch.tensor([place for ask in asks for place in ask.places], dtype=torch.int64)
    targets = torch.tensor([target for ask in asks for target in ask.targets], device=logits.device)
    read = logits[rows, places].double().log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    return np.split(read.cpu().numpy(), np.cumsum(counts)[:-1])
