"""Number of keys that hold most of the attention of a layer, by the protocol of the paper on lazy layers."""

from audit.definitions import CorpusMetric
from audit.metrics.max_rank_100 import WINDOWS, mean_of, ranks

METRIC = CorpusMetric(
    name="mass_columns_100",
    title="Columns holding 90% (T = 100)",
    summary="Mean number of keys that hold 90% of a head's squared attention on 100 tokens.",
    observes="attention",
    axes="layer",
    unit="keys",
    span=(1.0, None),
    direction="About 1 is a layer whose heads all look at one column.",
    healthy=(
        "No published band. Sanyal et al., GPT-2 medium of theirs: 20 to 30 in layers 1 to 4, 3.5 to 9 in 5 to 11, "
        "1 to 4.5 after."
    ),
    formula="mean over heads and texts of min k such that the k largest m_j hold .9 of sum_j m_j, m_j = |A_.j|^2, T = 100",
    reference="Sanyal et al., Inheritune, arXiv 2404.08634 (columns holding 90% of the mass)",
    partial=ranks,
    reduce=lambda sums: mean_of(sums, "columns").mean(),
    absent_when="no text of 100 tokens",
    windows=WINDOWS,
    depths=("full",),
)
