"""The forms of answers: how they are taken apart into float64 arrays, named, and refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from refimpl.oracle.question.case import Array, Case
from refimpl.oracle.question.layout import shapes
from refimpl.oracle.stages.numbers import BadAnswer, real_array

__all__ = ["Arrays", "ByLayer", "OneArray", "Sizes"]

Arrays = dict[str, Array]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Sizes:
    """The sizes that the shapes of answers to a case are made of.

    Args:
        layers: (O, I) by layer, as the conventions have the layers, in the order of the flat vector.
        examples: N.
        queries: Q.
        vectors: k, the number of vectors that a stage is given; 0 where it is given none.
    """

    layers: Mapping[str, tuple[int, int]]
    examples: int
    queries: int
    vectors: int = 0

    @classmethod
    def of(cls, case: Case, vectors: int = 0) -> "Sizes":
        """The sizes of a case in its own conventions."""
        layers = shapes(case, case.conventions)
        return cls(layers, case.num_examples, len(case.query_inputs), vectors)

    @property
    def parameters(self) -> int:
        """P, the length of a flat vector."""
        return sum(o * i for o, i in self.layers.values())


@dataclass(frozen=True)
class OneArray:
    """An answer that is one array.

    Args:
        shape: Gives its shape from the sizes.
    """

    shape: Callable[[Sizes], Shape]

    def read(self, stage: str, raw: Any, sizes: Sizes) -> Array:
        """The answer as a float64 array.

        Args:
            stage: Name of the stage, for the error's text.
            raw: What the implementation returned.
            sizes: Sizes of the case.

        Raises:
            BadAnswer: The answer has another form; the text says what was expected.
        """
        return real_array(stage, raw, self.shape(sizes))

    def arrays(self, answer: Array) -> Arrays:
        """The answer as arrays by name: "answer" alone."""
        return {"answer": answer}

    def answer(self, arrays: Mapping[str, Array]) -> Any:
        """The answer that `arrays` names; None where it is missing."""
        return arrays.get("answer")


@dataclass(frozen=True)
class ByLayer:
    """An answer that is a dict by layer, of arrays or of tuples of arrays.

    Args:
        shapes: The shapes of a layer's arrays, from the sizes, O and I.
        parts: Names of a layer's arrays; empty where a layer has one array and no tuple.
    """

    shapes: Callable[[Sizes, int, int], tuple[Shape, ...]]
    parts: tuple[str, ...] = ()

    def read(self, stage: str, raw: Any, sizes: Sizes) -> dict[str, Any]:
        """The answer as float64 arrays; see `OneArray.read`."""
        if not isinstance(raw, Mapping):
            raise BadAnswer(f"{stage} must return a dict by layer, got {type(raw).__name__}")
        if set(raw) != set(sizes.layers):
            missing = sorted(set(sizes.layers) - set(raw))
            extra = sorted(set(raw) - set(sizes.layers), key=str)
            raise BadAnswer(
                f"{stage} must cover the layers {sorted(sizes.layers)}"
                + (f"; missing: {missing}" if missing else "")
                + (f"; unknown: {extra}" if extra else "")
            )
        return {
            layer: self._read(f"{stage}['{layer}']", raw[layer], self.shapes(sizes, o, i))
            for layer, (o, i) in sizes.layers.items()
        }

    def _read(self, where: str, raw: Any, layer_shapes: tuple[Shape, ...]) -> Any:
        if not self.parts:
            return real_array(where, raw, layer_shapes[0])
        if not isinstance(raw, (tuple, list)) or len(raw) != len(layer_shapes):
            raise BadAnswer(f"{where} must be {len(layer_shapes)} arrays of shapes {layer_shapes}")
        return tuple(
            real_array(f"{where}[{i}]", part, shape)
            for i, (part, shape) in enumerate(zip(raw, layer_shapes, strict=True))
        )

    def arrays(self, answer: Mapping[str, Any]) -> Arrays:
        """The answer as arrays by name: "layer", or "layer/part" where a layer has several."""
        if not self.parts:
            return dict(answer)
        return {
            f"{layer}/{part}": array
            for layer, arrays in answer.items()
            for part, array in zip(self.parts, arrays, strict=True)
        }

    def answer(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """The answer that `arrays` names; what is missing is missing in it."""
        if not self.parts:
            return dict(arrays)
        layers = dict.fromkeys(name.rpartition("/")[0] or name for name in arrays)
        return {
            layer: tuple(arrays[f"{layer}/{p}"] for p in self.parts if f"{layer}/{p}" in arrays)
            for layer in layers
        }
