"""scikit-learn's breast cancer data: two classes from thirty measurements of cell nuclei."""

from validation.data.split import Split
from validation.data.tabular import ordered, standardised

__all__ = ["tumours"]


def tumours(train: int, queries: int, seed: int) -> Split:
    """569 tumours of Wisconsin (Street et al. 1993), 1 benign and 0 malignant; BinaryCrossEntropy.

    Thirty inputs, standardised with the training examples' statistics; the targets [N, 1] are float.

    Args:
        train: Number of training tumours.
        queries: Number of query tumours.
        seed: Of the permutation whose first tumours train and whose next are queries.

    Raises:
        ValueError: More tumours are asked for than there are, or too few to train on.
    """
    from sklearn.datasets import load_breast_cancer  # on use: it takes half a second to load

    rows, labels = load_breast_cancer(return_X_y=True)
    x, y = ordered(rows, labels.astype(float), train, queries, seed)
    x = standardised(x, train)
    return Split(x[:train], y[:train], x[train:], y[train:])
