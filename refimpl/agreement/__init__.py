"""Agreement: how two sets of scores differ, with intervals over the queries."""

from refimpl.agreement.intervals import (
    Estimate as Estimate,
    Interval as Interval,
    difference as difference,
    mean_over_queries as mean_over_queries,
)
from refimpl.agreement.statistics import (
    Agreement as Agreement,
    TopK as TopK,
    certified_pairs as certified_pairs,
    compare as compare,
    kendall as kendall,
    pearson as pearson,
    relative_error as relative_error,
    spearman as spearman,
    top_k_overlap as top_k_overlap,
)
