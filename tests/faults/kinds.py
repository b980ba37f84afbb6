"""The kinds of fault: how each is planted, in three doses, how it is shown, and what it must be called.

No threshold of the audit is known here. What a kind must be called is said beforehand, with the reason in `why`.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.faults import plants, proofs
from tests.faults.looking import Site
from tests.faults.plants import Heads


class Kind(NamedTuple):
    """A mechanism."""

    name: str
    rule: str  # what it is to be called
    why: str
    dose: str  # what the doses measure
    doses: tuple[float, float, float]  # obvious, moderate, subtle
    plant: Callable[[Site, float, random.Random], Heads]
    true: Callable[[Site, Heads, float], bool]
    alone: bool = False  # it spoils every later layer
    costless: bool = False  # part of what it is: an audit that refutes this has not found it


KINDS = (
    Kind("zeroed output", "dead_head", "nothing of it reaches the stream", "factor on W_O",
         (0.0, 1e-8, 1e-6), plants.dead_output, proofs.adds_nothing),
    Kind("zeroed values", "dead_head", "nothing of them reaches the stream", "factor on W_V",
         (0.0, 1e-8, 1e-6), plants.dead_value, proofs.adds_nothing),
    Kind("muted output", "dormant_head", "it adds little on every text", "of the mean head's part",
         (0.02, 0.1, 0.3), plants.muted_output, proofs.adds_little),
    Kind("quiet values", "dormant_head", "it adds little on every text", "of the mean head's output",
         (0.02, 0.1, 0.3), plants.quiet_value, proofs.adds_little),
    Kind("drained sink", "dormant_head", "it rests and adds little", "lead of the sink in nats",
         (12.0, 6.0, 3.0), plants.drained_sink, proofs.rests_and_adds_little),
    Kind("fixed place", "collapsed_head", "one ordinary place holds it in every text", "lead in nats",
         (12.0, 6.0, 3.0), plants.fixed_column, proofs.stares),
    Kind("position only", "static_head", "the pattern is the same for all texts", "content kept",
         (0.0, 0.05, 0.15), plants.positional, proofs.same_everywhere),
    Kind("even attention", "uniform_head", "an average, whatever is asked", "spread of scores in nats",
         (0.0, 0.05, 0.2), plants.even, proofs.is_even),
    Kind("copy of a head", "duplicate_head", "it does what another does", "noise on the copied weights",
         (0.0, 0.03, 0.1), plants.copied, proofs.is_a_copy),
    Kind("grown scores", "entropy_collapse", "one key per row, and no sink", "spread of scores in nats",
         (80.0, 40.0, 20.0), plants.sharpened, proofs.is_collapsed),
    Kind("lazy attention", "lazy_layer", "rank one and without effect", "update / stream",
         (0.001, 0.01, 0.03), plants.lazy, proofs.layer_is_lazy, costless=True),
    Kind("idle block", "redundant_layer", "without effect", "update / stream",
         (0.001, 0.01, 0.05), plants.idle, proofs.block_is_idle, costless=True),
    Kind("silent attention", "attention_as_mlp", "only the MLP is left", "update / stream",
         (0.0003, 0.001, 0.003), plants.silent, proofs.attention_is_silent, costless=True),
    Kind("local attention", "attention_as_mlp", "own token only, without effect", "update / stream",
         (0.001, 0.01, 0.03), plants.local, proofs.attention_is_local, costless=True),
    Kind("common vector", "rank_collapse_depth", "it drowns what tells tokens apart", "length / spread of the tokens",
         (100.0, 40.0, 15.0), plants.common_vector, proofs.tokens_are_alike, alone=True),
    Kind("broken numbers", "nonfinite_weights", "NaN or infinite", "weights",
         (1000.0, 10.0, 1.0), plants.not_a_number, proofs.is_not_finite, alone=True),
)  # fmt: skip
