"""Models, texts and findings to take things out of, for the tests of this folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from audit import catalog
from audit.checkpoint.opening import open_checkpoint
from audit.interventions.ablation import Cut, Means
from audit.interventions.prefix import Clean, clean_pass, resumed
from audit.interventions.readings import Array, Question, Samples
from audit.models.coverage import survey
from audit.models.inputs import Fed, model_inputs, ordinary_ids
from audit.models.loading import LoadedModel, load_model
from audit.observations import Batch
from audit.probes.sampling import Feed, feed
from audit.results import Confirmation, Finding, Plan
from audit.results.subject import LayerCoverage, Subject
from tests.architectures import Task, tiny_model

FAMILIES: list[tuple[str, Task]] = [
    ("albert", "masked"),
    ("bart", "seq2seq"),
    ("bert", "masked"),
    ("falcon", "causal"),
    ("gemma2", "causal"),
    ("gpt2", "causal"),
    ("gpt_neox", "causal"),
    ("gptj", "causal"),
    ("llama", "causal"),
    ("qwen3_next", "causal"),
    ("t5", "seq2seq"),
]


class Texts(NamedTuple):
    """Batches of one name."""

    name: str
    batches: tuple[Batch, ...]


@dataclass(frozen=True)
class Subjects:
    """A model, its layers and one batch."""

    model: Any
    layers: tuple[LayerCoverage, ...]
    batch: Batch
    fed: Fed

    def clean(self) -> Clean:
        """An unchanged pass that keeps everything."""
        return clean_pass(self.model, self.fed, layers=self.layers, keep=None)

    def logits(self, cut: Cut = (), *, start: int = 0, means: Means | None = None) -> Tensor:
        """Logits of the pass with `cut`, on the real tokens."""
        return self.read(resumed(self.model, self.fed, self.clean(), cut, start=start, means=means or {}))

    def read(self, output: Any) -> Tensor:
        """Logits where there are tokens, [token, vocabulary]."""
        logits: Tensor = output["logits"]
        return logits[self.batch.tokens]


@cache
def tiny(model_type: str, task: Task) -> Subjects:
    """A tiny random model, which no test may leave changed, with a batch of two rows, the first padded."""
    model = tiny_model(model_type, task)
    batch = random_batches(model, samples=2, length=13).batches[0]
    return Subjects(model, survey(model), batch, model_inputs(model, batch, every_logit=True))


def random_batches(model: Any, *, samples: int, length: int, size: int = 8, name: str = "noise") -> Texts:
    """Samples of random tokens, each a document; the first of a batch is three tokens shorter."""
    ids = ordinary_ids(model)
    picked = ids[torch.randint(len(ids), (samples, length), generator=torch.Generator().manual_seed(1))]
    batches = []
    for start in range(0, samples, size):
        part = picked[start : start + size]
        tokens = torch.ones_like(part, dtype=torch.bool)
        tokens[0, length - 3 :] = False
        numbers = tuple(range(start, start + len(part)))
        batches.append(Batch(part, tokens, torch.zeros_like(tokens), numbers, tuple(map(str, numbers))))
    return Texts(name, tuple(batches))


def counting_model() -> Any:
    """A tiny Llama that knows one thing, that token n + 1 follows n, by its embeddings alone: no block has a part in it."""
    model = tiny_model("llama", "causal")
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(generator=torch.Generator().manual_seed(0))
        model.lm_head.weight[1:] = 0.1 * model.model.embed_tokens.weight[:-1]
        for block in model.model.layers:
            block.self_attn.o_proj.weight.mul_(0.1)
            block.mlp.down_proj.weight.mul_(0.1)
    return model


def counting_texts(*, samples: int, length: int = 12, name: str = "numbers", seed: int = 0) -> Texts:
    """Tokens that count upwards, with a slip now and then; each sample is a document."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(10, 100, (samples, 1), generator=draw) + torch.arange(length)
    slips = torch.rand(ids.shape, generator=draw) < 0.1
    ids = torch.where(slips, torch.randint(10, 120, ids.shape, generator=draw), ids)
    tokens = torch.ones_like(ids, dtype=torch.bool)
    names = tuple(f"{seed}-{row}" for row in range(samples))
    return Texts(name, (Batch(ids, tokens, ~tokens, tuple(range(samples)), names),))


