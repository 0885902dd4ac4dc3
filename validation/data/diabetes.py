"""scikit-learn's diabetes data: a regression from ten measurements of a patient."""

from validation.data.split import Split
from validation.data.tabular import ordered, standardised

__all__ = ["diabetes_patients"]


def diabetes_patients(train: int, queries: int, seed: int) -> Split:
    """Progression of diabetes after a year (Efron et al. 2004) of 442 patients; for SquaredError.

    Ten inputs and the target [N, 1], all standardised with the training examples' statistics.

    Args:
        train: Number of training patients.
        queries: Number of query patients.
        seed: Of the permutation whose first patients train and whose next are queries.

    Raises:
        ValueError: More patients are asked for than there are, or too few to train on.
    """
    from sklearn.datasets import load_diabetes  # on use: it takes half a second to load

    rows, targets = load_diabetes(return_X_y=True, scaled=False)
    x, y = ordered(rows, targets, train, queries, seed)
    x, y = standardised(x, train), standardised(y, train)
    return Split(x[:train], y[:train], x[train:], y[train:])
