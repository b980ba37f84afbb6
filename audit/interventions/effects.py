"""The loss of a language model, sample by sample: next token, masked tokens, or the text written again."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from audit.interventions.readings import Array, Objective, Question, Samples
from audit.interventions.representation import Representation
from audit.models.inputs import Fed, model_inputs, padded_behind
from audit.models.loading import LoadedModel
from audit.observations import Batch
from audit.statistics.bootstrap import by_document

MASKED_SHARE = 0.15  # of a sample's tokens, as BERT was trained; at least one
AT_ONCE = 2**22  # logits whose loss is taken together: 16 MB, for the holes that larger buffers leave add up
NATS, LOSS_SHARE = 0.01, 0.005  # per token, and of the loss: a harmless effect is within both
KNOWN = (
    10 * NATS
)  # what a model must know beyond chance: what is within a margin or two of it cannot get worse


class Prediction(NamedTuple):
    """What a pass is to predict: of the logits at position i, token i of `targets`, where it counts."""

    fed: Fed
    targets: Tensor  # int64 [batch, token]
    counted: Tensor  # bool [batch, token]


@dataclass(frozen=True, slots=True)
class Loss:
    """The mean loss per token; an effect is the mean over documents of how much it rises, in nats per token."""

    unit: ClassVar[str] = "nats per token"
    name: str
    predict: Callable[[Batch], Prediction]
    vocabulary: int

    def ask(self, batch: Batch) -> Question:
        """What to feed, and how the mean loss of each sample is read, [batch]."""
        asked = self.predict(batch)
        return Question(asked.fed, lambda output: _losses(output.logits, asked.targets, asked.counted))

    def differentiable(self, batch: Batch) -> tuple[Fed, Callable[[Any], Tensor]] | None:
        """What to feed for ONE sample, and its mean loss as a number autograd can follow; None where none counts."""
        asked = self.predict(batch)
        if not bool(asked.counted.any()):
            return None
        places = asked.counted[0].nonzero().flatten()
        return asked.fed, lambda output: _token_losses(output.logits, asked.targets, 0, places).mean()

    def level(self, samples: Samples) -> float:
        """The unchanged loss, in nats per token."""
        losses = _defined(by_document(samples.clean, samples.documents))
        return float(losses.mean()) if len(losses) else math.nan

    def unusable(self, samples: Samples) -> str | None:
        """A loss that is not finite or hardly better than chance is of no use: whatever is taken out costs nothing."""
        level, chance = self.level(samples), math.log(self.vocabulary)
        if not math.isfinite(level) or np.isinf(samples.clean).any():
            return f"the {self.name} of the unchanged model is not finite, or defined on no text"
        if level > chance - KNOWN:
            found = f"the {self.name} of {level:.2f} nats per token is not better than chance ({chance:.2f})"
            return found if level >= chance else f"{found} by {KNOWN:g}"
        return None

    def margin(self, samples: Samples) -> float:
        """0.01 nats per token and 0.5% of the loss, whichever is less."""
        return min(NATS, LOSS_SHARE * self.level(samples))

    def changes(self, samples: Samples, changed: Array) -> Array:
        """How much the loss rises on each document on which it is defined, [document]."""
        return _defined(by_document(changed - samples.clean, samples.documents))

    def as_change(self, effect: float) -> float:
        """The same number."""
        return effect

    def as_effect(self, change: float) -> float:
        """The same number."""
        return change


def objective(loaded: LoadedModel, *, seed: int) -> Objective | str:
    """How the cost of changing this model is measured, or why it cannot be; `seed` chooses what is masked."""
    vocabulary = int(loaded.config.get_text_config().vocab_size)
    if loaded.task == "encoder":
        return Representation(loaded.model)
    if loaded.task == "causal":
        return Loss("next-token loss", lambda batch: _next_token(loaded.model, batch), vocabulary)
    if loaded.task == "seq2seq":
        name = "teacher-forced loss of writing the text again"
        return Loss(name, lambda batch: _written_again(loaded.model, batch), vocabulary)
    mask = getattr(loaded.tokenizer, "mask_token_id", None)
    if mask is None:
        return "the tokenizer has no mask token, so that no token can be masked"
    name = f"loss on {MASKED_SHARE:.0%} masked tokens"
    return Loss(name, lambda batch: _masked(loaded.model, batch, mask=mask, seed=seed), vocabulary)


def _next_token(model: Any, batch: Batch) -> Prediction:
    """Every token but the first of a sample, which nothing precedes."""
    batch = padded_behind(batch)
    counted = (batch.tokens & ~batch.special)[:, 1:]
    return Prediction(model_inputs(model, batch, every_logit=True), batch.input_ids[:, 1:], counted)


def _written_again(model: Any, batch: Batch) -> Prediction:
    """Every token: position i of the decoder predicts token i."""
    batch = padded_behind(batch)
    fed = model_inputs(model, batch, every_logit=True)
    return Prediction(fed, batch.input_ids, batch.tokens & ~batch.special)


def _masked(model: Any, batch: Batch, *, mask: int, seed: int) -> Prediction:
    """A seeded choice of each sample's tokens, all of them hidden; the same in every pass, whatever the batch."""
    batch = padded_behind(batch)
    hidden = _chosen(batch, seed)
    masked = replace(batch, input_ids=batch.input_ids.masked_fill(hidden, mask))
    return Prediction(model_inputs(model, masked, every_logit=True), batch.input_ids, hidden)


def _chosen(batch: Batch, seed: int) -> Tensor:
    """The tokens to mask, bool [batch, token]."""
    chosen = torch.zeros_like(batch.tokens)
    for row, sample in enumerate(batch.samples):
        places = (batch.tokens & ~batch.special)[row].nonzero().flatten().numpy()
        count = min(len(places), max(1, round(MASKED_SHARE * len(places))))
        picked = np.random.default_rng((seed, sample)).choice(places, count, replace=False)
        chosen[row, torch.from_numpy(picked)] = True
    return chosen


def _losses(logits: Tensor, targets: Tensor, counted: Tensor) -> Array:
    """Mean cross entropy of each row over the tokens that count, [batch].

    NaN for a row where none counts; infinite where the loss is not finite.
    """
    means = np.full(len(logits), np.nan)
    at_once = max(1, AT_ONCE // logits.shape[-1])
    for row in torch.nonzero(counted.any(1)).flatten().tolist():
        parts = counted[row].nonzero().flatten().split(at_once)  # type: ignore[no-untyped-call]
        losses = torch.cat([_token_losses(logits, targets, row, some) for some in parts])
        mean = float(losses.double().mean())
        means[row] = mean if math.isfinite(mean) else math.inf
    return means


def _token_losses(logits: Tensor, targets: Tensor, row: int, places: Tensor) -> Tensor:
    """Cross entropy of one row at some of its tokens, [token]."""
    places = places.to(logits.device)
    wanted = targets[row].to(logits.device)[places]
    return cross_entropy(logits[row, places].float(), wanted, reduction="none")


def _defined(values: Array) -> Array:
    return values[~np.isnan(values)]
