"""Random losses with outputs and targets, torch's own value of them, and what rounding may do."""

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from refimpl.losses import BinaryCrossEntropy, CrossEntropy, Loss, SquaredError

U = torch.finfo(torch.float64).eps / 2


@st.composite
def cases(
    draw: st.DrawFn, kinds: tuple[str, ...] = ("ce", "se", "bce")
) -> tuple[Loss, Tensor, Tensor]:
    """A loss with any options, outputs with any token axes (some saturated), targets that fit."""
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    kind = draw(st.sampled_from(kinds))
    lead = (draw(st.integers(1, 3)), *draw(st.lists(st.integers(1, 3), max_size=2)))
    classes = draw(st.integers(1, 5))
    shape = (*lead, classes)
    if kind != "ce" and len(lead) == 1 and draw(st.booleans()):
        shape = lead  # a single output without an axis of its own
    f = draw(st.sampled_from([0.1, 1.0, 30.0])) * torch.randn(shape, generator=g).double()
    if kind == "se":
        return SquaredError(), f, torch.randn(shape, generator=g).double()
    some = torch.rand(shape[-1], generator=g).double() * 3
    some = torch.where(torch.rand(shape[-1], generator=g) < 0.2, 0.0, some)
    if kind == "bce":
        soft = torch.rand(shape, generator=g).double()
        y = draw(st.sampled_from([soft, soft.round()]))
        options = [None, 0.0, 2.5] + ([some] if len(shape) > 1 else [])
        return BinaryCrossEntropy(draw(st.sampled_from(options))), f, y
    ignore = draw(st.sampled_from([-100, -1, 0]))  # 0 may be a class that is not counted
    y = torch.randint(classes, lead, generator=g)
    y = torch.where(torch.rand(lead, generator=g) < 0.3, ignore, y)
    weight = draw(st.sampled_from([None, some]))
    smoothing = draw(st.sampled_from([0.0, 0.1, 0.9]))
    return CrossEntropy(ignore, weight, smoothing), f, y


def torchs_value(loss: Loss, f: Tensor, y: Tensor) -> Tensor:
    if isinstance(loss, CrossEntropy):
        options = {"ignore_index": loss.ignore_index, "label_smoothing": loss.label_smoothing}
        each = F.cross_entropy(f.movedim(-1, 1), y, loss.weight, reduction="none", **options)
    elif isinstance(loss, SquaredError):
        each = F.mse_loss(f, y, reduction="none") / 2
    else:
        weight = loss.pos_weight  # type: ignore[attr-defined]
        weight = torch.as_tensor(weight).double() if weight is not None else None
        each = F.binary_cross_entropy_with_logits(f, y, pos_weight=weight, reduction="none")
    return each.reshape(len(f), -1).sum(dim=1)


def roundoff(f: Tensor) -> float:
    """What a handful of operations on outputs f may lose per term: u (operations + C + max|f|).

    A log-softmax carries u max|f| from the subtraction of the largest output and C u from its sum;
    weights are below 3 and a token's terms sum to a few max|f|.
    """
    return 16 * U * (4 + f.shape[-1] + float(f.abs().max()))
