"""The studies, by name: every file here that has a `STUDY`. A new one is a new file, and no more."""

import pkgutil
from importlib import import_module

from validation.parts.study import Study

__all__ = ["STUDIES", "find_studies"]


def find_studies() -> dict[str, Study]:
    """The studies in the folders of this package, in alphabetical order.

    Raises:
        AttributeError: A file has no `STUDY`.
        ValueError: A study's name is not that of its file.
    """
    studies: dict[str, Study] = {}
    for file in pkgutil.iter_modules(__path__):
        study: Study = import_module(f"{__name__}.{file.name}").STUDY
        if study.name != file.name:
            raise ValueError(f"the study of {file.name}.py calls itself {study.name!r}")
        studies[study.name] = study
    return studies


STUDIES = find_studies()
