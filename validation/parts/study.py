"""What a study is: a configuration, and the parts by which it is computed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from validation.parts.saved import Result

__all__ = ["Config", "Earlier", "Part", "Study", "Work"]

Config = Mapping[str, Any]
Earlier = Mapping[str, Result]
# What a part does: values, or (values, arrays). A module-level function (or a partial of one), so
# that any executor can carry it to another process; pure, so that its key says all about it.
Work = Callable[[Config, Earlier], Any]


@dataclass(frozen=True)
class Part:
    """One step of a study.

    Args:
        name: Its name, unique in the study; slashes group ("pbrf/1e-3").
        work: (config, earlier results by name) -> values, or (values, arrays). The config is the
            study's, with this part's options and "seed" added.
        needs: The parts whose results it is given.
        options: What distinguishes it from its siblings.
        without: How the names of arrays begin that it does not read: they are not sent to it.
    """

    name: str
    work: Work
    needs: tuple[str, ...] = ()
    options: Config = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def given(self, result: Result) -> Result:
        """A result as it is sent.

        Args:
            result: Of one of its needs.
        """
        if not self.without:
            return result
        sent = {n: a for n, a in result.arrays.items() if not n.startswith(self.without)}
        return replace(result, arrays=sent)


@dataclass(frozen=True)
class Study:
    """A study: what to compute, and what to hand to the report.

    Args:
        name: Its name on the command line and its folder.
        module: The module that defines it; its source is part of every key.
        config: Its configuration, plain data.
        quick: What a quick run changes in it.
        parts: Config -> parts.
        results: (config, results by seed and part name) -> the plain data that the report draws.
        seeds: Of a report that names none.
    """

    name: str
    module: ModuleType
    config: Config
    quick: Config
    parts: Callable[[Config], Sequence[Part]]
    results: Callable[[Config, Mapping[int, Earlier]], dict[str, Any]]
    seeds: tuple[int, ...] = (0,)
