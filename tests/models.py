"""Small hostile models: convolutions, shared and repeated modules, tokens, residuals."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Repeated(nn.Module):
    """One module called twice, with another between the calls."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.last = nn.Linear(width, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(torch.tanh(self.first(x)))))


class Tied(nn.Module):
    """Two modules that hold the same weight and bias."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)
        self.b.weight, self.b.bias = self.a.weight, self.a.bias
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.b(torch.tanh(self.a(x)))))


class InPlace(nn.Module):
    """In-place activations and a residual added in place."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h.tanh_()
        out = self.b(h)
        out += h
        return out


class Folded(nn.Module):
    """Tokens folded into the batch axis before the layer, and unfolded after it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        h = torch.tanh(self.a(x.reshape(n * t, -1)))
        return self.b(h).reshape(n, t, -1)


class Convolutional(nn.Module):
    """Two convolutions and a head: stride, padding of a mode, dilation, groups."""

    def __init__(self, mode: str = "zeros", bias: bool = True, groups: int = 2) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, padding=1, padding_mode=mode, stride=2, bias=bias)
        self.b = nn.Conv2d(4, 4, 2, dilation=2, padding="same", groups=groups, bias=bias)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.b(torch.tanh(self.a(x))))
        return self.head(h.mean(dim=(2, 3)))


class Functional(nn.Module):
    """Uses its layer's weight a second time, outside the module."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.a(x)), self.a.weight)


class Swapped(nn.Module):
    """Calls its layer with the token axis first."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x.transpose(0, 1))).transpose(0, 1))


def twice() -> nn.Module:
    """A Sequential that holds one module twice (pytorch#164759)."""
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.Tanh(), layer)


CASES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {}


def _register() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for mode in ("zeros", "reflect", "replicate", "circular"):
            CASES[f"convolution, {mode}"] = Convolutional(mode), (2, 5, 5)
        CASES["convolution without bias"] = Convolutional(bias=False), (2, 5, 5)
        CASES["convolution by depth"] = Convolutional(groups=4), (2, 5, 5)
        CASES["module called twice"] = Repeated(), (3,)
        CASES["module called twice on tokens"] = Repeated(), (4, 3)
        CASES["module held twice"] = twice(), (3,)
        CASES["tied modules"] = Tied(), (3,)
        CASES["in place"] = InPlace(), (3,)
        CASES["tokens folded into the batch"] = Folded(), (4, 3)
        CASES["a Linear alone"] = nn.Linear(3, 2), (3,)


_register()
