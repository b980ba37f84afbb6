"""Mean rank of the heads of a layer by the protocol of the paper on lazy layers."""

from audit.definitions import CorpusMetric
from audit.metrics.max_rank_100 import WINDOWS, mean_of, ranks

METRIC = CorpusMetric(
    name="average_rank_100",
    title="AvgRank (T = 100)",
    summary="Mean attention rank of the heads of a layer on 100 tokens, to be put beside the published figures.",
    observes="attention",
    axes="layer",
    unit="rank",
    span=(1.0, None),
    direction="About 1 is a lazy layer.",
    healthy=(
        "No published band. Sanyal et al., a GPT-2 of theirs: 8.4 in layers 1 to 4, 9.5 in 5 to 8, 1.2 in 9 to 12, "
        "the last no better to inherit from than random weights."
    ),
    formula="mean over heads of mean over texts of min k such that sum_{i<=k} s_i^2 >= .9 sum_i s_i^2, T = 100",
    reference="Sanyal et al., Inheritune, arXiv 2404.08634 (AvgRank)",
    partial=ranks,
    reduce=lambda sums: mean_of(sums, "rank").mean(),
    absent_when="no text of 100 tokens",
    windows=WINDOWS,
    depths=("full",),
)
