"""What a tensor is on the way from queries and keys to the residual stream.

A label stands on a tensor's storage, so that views share it. Every result of an operator is labelled anew, which is
why the address of a storage is enough to know it by, even after it was freed and given to another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

PROJECTIONS = 2  # products between head outputs and update: W_O may be of low rank; more is another sublayer


@dataclass(frozen=True, slots=True)
class Computed:
    """Descends from a matrix product; `block` counts the blocks entered before."""

    block: int


@dataclass(frozen=True, slots=True)
class Repeated(Computed):
    """Keys or values of which each head was copied `times`, as grouped-query attention does."""

    times: int


@dataclass(frozen=True, slots=True)
class Scores(Computed):
    """Products of queries and keys on their way to the softmax."""

    query: Tensor  # [batch * head, query, head_dim]
    columns: Tensor  # the keys as the product took them, [batch * head, head_dim, key]
    times: int  # how often each key head was repeated
    scores: Tensor  # [..., query, key], as far as they have come
    closed: bool = False  # a column that is no key was joined to them


@dataclass(frozen=True, slots=True)
class Pattern(Computed):
    """Softmax of scores."""

    of: Scores


@dataclass(frozen=True, slots=True)
class Attended(Computed):
    """Descends from the head outputs of attention `number`, through so many matrix products."""

    number: int
    products: int = 0
    alone: Tensor | None = None  # where a parallel MLP's update was added to it: what it was before
    beside: Tensor | None = None  # and that update

    def may_be_projected(self, block: int) -> bool:
        """Whether a further product may be part of W_O: not that of a sum, which is a stream within the block."""
        return self.block == block and self.beside is None and self.products < PROJECTIONS


Label = Computed
_STRENGTH: dict[type[Label], int] = {Computed: 0, Repeated: 1, Scores: 2, Pattern: 3, Attended: 4}


class Labels:
    """The labels of all tensors that have one."""

    def __init__(self) -> None:
        self._by_storage: dict[int, Label] = {}
        self.block = 0

    def of(self, tensor: Tensor) -> Label | None:
        """The label of a tensor."""
        return self._by_storage.get(_storage(tensor))

    def fresh(self, tensor: Tensor) -> Label | None:
        """The label of a tensor that was computed in this block; None for the residual stream."""
        label = self.of(tensor)
        return label if label is not None and label.block == self.block else None

    def strongest(self, args: Any) -> Label | None:
        """The label that tells most among those of the tensors in `args`, the newest and then the furthest."""
        labels = [label for tensor in tensors(args) if (label := self.of(tensor)) is not None]
        return max(labels, key=lambda label: (label.block, _STRENGTH[type(label)]), default=None)

    def put(self, result: Any, label: Label | None) -> None:
        """Labels every tensor in `result` anew."""
        for tensor in tensors([result]):
            if label is None:
                self._by_storage.pop(_storage(tensor), None)
            else:
                self._by_storage[_storage(tensor)] = label

    def next_block(self) -> None:
        """What was computed so far is the stream, keys or values to what comes now; lets go of all tensors."""
        self._by_storage = {at: Computed(label.block) for at, label in self._by_storage.items()}
        self.block += 1

    def forget_scores(self) -> None:
        """Lets go of scores and what they were made of."""
        for at, label in self._by_storage.items():
            if isinstance(label, Scores | Pattern):
                self._by_storage[at] = Computed(label.block)


def tensors(values: Any) -> Iterator[Tensor]:
    """The tensors among `values` and in the lists among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors(value)


def repetitions(tensor: Tensor) -> int:
    """How often an expanded tensor repeats what it is a view of, samples not counted."""
    times = 1
    for size, stride in zip(tensor.shape[1:], tensor.stride()[1:], strict=True):
        times *= size if stride == 0 else 1
    return times


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
