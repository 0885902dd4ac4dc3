"""Vectors: cases with their right answers as files, for any language and without refimpl.

A vector is two files: `<family>/<slug>.json` says what it is (`vector.schema.json`), and
`<family>/<slug>.safetensors` holds its arrays: the case, arguments of stages, outputs, and their scales.
An answer is `<family>/<slug>.safetensors` with outputs by name, or `<family>/<slug>.json` holding
{"rejected": why} or {"unsupported": why}. docs/vectors.md tells this to those who write a client.

Released vectors (`v1/`, `v1/SHA256SUMS`) never change; what is wrong with one is corrected in a v2.
"""

from refimpl.oracle.vectors.files import (
    BadVector as BadVector,
    Vector as Vector,
    export as export,
    paths as paths,
    read as read,
    released as released,
    write as write,
)
from refimpl.oracle.vectors.lint import lint_folder as lint_folder
from refimpl.oracle.vectors.verify import Verified as Verified, verify_answers as verify_answers
