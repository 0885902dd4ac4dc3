"""The layers whose weights can be tracked, each seen as one matrix [W | b] acting on rows.

A Linear maps rows of its input; a Conv2d maps patches (Grosse & Martens 2016, section 2.2), one row
per output position. A grouped convolution is `groups` such maps side by side.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "SUPPORTED",
    "groups_of",
    "input_rows",
    "is_supported",
    "output_rows",
    "resolve_layers",
]

SUPPORTED = "torch.nn.Linear, torch.nn.Conv2d"


def is_supported(module: nn.Module) -> bool:
    """Whether a module computes exactly what a Linear or a Conv2d does, from parameters of its own.

    A subclass may compute something else; a parametrized layer (weight_norm, spectral_norm) computes
    its weight from other parameters.
    """
    own = {name for name, _ in module.named_parameters(recurse=False)}
    used = {name for name in ("weight", "bias") if getattr(module, name, None) is not None}
    return type(module).forward in (nn.Linear.forward, nn.Conv2d.forward) and used <= own


def resolve_layers(model: nn.Module, layers: Sequence[str] | None) -> list[dict[str, nn.Module]]:
    """The tracked layers, each as the modules {name: module} that hold its parameters.

    Args:
        model: The model.
        layers: Names or patterns in the order wanted, or None for every supported layer.

    Raises:
        ValueError: A name matches nothing, a matched layer is not supported or shares only part of
            its parameters, or nothing is left to track.
        TypeError: `layers` is not a sequence of strings.
    """
    modules = dict(model.named_modules(remove_duplicate=True))
    aliases: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        aliases.setdefault(id(module), []).append(name)
    if layers is None:
        chosen = [name for name, module in modules.items() if is_supported(module)]
        if not chosen:
            raise ValueError(f"the model has no layer that can be tracked ({SUPPORTED})")
    else:
        chosen = _match(modules, aliases, layers)
    groups: list[dict[str, nn.Module]] = []
    for name in chosen:
        module = modules[name]
        sharing = {n: m for n, m in modules.items() if _owned(m) & _owned(module)}
        for other, holder in sharing.items():
            if not _same_layer(module, holder):
                raise ValueError(
                    f"'{name}' and '{other}' ({type(holder).__name__}) share a parameter but not "
                    "all of them, or use it differently: they form no single matrix [W | b]. "
                    f"Leave '{name}' out of `layers`, or untie them"
                )
        if not any(name in group for group in groups):
            groups.append(sharing)
    return groups


def _match(
    modules: Mapping[str, nn.Module], aliases: Mapping[int, list[str]], layers: Sequence[str]
) -> list[str]:
    if (
        isinstance(layers, str)
        or not isinstance(layers, Sequence)  # pyright: ignore
        or not all(isinstance(pattern, str) for pattern in layers)  # pyright: ignore
    ):
        raise TypeError(f"layers must be a list of names or patterns, got {layers!r}")
    if not layers:
        raise ValueError("layers is empty: name at least one layer, or pass None for all")
    chosen: list[str] = []
    for pattern in layers:
        matched = [
            name
            for name, module in modules.items()
            if any(fnmatchcase(alias, pattern) for alias in aliases[id(module)])
        ]
        usable = [name for name in matched if is_supported(modules[name])]
        if not usable:
            available = [name for name, module in modules.items() if is_supported(module)]
            if matched:
                kinds = sorted({type(modules[name]).__name__ for name in matched})
                raise ValueError(
                    f"layer '{pattern}' ({', '.join(kinds)}) cannot be tracked: only {SUPPORTED} "
                    f"can. Available: {available}"
                )
            raise ValueError(f"no layer is named '{pattern}'. Available: {available}")
        unsupported = [name for name in matched if name not in usable and _owned(modules[name])]
        if unsupported:
            raise ValueError(
                f"'{pattern}' also matches {unsupported}, which hold parameters but cannot be "
                f"tracked (only {SUPPORTED} can): use a narrower pattern"
            )
        chosen += [name for name in usable if name not in chosen]
    return chosen


def _owned(module: nn.Module) -> set[int]:
    return {id(p) for p in module.parameters(recurse=False)}


def _same_layer(a: nn.Module, b: nn.Module) -> bool:
    return is_supported(b) and type(a).forward is type(b).forward and _owned(a) == _owned(b)


def groups_of(module: nn.Module) -> int:
    """How many independent maps the layer holds side by side: the groups of a Conv2d, else 1."""
    return module.groups if isinstance(module, nn.Conv2d) else 1


def input_rows(
    module: nn.Module, a: Float[Tensor, "..."], examples: int
) -> Float[Tensor, "N G R I"]:
    """The rows that each of the layer's maps multiplies, with a last coordinate 1 where it has a bias.

    Args:
        module: A Linear or Conv2d.
        a: Its input; the leading axis holds the examples, or examples times something.
        examples: N.

    Returns:
        Rows [N, groups, positions, inputs of one map (bias included)].

    Raises:
        ValueError: The leading axis is not a multiple of N.
    """
    _check_leading_axis(a, examples)
    if isinstance(module, nn.Conv2d):
        rows = _patches(module, a)  # [N', G, R, I]
        folded = rows.reshape(examples, -1, *rows.shape[1:])
        rows = folded.transpose(1, 2).flatten(2, 3)
    else:
        rows = a.reshape(examples, 1, -1, a.shape[-1])
    if "bias" in dict(module.named_parameters(recurse=False)):
        rows = torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1)
    return rows


def output_rows(
    module: nn.Module, s: Float[Tensor, "..."], examples: int
) -> Float[Tensor, "N G R O"]:
    """Pre-activations, or gradients in them, in the rows of `input_rows`: [N, groups, positions, O].

    Args:
        module: A Linear or Conv2d.
        s: Its output, or a tensor of that shape.
        examples: N.
    """
    _check_leading_axis(s, examples)
    if isinstance(module, nn.Conv2d):
        positions = s.flatten(2).mT  # [N', R, G * O]
        split = positions.reshape(examples, -1, module.groups, s.shape[1] // module.groups)
        return split.transpose(1, 2)
    return s.reshape(examples, 1, -1, s.shape[-1])


def _patches(module: nn.Conv2d, a: Float[Tensor, "B channels H W"]) -> Float[Tensor, "B G R I"]:
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    a = F.pad(a, module._reversed_padding_repeated_twice, mode=mode)
    columns = F.unfold(a, module.kernel_size, dilation=module.dilation, stride=module.stride)
    return columns.reshape(a.shape[0], module.groups, -1, columns.shape[-1]).mT


def _check_leading_axis(tensor: Float[Tensor, "..."], examples: int) -> None:
    if tensor.ndim < 2 or tensor.shape[0] == 0 or tensor.shape[0] % examples != 0:
        raise ValueError(
            f"a tracked layer was called on a tensor {tuple(tensor.shape)} whose first axis is not "
            f"the {examples} examples: their gradients cannot be told apart. Call it with the "
            "batch axis first, or leave the layer out of `layers`"
        )
