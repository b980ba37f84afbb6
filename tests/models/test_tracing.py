"""Attention is found by what is computed, however it is spelt."""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from audit.models.tracing import Addition, Attention, Tracer

ROWS, HEADS, TOKENS, SIZE = 2, 3, 7, 4
WIDTH = HEADS * SIZE


class Traced(NamedTuple):
    """What a tracer found while something ran."""

    attentions: list[Attention]
    projections: list[tuple[int, Tensor]]
    softmaxes: list[Tensor]
    additions: list[Addition]
    result: Any


def traced(compute: Callable[[], Any], *, changed: Callable[[Attention], Tensor] | None = None) -> Traced:
    attentions: list[Attention] = []
    projections: list[tuple[int, Tensor]] = []
    softmaxes: list[Tensor] = []

    def attended(found: Attention) -> Tensor:
        attentions.append(found)
        return changed(found) if changed else found.output

    tracer = Tracer(
        on_attention=attended,
        on_projection=lambda number, operand: projections.append((number, operand)),
        on_softmax=softmaxes.append,
        on_addition=lambda _: None,
    )
    tracer.next_block()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), tracer:
        result = compute()
    return Traced(attentions, projections, softmaxes, tracer.additions, result)


@pytest.fixture
def stream() -> Tensor:
    return torch.randn(ROWS, TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(WIDTH, WIDTH)


def heads(x: Tensor) -> Tensor:
    return x.view(ROWS, TOKENS, -1, SIZE).transpose(1, 2)


def matmul(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.matmul(F.softmax(torch.matmul(q, k.transpose(2, 3)) * 0.5, dim=-1), v)


def einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    pattern = torch.einsum("bhid,bhjd->bhij", q, k).mul(0.5).softmax(-1)
    return torch.einsum("bhij,bhjd->bhid", pattern, v)


def flattened(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.reshape(-1, TOKENS, SIZE) for x in (q, k, v))
    pattern = torch.softmax(torch.bmm(q, k.mT) * 0.5, dim=-1)
    return torch.bmm(pattern, v).view(ROWS, HEADS, TOKENS, SIZE)


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("attend", [matmul, einsum, flattened, fused])
def test_every_spelling_is_found(attend: Callable[..., Tensor], stream: Tensor, linear: nn.Linear) -> None:
    """Once, with its pattern, its values and its output."""
    found = traced(lambda: attend(heads(linear(stream)), heads(linear(stream * 2)), heads(linear(-stream))))

    (attention,) = found.attentions
    assert len(found.softmaxes) == 1
    values = heads(linear(-stream)).reshape(-1, TOKENS, SIZE)
    scores = heads(linear(stream)) @ heads(linear(stream * 2)).mT * 0.5
    expected = scores.softmax(-1).reshape(-1, TOKENS, TOKENS)
    torch.testing.assert_close(expected, attention.pattern)
    torch.testing.assert_close(values, attention.value)
    torch.testing.assert_close(expected @ values, attention.output)
    torch.testing.assert_close(scores, attention.scores.view_as(scores))


def test_a_module_of_pytorch_is_found(stream: Tensor) -> None:
    """`nn.MultiheadAttention`, which hides all of it."""
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    found = traced(lambda: module(stream, stream, stream))

    assert [attention.pattern.shape for attention in found.attentions] == [(ROWS * HEADS, TOKENS, TOKENS)]


def test_a_router_is_not_attention(stream: Tensor) -> None:
    """A softmax over experts is one over products with weights, whatever is done with it."""
    router, experts = nn.Linear(WIDTH, TOKENS), torch.randn(TOKENS, WIDTH)

    found = traced(lambda: torch.matmul(router(stream).softmax(-1), experts))

    assert len(found.softmaxes) == 1
    assert not found.attentions


def test_attention_without_softmax_is_not_attention(stream: Tensor, linear: nn.Linear) -> None:
    """Linear attention has products of queries, keys and values, too."""
    q, k, v = (lambda: heads(linear(stream)) for _ in range(3))

    assert not traced(lambda: (q() @ k().mT).relu() @ v()).attentions


def test_keys_of_an_earlier_block_are_keys(stream: Tensor, linear: nn.Linear) -> None:
    """Some families share them between blocks."""
    attentions: list[Attention] = []

    def attended(found: Attention) -> Tensor:
        attentions.append(found)
        return found.output

    tracer = Tracer(
        on_attention=attended,
        on_projection=lambda *_: None,
        on_softmax=lambda _: None,
        on_addition=lambda _: None,
    )
    with torch.no_grad(), tracer:
        tracer.next_block()
        shared = heads(linear(stream))
        tracer.next_block()
        matmul(heads(linear(stream)), shared, shared)

    assert len(attentions) == 1


@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("repeat", ["expand", "repeat_interleave", "broadcast"])
def test_grouped_keys_are_counted(repeat: str, rows: int, stream: Tensor) -> None:
    """One key head serves all three query heads, however it is copied."""
    stream = stream[:rows]
    queries, keys = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, SIZE)

    def compute() -> Any:
        q = queries(stream).view(rows, TOKENS, HEADS, SIZE).transpose(1, 2)
        k = keys(stream)[:, None]
        if repeat == "expand":
            k = k[:, :, None].expand(-1, -1, HEADS, -1, -1).reshape(rows, HEADS, TOKENS, SIZE)
        elif repeat == "repeat_interleave":
            k = k.repeat_interleave(HEADS, dim=1)
        return matmul(q, k, k)

    (attention,) = traced(compute).attentions

    assert attention.repetitions == HEADS


def test_a_sink_column_is_in_the_softmax_and_not_in_the_scores(stream: Tensor, linear: nn.Linear) -> None:
    """Scores keep one column per key, and are not shifted by what follows the sink."""

    def compute() -> Any:
        q, k, v = (heads(linear(x)) for x in (stream, stream * 2, -stream))
        joined = torch.cat([q @ k.mT, torch.ones(ROWS, HEADS, TOKENS, 1)], dim=-1)
        joined = joined - joined.amax(-1, keepdim=True)
        return joined.softmax(-1)[..., :-1] @ v

    (attention,) = traced(compute).attentions

    expected = heads(linear(stream)) @ heads(linear(stream * 2)).mT
    torch.testing.assert_close(expected, attention.scores)
    assert bool((attention.pattern.sum(-1) < 1).all())


def test_another_output_goes_on_in_place_of_the_computed_one(stream: Tensor, linear: nn.Linear) -> None:
    """Also one computed from another pattern."""

    def uniform(found: Attention) -> Tensor:
        return found.again(torch.full_like(found.pattern, 1 / TOKENS))

    q, k, v = (heads(linear(x)) for x in (stream, stream * 2, -stream))
    found = traced(
        lambda: matmul(*(heads(linear(x)) for x in (stream, stream * 2, -stream))), changed=uniform
    )

    torch.testing.assert_close(v.mean(2, keepdim=True).expand_as(v), found.result)
    assert not torch.allclose(matmul(q, k, v), found.result)


def test_scores_are_let_go_of_once_they_were_handed_out(stream: Tensor, linear: nn.Linear) -> None:
    """What grows with the square of the text must not wait for the end of the block."""
    held: list[weakref.ref[Tensor]] = []

    def attended(found: Attention) -> Tensor:
        held.extend(weakref.ref(part) for part in (found.scores, found.query, found.pattern))
        return found.output

    tracer = Tracer(
        on_attention=attended,
        on_projection=lambda *_: None,
        on_softmax=lambda _: None,
        on_addition=lambda _: None,
    )
    with torch.no_grad(), tracer:
        matmul(*(heads(linear(x)) for x in (stream, stream * 2, -stream)))

    assert len(held) == 3
    assert not any(reference() is not None for reference in held)


def test_what_reads_the_head_outputs_is_their_projection(stream: Tensor, linear: nn.Linear) -> None:
    """The first product after them, with the head outputs side by side."""

    def compute() -> Any:
        q, k, v = (heads(linear(x)) for x in (stream, stream * 2, -stream))
        return linear(matmul(q, k, v).transpose(1, 2).reshape(ROWS, TOKENS, WIDTH))

    found = traced(compute)

    ((number, operand),) = found.projections
    assert number == 0
    outputs = found.attentions[0].output.view(ROWS, HEADS, TOKENS, SIZE).transpose(1, 2)
    assert torch.equal(outputs.reshape(ROWS * TOKENS, WIDTH), operand)


@pytest.mark.parametrize("in_place", [False, True])
def test_updates_are_told_from_the_stream(in_place: bool, stream: Tensor, linear: nn.Linear) -> None:
    """What was computed in this block is added to what was not, in either order and in place."""
    kept = stream.clone()

    def compute() -> Any:
        x = stream.clone()
        attended = matmul(*(heads(linear(x)) for _ in range(3))).transpose(1, 2).reshape(x.shape)
        if in_place:
            x += linear(attended)
            update = linear(x).relu()
            update += x
            return update
        x = x + linear(attended)
        return linear(x).relu() + x

    attention, mlp = traced(compute).additions

    torch.testing.assert_close(kept, attention.stream)
    assert attention.attention == 0
    torch.testing.assert_close(kept + attention.update, mlp.stream)
    assert mlp.attention is None
    torch.testing.assert_close(linear(mlp.stream).relu(), mlp.update)
    assert mlp.products > attention.products


def test_parallel_updates_are_taken_apart(stream: Tensor, linear: nn.Linear) -> None:
    """Where attention and MLP are summed before they are added to the stream."""

    def compute() -> Any:
        attended = matmul(*(heads(linear(stream)) for _ in range(3))).transpose(1, 2).reshape(stream.shape)
        return linear(stream).relu() + linear(attended) + stream

    (addition,) = traced(compute).additions

    assert addition.attention == 0
    assert addition.beside is not None
    torch.testing.assert_close(linear(stream).relu(), addition.beside)


def test_norms_of_the_stream_are_the_stream(stream: Tensor, linear: nn.Linear) -> None:
    """Post-norm blocks add the next update to the normed stream."""
    norm = nn.LayerNorm(WIDTH)

    def compute() -> Any:
        x = norm(stream + linear(stream))
        return norm(x + linear(x))

    one, two = traced(compute).additions

    torch.testing.assert_close(norm(one.stream + one.update), two.stream)


def test_a_sum_of_two_computed_tensors_is_no_update(stream: Tensor, linear: nn.Linear) -> None:
    """Experts are summed before their sum is added to the stream."""
    found = traced(lambda: stream + (linear(stream) + linear(-stream)))

    assert len(found.additions) == 1