def loaded(model: Any, task: Any, *, tokenizer: Any = None) -> LoadedModel:
    """A model as if it came from a checkpoint."""
    subject = Subject(
        digest="0" * 64,
        model_type=model.config.model_type,
        architecture=type(model).__name__,
        task=task,
        parameters=sum(p.numel() for p in model.parameters()),
        blocks=2,
        heads=4,
        kv_heads=2,
        files=(),
    )
    return LoadedModel(model=model, tokenizer=tokenizer, task=task, config=model.config, subject=subject)


@cache
def opened(folder: Path) -> LoadedModel:
    """A real checkpoint, which no test may leave changed."""
    return load_model(open_checkpoint(folder))


def text(loaded_model: LoadedModel, *, probe: str = "prose", samples: int = 16, length: int = 32) -> Feed:
    """Windows of one of the package's probes."""
    tokenizer, config = loaded_model.tokenizer, loaded_model.config
    return feed(
        catalog.probes()[probe],
        tokenizer=tokenizer,
        vocab_size=config.vocab_size,
        special_ids=tuple(tokenizer.all_special_ids),
        plan=Plan(samples=samples, max_length=length),
        max_positions=None,
        pad_id=tokenizer.pad_token_id or 0,
    )


def finding(rule: str, layer: int, head: int | None = None, *, absolute: bool = False) -> Finding:
    """A finding that waits to be confirmed."""
    return Finding(
        id=f"{rule}-{layer}" if head is None else f"{rule}-{layer}-{head}",
        rule=rule,
        severity="watch",
        layer=layer,
        head=head,
        cause="",
        statement="",
        evidence=(),
        confirmation=Confirmation(status="absolute" if absolute else "not_attempted", reason=""),
        mitigation="",
        remedy=None,
        references=(),
        limits="",
        reproduce="",
    )


@contextmanager
def changed(*tensors: Tensor) -> Iterator[None]:
    """Weights that may be changed within, and are as before afterwards."""
    before = [tensor.clone() for tensor in tensors]
    try:
        with torch.no_grad():
            yield
    finally:
        with torch.no_grad():
            for tensor, kept in zip(tensors, before, strict=True):
                tensor.copy_(kept)


class Additive:
    """An objective whose readings are given: the effect is the mean difference."""

    name, unit = "reading", "units"

    def __init__(self, margin: float = 1.0, *, read: Callable[[Any], Array] | None = None) -> None:
        self._margin, self._read = margin, read
        self.model: Any = None

    def ask(self, batch: Batch) -> Question:
        assert self._read is not None
        return Question(model_inputs(self.model, batch, every_logit=True), self._read)

    def level(self, samples: Samples) -> float:
        return float(samples.clean.mean())

    def unusable(self, samples: Samples) -> str | None:
        return None if np.isfinite(samples.clean).all() else "broken"

    def margin(self, _samples: Samples) -> float:
        return self._margin

    def changes(self, samples: Samples, changed: Array) -> Array:
        difference: Array = changed - samples.clean
        return difference

    def as_change(self, effect: float) -> float:
        return effect

    def as_effect(self, change: float) -> float:
        return change


def samples_of(clean: Sequence[float], *, probes: Sequence[str] | None = None) -> Samples:
    """Readings of one document each."""
    count = len(clean)
    return Samples(np.array(clean, float), tuple(map(str, range(count))), tuple(probes or ["prose"] * count))


def projections(model: nn.Module, ending: str) -> list[nn.Module]:
    """The modules whose names end so, in order."""
    return [module for name, module in model.named_modules() if name.endswith(ending)]
