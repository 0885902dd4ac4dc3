"""Small hostile models: convolutions, shared and repeated modules, tokens, residuals."""

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import refimpl as ri


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


class Stack(nn.Module):
    """Stages on a last axis of width 4, each using its layers in one of the ways that occur."""

    def __init__(self, stages: list[str], bias: bool) -> None:
        super().__init__()
        self.stages = stages
        self.layers = nn.ModuleList(nn.Linear(4, 4, bias=bias) for _ in stages)
        self.twins = nn.ModuleList(nn.Linear(4, 4, bias=bias) for _ in stages)
        self.planes = nn.ModuleList(
            nn.Conv2d(2, 2, (1, 3), padding="same", groups=1 + i % 2, bias=bias)
            for i in range(len(stages))
        )
        for layer, twin in zip(self.layers, self.twins, strict=True):
            twin.weight, twin.bias = layer.weight, layer.bias

    def forward(self, x: Tensor) -> Tensor:
        for stage, layer, twin, plane in zip(
            self.stages, self.layers, self.twins, self.planes, strict=True
        ):
            if stage == "once":
                x = torch.tanh(layer(x))
            elif stage == "twice":
                x = layer(torch.tanh(layer(x)))
            elif stage == "tied":
                x = twin(torch.tanh(layer(x)))
            elif stage == "folded":
                x = layer(x.reshape(-1, 4)).reshape(x.shape)
            elif stage == "in place":
                h = layer(x)
                h += x
                x = h.tanh_()
            else:  # a convolution over 2 channels of 1 x 2 places, whatever the tokens are
                x = plane(x.reshape(-1, 2, 1, 2)).reshape(x.shape)
        return x


STAGES = ("once", "twice", "tied", "folded", "in place", "convolution")


@st.composite
def stacks(draw: st.DrawFn) -> ri.Problem:
    stages = draw(st.lists(st.sampled_from(STAGES), min_size=1, max_size=4))
    model = Stack(stages, draw(st.booleans()))
    used = [
        ("planes." if stage == "convolution" else "layers.") + str(i)
        for i, stage in enumerate(stages)
    ]
    for i, stage in enumerate(stages):
        if stage != "tied":
            model.twins[i] = nn.Identity()
    lead = (draw(st.integers(1, 5)), *draw(st.lists(st.integers(1, 3), max_size=2)))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    x, y = (torch.randn(*lead, 4, generator=g).double() for _ in range(2))
    return ri.Problem(model, ri.losses.SquaredError(), x, y, layers=used)
