"""The studies, by name. A new study is one new file here and one line below."""

from validation.parts.study import Study
from validation.studies import (
    breast_cancer,
    characters,
    diabetes,
    digits,
    digits_cnn,
    mnist,
    text,
    text_wide,
)

__all__ = ["STUDIES"]

ALL = (
    digits.STUDY,
    digits_cnn.STUDY,
    diabetes.STUDY,
    breast_cancer.STUDY,
    mnist.STUDY,
    characters.STUDY,
    text.STUDY,
    text_wide.STUDY,
)
STUDIES: dict[str, Study] = {study.name: study for study in ALL}
