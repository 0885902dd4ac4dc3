"""The studies, by name. A new study is one new file here and one line below."""

from validation.runner import Study
from validation.studies import digits

__all__ = ["STUDIES"]

STUDIES: dict[str, Study] = {study.name: study for study in (digits.STUDY,)}
