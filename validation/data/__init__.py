"""Data sets that need no download, one a file."""

from validation.data.breast_cancer import breast_cancer
from validation.data.characters import Characters, characters
from validation.data.diabetes import diabetes
from validation.data.digits import digits, upsampled_digits
from validation.data.mnist import MNIST_FILES, mnist
from validation.data.sequences import Vocabulary, complete, completions, next_token
from validation.data.split import Split
from validation.data.text import Place, Text, text, text_folder

__all__ = [
    "MNIST_FILES",
    "Characters",
    "Place",
    "Split",
    "Text",
    "Vocabulary",
    "breast_cancer",
    "characters",
    "complete",
    "completions",
    "diabetes",
    "digits",
    "mnist",
    "next_token",
    "text",
    "text_folder",
    "upsampled_digits",
]
