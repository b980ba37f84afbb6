"""Runs a model on a few random tokens and notes where and how it attends, block by block."""

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from audit.models.attention import by_head, is_whole, source_of
from audit.models.fused import MASKED, Fused
from audit.models.inputs import Fed, Positions, model_inputs, ordinary_ids
from audit.models.location import numbered
from audit.models.passes import Watcher, Way, run
from audit.models.tracing import Attention
from audit.observations import Batch
from audit.patterns import parts

FEW = 8  # rows and keys of a tile, so that there are several
ROWS, READ, WRITTEN = 2, 19, 17  # samples, and tokens of the encoder and the decoder: sizes nothing else has


@dataclass
class Attending:
    """One attention in the pass."""

    module: str
    name: str  # of the module, with the number of its run
    heads: int
    kv_heads: int
    queries: int
    keys: int
    whole: bool  # False where its softmax came in pieces
    path: Way
    causal: bool
    pattern: Tensor  # [batch, head, query, key] where it is whole
    head_outputs: Tensor  # [batch, query, head * value_dim]
    projection: nn.Module | None = None  # that multiplies the head outputs, side by side, with W_O


@dataclass
class Block:
    """One run of a block; its name is empty where a model attends outside of blocks."""

    name: str
    attentions: list[Attending] = field(default_factory=list)
    softmaxes: list[str] = field(default_factory=list)  # modules, once for each softmax over all keys


def blocks(model: PreTrainedModel, way: Way = "eager") -> list[Block]:
    """The blocks of `model` in order of execution, as they run in one of the ways.

    Raises:
        UnusableInput: the model fails on random tokens.
    """
    fed = few_tokens(model)
    notes = _Notes(fed)
    run(model, fed, notes, way=way, rows=FEW)
    return [block for block in notes.blocks if block.name or block.attentions or block.softmaxes]


def few_tokens(model: PreTrainedModel) -> Fed:
    """A short random batch; an encoder-decoder reads and writes different lengths, to tell its attentions apart."""
    ids = ordinary_ids(model)
    picked = torch.randint(len(ids), (ROWS, READ), generator=torch.Generator().manual_seed(0))
    tokens = torch.ones(ROWS, READ, dtype=torch.bool)
    batch = Batch(ids[picked], tokens, ~tokens, samples=tuple(range(ROWS)), documents=("",) * ROWS)
    fed = model_inputs(model, batch)
    written = {name: ids[:, :WRITTEN] for name, ids in fed.inputs.items() if name.startswith("decoder_")}
    decoder = Positions(*(mask[:, :WRITTEN] for mask in fed.decoder)) if written else fed.decoder
    return Fed({**fed.inputs, **written}, fed.encoder, decoder)


def _path(found: Attention) -> Way:
    if not isinstance(found.softmax, Fused):
        return "eager"
    return "tiles" if found.softmax.source.together else "fused"


def _pattern(found: Attention) -> Tensor:
    """The pattern as it is read, tile by tile."""
    source = source_of(found, ROWS)
    mask = source.mask(torch.ones(ROWS, source.shape[2], dtype=torch.bool, device=source.device))
    pattern = torch.zeros(source.shape, dtype=torch.float64, device=source.device)
    for part in parts(source, mask, keys=FEW):
        pattern[part] = source.tile(part, mask).pattern.double()
    return pattern


class _Notes(Watcher):
    """Fills in blocks as they run."""

    def __init__(self, fed: Fed) -> None:
        self.blocks = [Block("")]
        self._fed = fed
        self._times: Counter[str] = Counter()
        self._numbered: list[Attending] = []

    def entered(self, block: str) -> None:
        """A block to be filled."""
        self.blocks.append(Block(block))

    def left(self, _block: str, _output: object, _additions: object) -> None:
        """What comes now is outside of blocks."""
        self.blocks.append(Block(""))

    def softmaxed(self, result: Tensor, name: str) -> None:
        """Softmaxes over as many entries as there are tokens."""
        if result.shape[-1] in (READ, WRITTEN):
            self.blocks[-1].softmaxes.append(name)

    def attended(self, found: Attention, name: str) -> Tensor:
        """The attention as it is."""
        self._times[name] += 1
        rows, queries = ROWS, found.pattern.shape[-2]
        heads = by_head(found.pattern, rows).shape[1]
        whole = is_whole(found, self._fed)
        attending = Attending(
            module=name,
            name=numbered(name, self._times[name]),
            heads=heads,
            kv_heads=max(1, heads // found.repetitions),
            queries=queries,
            keys=found.pattern.shape[-1],
            whole=whole,
            path=_path(found),
            causal=whole and not bool((by_head(found.scores, rows) > MASKED).triu(1).any()),
            pattern=_pattern(found) if whole else found.pattern,
            head_outputs=by_head(found.output, rows).transpose(1, 2).reshape(rows, queries, -1),
        )
        self._numbered.append(attending)
        self.blocks[-1].attentions.append(attending)
        return found.output

    def projected(self, number: int, operand: Tensor, module: nn.Module) -> None:
        """The projection, where each number that enters it has the sign of the head output at its place.

        Gates and norms between the heads and W_O scale the entries but keep their order; what mixes heads does not.
        """
        attending = self._numbered[number]
        if attending.projection is None and operand.numel() == attending.head_outputs.numel():
            orders = (
                attending.head_outputs,
                attending.head_outputs.transpose(0, 1),
            )  # some families put time first
            if any(torch.equal(operand.reshape(order.shape).sign(), order.sign()) for order in orders):
                attending.projection = module
