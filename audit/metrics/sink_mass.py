"""Attention that a head leaves on its sinks."""

from torch import Tensor

from audit.definitions import Metric
from audit.numerics import masked_mean
from audit.observations import AttentionObservation


def sink_mass(observation: AttentionObservation) -> Tensor:
    """Mean attention of a head's rows on the sinks found in that sample, fraction [batch, head].

    Raw mass: what a learned sink column takes is on no key and is not counted. 0 where the head has no sink.
    """
    on_sinks = observation.sums.total - observation.kept.total
    return masked_mean(on_sinks, observation.visible_keys > 0, -1)


METRIC = Metric(
    name="sink_mass",
    title="Sink mass",
    summary="Attention left on sinks: keys that soak up attention whatever they mean.",
    observes="attention",
    axes="head",
    unit="fraction",
    span=(0.0, 1.0),
    direction="1 is a head that does nothing but rest on sinks, 0 is a head without one.",
    healthy=(
        "No published band, and no fault by itself: sinks are ordinary in trained causal models, where most heads "
        "may have one, and encoders rest on [CLS], [SEP] and punctuation."
    ),
    formula="mean over rows i of sum of A_ij over j in S; S = keys receiving more than .3 on average from the rows "
    "that see them, if first, special, or agreed on by more than a quarter of the layer's heads",
    reference="Gu et al., ICLR 2025, When Attention Sink Emerges in Language Models (the threshold .3); finding "
    "sinks beyond the first token is this project's",
    compute=sink_mass,
)
