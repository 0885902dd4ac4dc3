"""Agreement: how two sets of scores differ or relate, with intervals over the queries."""

from refimpl.agreement.intervals import (
    Estimate as Estimate,
    Interval as Interval,
    difference as difference,
    mean_over_queries as mean_over_queries,
)
from refimpl.agreement.relations import (
    Kind as Kind,
    Relation as Relation,
    Transformation as Transformation,
    relation as relation,
)
from refimpl.agreement.score_files import read_scores as read_scores
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
