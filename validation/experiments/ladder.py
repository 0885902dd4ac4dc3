"""The ladder of a trained model as parts of a study: `refimpl.rungs` computes, each result is saved."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from refimpl.rungs.outcomes import SIGNS
from refimpl.rungs.page import gather, page_data
from refimpl.rungs.parts import ladder_parts
from refimpl.rungs.plan import Arrays, Part as Step, Plan
from refimpl.rungs.saved import NOT_SCORES
from refimpl.rungs.setting import Setting
from validation.parts.saved import plain
from validation.parts.study import Config, Earlier, Part

__all__ = ["Make", "parts_of", "plan_of", "results", "study_part"]

# Makes the problem and its queries from the results of "train".
Make = Callable[[Config, Earlier], Setting]


def plan_of(config: Config) -> Plan:
    """What a study's configuration compares.

    Args:
        config: With "train" (N), "dampings", "headline", "groups" (of rungs), "retrained" (at which
            dampings, by sign), "examples" and "top".
    """
    return Plan(
        num_examples=config["train"],
        dampings=config["dampings"],
        headline=config["headline"],
        groups=config["groups"],
        retrained={
            reference: config.get("retrained", {}).get("+" if sign > 0 else "-", ())
            for reference, sign in SIGNS.items()
        },
        examples=config.get("examples", 0),
        top_k=config["top"],
        trials=config.get("quasi_newton_trials", 400),
        seed=config.get("seed", 0),
        method=config.get("route", "auto"),
        full_hessian=config.get("full_hessian", True),
    )


def parts_of(make: Make, config: Config) -> list[Part]:
    """The parts of the ladder; they need a part "train".

    Args:
        make: Makes the problem and its queries.
        config: As for `plan_of`.
    """
    return [study_part(step, make) for step in ladder_parts(plan_of(config))]


def study_part(step: Step, make: Make) -> Part:
    """A step of the ladder as a part of a study, given the model where it asks for the problem.

    Args:
        step: The step.
        make: Makes the problem and its queries.
    """
    if step.takes_setting:
        return Part(step.name, partial(_work, step, make), ("train", *step.needs))
    return Part(step.name, partial(_work, step, make), step.needs, without=NOT_SCORES)


def _work(
    step: Step, make: Make, config: Config, earlier: Earlier
) -> tuple[dict[str, Any], Arrays]:
    return step.run(plan_of(config), earlier, partial(make, config, earlier))


def results(
    config: Config, by_seed: Mapping[int, Earlier], also: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The plain data of a study's page, but for its name, title, setting and provenance.

    Args:
        config: The study's configuration.
        by_seed: Results by seed and part.
        also: More "curvatures", "references" and "statistics" for what the study measures besides.
    """
    values = [result.values for earlier in by_seed.values() for result in earlier.values()]
    first = [result.values for result in next(iter(by_seed.values())).values()]
    records = gather(values) | {"scatter": gather(first)["scatter"]}  # one drawing, of one seed
    page = page_data(records, plan_of(config))
    for kind, entries in (also or {}).items():
        page[kind] = [*page[kind], *entries]
    page["top_examples"] = [top for part in values for top in part.get("top_examples", [])]
    for part in first:
        page |= {name: part[name] for name in ("gallery", "passages", "claims") if name in part}
    return plain(page)
