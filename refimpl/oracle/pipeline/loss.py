"""Losses of the pipeline: values, labels, and the pseudo-gradients that make up the Fisher."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from refimpl.oracle.question.case import Case
from refimpl.oracle.subject.adapter import Adapter

__all__ = ["LossMath", "as_tokens"]


def as_tokens(outputs: Float[Tensor, "n ..."]) -> Float[Tensor, "n T C"]:
    """Outputs [n, *tokens, C] with the token axes as one."""
    if outputs.ndim == 1:
        return outputs[:, None, None]
    return outputs.reshape(len(outputs), -1, outputs.shape[-1])


class LossMath(Adapter):
    """The loss of a case, token by token; f is always [n, T, C]."""

    def counted(self, case: Case, y: Shaped[Tensor, "n ..."], T: int) -> Float[Tensor, "n T"]:
        """1 for tokens that count, 0 for those that are ignored."""
        if case.loss.kind != "cross_entropy":
            return torch.ones(len(y), T, dtype=torch.float64)
        return (y.reshape(len(y), -1) != case.loss.ignore_index).double()

    def token_weight(self, case: Case, y: Shaped[Tensor, "n ..."], T: int) -> Float[Tensor, "n T"]:
        """The weight of a token's loss: whether it counts, times the loss's conventions."""
        counted = self.counted(case, y, T)
        if case.conventions.loss_reduction == "token_mean":
            counted = counted / counted.sum(dim=1, keepdim=True).clamp(min=1)
        full = case.conventions.squared_error == "full" and case.loss.kind == "squared_error"
        return 2 * counted if full else counted

    def labels(self, case: Case, y: Shaped[Tensor, "n ..."]) -> Int[Tensor, "n T"]:
        """Class labels as indices; ignored ones become 0 and are masked elsewhere."""
        y = y.reshape(len(y), -1)
        return torch.where(y == case.loss.ignore_index, 0, y).long()

    def target(
        self, case: Case, y: Shaped[Tensor, "n ..."], f: Float[Tensor, "n T C"]
    ) -> Float[Tensor, "n T C"]:
        """The weights of a token's log-likelihoods: smoothed, class-weighted labels."""
        C = f.shape[-1]
        q = torch.nn.functional.one_hot(self.labels(case, y), C).to(f)
        q = (1 - case.loss.label_smoothing) * q + case.loss.label_smoothing / C
        return q if case.loss.class_weight is None else q * f.new_tensor(case.loss.class_weight)

    def positive_weight(self, case: Case, f: Float[Tensor, "n T C"]) -> Tensor:
        """Weight of positive labels, for binary cross-entropy."""
        given = case.loss.pos_weight
        return f.new_ones(()) if given is None else f.new_tensor(given)

    def token_losses(
        self, case: Case, f: Float[Tensor, "n T C"], y: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "n T"]:
        """Loss of each token, before `token_weight`."""
        if case.loss.kind == "cross_entropy":
            return -(self.target(case, y, f) * f.log_softmax(dim=-1)).sum(dim=-1)
        y = as_tokens(y)
        if case.loss.kind == "squared_error":
            return ((f - y) ** 2).sum(dim=-1) / 2
        logs = torch.nn.functional.logsigmoid
        losses = -self.positive_weight(case, f) * y * logs(f) - (1 - y) * logs(-f)
        return losses.sum(dim=-1)

    def losses(
        self, case: Case, f: Float[Tensor, "n T C"], y: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Example losses: the sum over tokens."""
        weight = self.token_weight(case, y, f.shape[1]).to(f)
        # An ignored token may hold anything: 0 times infinity is not 0.
        return torch.where(weight == 0, 0.0, weight * self.token_losses(case, f, y)).sum(dim=1)

    def loss_gradient(
        self, case: Case, f: Float[Tensor, "n T C"], y: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "n T C"]:
        """Gradient of the example losses in the outputs."""
        with torch.enable_grad():
            f = f.detach().requires_grad_()
            return torch.autograd.grad(self.losses(case, f, y).sum(), f)[0]

    def omega(
        self, case: Case, f: Float[Tensor, "n T C"], y: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "n T #C"]:
        """Curvature of the loss in units of the plain likelihood's; per output where they are separate."""
        weight = self.token_weight(case, y, f.shape[1]).to(f)[..., None]
        if case.loss.kind == "cross_entropy":
            return weight * self.target(case, y, f).sum(dim=-1, keepdim=True)
        if case.loss.kind == "squared_error":
            return weight
        y = as_tokens(y)
        return weight * (self.positive_weight(case, f) * y + 1 - y)

    def root(self, case: Case, f: Float[Tensor, "n T C"]) -> Float[Tensor, "n T C K"]:
        """R with R R^T the Hessian of the plain negative log-likelihood in a token's outputs."""
        if case.loss.kind == "squared_error":
            return torch.eye(f.shape[-1]).to(f).expand(*f.shape, f.shape[-1])
        if case.loss.kind == "binary_cross_entropy":
            return torch.diag_embed((f.sigmoid() * (-f).sigmoid()).sqrt())
        p = f.softmax(dim=-1)
        return (torch.eye(p.shape[-1]).to(p) - p[..., None]) * p.sqrt()[..., None, :]

    def directions(
        self, case: Case, f: Float[Tensor, "n T C"], y: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "K n T C"]:
        """One vector per token and column of its root: their outer products sum to the loss's Hessian."""
        R = self.root(case, f) * self.omega(case, f, y).sqrt()[..., None]
        n, T, C, K = R.shape
        spread = R.permute(1, 3, 0, 2)[:, :, :, None] * torch.eye(T).to(f)[:, None, None, :, None]
        return spread.reshape(T * K, n, T, C)

    def numbers(self, case: Case, f: Float[Tensor, "n T C"], place: slice, seed: int) -> Tensor:
        """The random numbers of some examples [samples, n, T, C], of all examples' in one draw."""
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn if case.loss.kind == "squared_error" else torch.rand
        shape = (case.conventions.samples, case.num_examples, *f.shape[1:])
        return draw(shape, generator=generator, dtype=torch.float64)[:, place].to(f)

    def sampled(self, case: Case, f: Float[Tensor, "n T C"], draws: Tensor) -> Tensor:
        """Gradients of the plain negative log-likelihood at labels drawn from it [samples, n, T, C]."""
        if case.loss.kind == "squared_error":
            return -draws
        if case.loss.kind == "binary_cross_entropy":
            p = f.sigmoid()
            return p - (draws < p).to(p)
        p = f.softmax(dim=-1)
        chosen = (draws[..., :1] >= p.cumsum(dim=-1)).sum(dim=-1).clamp(max=p.shape[-1] - 1)
        return p - torch.nn.functional.one_hot(chosen, p.shape[-1]).to(p)

    def pseudo_gradients(
        self,
        case: Case,
        f: Float[Tensor, "n T C"],
        y: Shaped[Tensor, "n ..."],
        place: slice,
        seed: int,
    ) -> Float[Tensor, "K n T C"]:
        """Output-space vectors whose second moment is the Fisher that the conventions name."""
        fisher = case.conventions.fisher
        if fisher == "exact":
            return self.directions(case, f, y)
        if fisher == "empirical":
            return self.loss_gradient(case, f, y)[None]
        draws = self.numbers(case, f, place, seed)
        return self.sampled(case, f, draws) * (self.omega(case, f, y) / len(draws)).sqrt()
