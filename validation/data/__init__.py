"""Data sets that need no download, one a file."""

from validation.data.breast_cancer import tumours
from validation.data.characters import Characters, character_windows
from validation.data.diabetes import diabetes_patients
from validation.data.digits import digit_images, upsampled_digit_images
from validation.data.mnist import MNIST_FILES, mnist_images
from validation.data.sequences import Vocabulary, complete, completions, next_token
from validation.data.split import Split
from validation.data.text import Place, Text, folder_windows, text_windows

__all__ = [
    "MNIST_FILES",
    "Characters",
    "Place",
    "Split",
    "Text",
    "Vocabulary",
    "character_windows",
    "complete",
    "completions",
    "diabetes_patients",
    "digit_images",
    "folder_windows",
    "mnist_images",
    "next_token",
    "text_windows",
    "tumours",
    "upsampled_digit_images",
]
