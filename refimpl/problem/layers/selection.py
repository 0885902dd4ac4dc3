"""Which layers of a model are tracked."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from refimpl.problem.layers.table import layer_type, supported_types

__all__ = ["tracked_modules"]


def tracked_modules(model: nn.Module, layers: Sequence[str] | None) -> list[dict[str, nn.Module]]:
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
    if layers is None:
        chosen = [name for name, module in modules.items() if layer_type(module)]
        if not chosen:
            raise ValueError(f"the model has no layer that can be tracked ({supported_types()})")
    else:
        aliases: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            aliases.setdefault(id(module), []).append(name)
        chosen = _match(modules, aliases, _patterns(layers))
    tracked: list[dict[str, nn.Module]] = []
    for name in chosen:
        if not any(name in holders for holders in tracked):
            tracked.append(_holders(modules, name))
    return tracked


def _holders(modules: Mapping[str, nn.Module], name: str) -> dict[str, nn.Module]:
    """All modules that hold the parameters of one, which must hold all of them and use them alike."""
    module = modules[name]
    parameters = _own(module)
    sharing = {other: m for other, m in modules.items() if _own(m) & parameters}
    for other, holder in sharing.items():
        alike = layer_type(holder) and type(holder).forward is type(module).forward
        if not alike or _own(holder) != parameters:
            raise ValueError(
                f"'{name}' and '{other}' ({type(holder).__name__}) share a parameter but not "
                "all of them, or use it differently: they form no single matrix [W | b]. "
                f"Leave '{name}' out of `layers`, or untie them"
            )
    return sharing


def _own(module: nn.Module) -> set[int]:
    return {id(p) for p in module.parameters(recurse=False)}


def _patterns(layers: Sequence[str]) -> Sequence[str]:
    if (
        isinstance(layers, str)
        or not isinstance(layers, Sequence)  # pyright: ignore
        or not all(isinstance(pattern, str) for pattern in layers)  # pyright: ignore
    ):
        raise TypeError(f"layers must be a list of names or patterns, got {layers!r}")
    if not layers:
        raise ValueError("layers is empty: name at least one layer, or pass None for all")
    return layers


def _match(
    modules: Mapping[str, nn.Module], aliases: Mapping[int, list[str]], patterns: Sequence[str]
) -> list[str]:
    """Names of the supported modules that some pattern matches, in the order of the patterns."""
    chosen: list[str] = []
    for pattern in patterns:
        matched = [
            name
            for name, module in modules.items()
            if any(fnmatchcase(alias, pattern) for alias in aliases[id(module)])
        ]
        usable = [name for name in matched if layer_type(modules[name])]
        if not usable:
            available = [name for name, module in modules.items() if layer_type(module)]
            if matched:
                kinds = sorted({type(modules[name]).__name__ for name in matched})
                raise ValueError(
                    f"layer '{pattern}' ({', '.join(kinds)}) cannot be tracked: only "
                    f"{supported_types()} can. Available: {available}"
                )
            raise ValueError(f"no layer is named '{pattern}'. Available: {available}")
        unsupported = [name for name in matched if name not in usable and _own(modules[name])]
        if unsupported:
            raise ValueError(
                f"'{pattern}' also matches {unsupported}, which hold parameters but cannot be "
                f"tracked (only {supported_types()} can): use a narrower pattern"
            )
        chosen += [name for name in usable if name not in chosen]
    return chosen
