"""An adapter as a program: `python -m refimpl.oracle.subject.serve my_adapter:MyLibrary`.

Speaks the protocol of docs/another-language.md. Whatever the adapter prints goes to standard error,
even from C: the file descriptors themselves are exchanged before it is imported.
"""

import faulthandler
import gc
import json
import os
import sys
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from refimpl.oracle.question.case import Case
from refimpl.oracle.stages import STAGES
from refimpl.oracle.stages.numbers import BadAnswer
from refimpl.oracle.subject.adapter import Adapter, Unsupported
from refimpl.oracle.subject.in_process import InProcess
from refimpl.oracle.subject.loading import NotLoaded, load
from refimpl.oracle.subject.session import Failed
from refimpl.oracle.subject.wire import (
    PROTOCOL,
    pack_answer,
    pack_declaration,
    read_arrays,
    unpack_arguments,
    unpack_case,
    write_arrays,
)

__all__ = ["adapter_named", "serve_requests"]


def adapter_named(name: str) -> Adapter:
    """Make an adapter of the class of a name.

    Args:
        name: "module:Class" or "file.py:Class".

    Raises:
        NotLoaded: It is no adapter; the text says what to do.
    """
    loaded = load(name, "CLASS")
    adapter = loaded() if isinstance(loaded, type) else loaded
    if not isinstance(adapter, Adapter):
        raise NotLoaded(
            f"{name} must be a class that derives from refimpl.oracle.Adapter, got "
            f"{type(adapter).__name__}"
        )
    if not hasattr(adapter, "declaration"):
        raise NotLoaded(
            f"{name} needs a declaration: write declaration = Declaration(name='...') in the class"
        )
    return adapter


def serve_requests(name: str, requests: IO[str], replies: IO[str]) -> None:
    """Answer requests until "stop" or the end of the stream.

    Args:
        name: "module:Class" or "file.py:Class".
        requests: JSON lines.
        replies: JSON lines.
    """
    session: InProcess | None = None
    for line in requests:
        message = json.loads(line)
        if message["op"] == "stop":
            return
        if message["op"] == "start":
            session, reply = _start(name, message)
        else:
            assert session is not None, "'run' came before 'start'"
            reply = {"id": message["id"], **_run(session, message)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _start(name: str, message: Mapping[str, Any]) -> tuple[InProcess | None, dict[str, Any]]:
    if message["protocol"] != PROTOCOL:
        return None, {"error": f"speaks protocol {PROTOCOL}, asked for {message['protocol']}"}
    try:
        session = InProcess(adapter_named(name))
    except NotLoaded as error:
        return None, {"error": str(error)}
    except Exception:  # whatever the author's module raises: theirs to see in full
        return None, {"error": f"{name} cannot be loaded:\n{traceback.format_exc()}"}
    gc.freeze()  # what is imported stays: not to look through it ends the program sooner
    described = session.described
    declaration = pack_declaration(described.declaration)
    return session, {"declaration": declaration, "stages": list(described.stages)}


def _run(session: InProcess, message: Mapping[str, Any]) -> dict[str, Any]:
    case = _case(message["case_arrays"], json.dumps(message["case"]))
    stage = message["stage"]
    arrays = read_arrays(Path(message["argument_arrays"]))
    arguments = unpack_arguments(stage, case, message["arguments"], arrays)
    try:
        raw = session.call(stage, case, arguments)
        answer = STAGES[stage].read(raw, case, len(arguments.get("vectors", ())))
        write_arrays(Path(message["answer"]), pack_answer(stage, answer))
    except Unsupported as error:
        return {"unsupported": str(error)}
    except (Failed, BadAnswer) as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)  # to the log
        return {"error": str(error)}
    return {"ok": True}


@lru_cache(maxsize=8)
def _case(path: str, plain: str) -> Case:
    return unpack_case(json.loads(plain), read_arrays(Path(path)))


def _exchanged() -> tuple[IO[str], IO[str]]:
    """Take standard input and output for the protocol, and leave the adapter substitutes."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(requests, encoding="utf-8"), os.fdopen(replies, "w", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m refimpl.oracle.subject.serve MODULE:CLASS")
    faulthandler.enable()  # a segmentation fault then says where, on standard error
    serve_requests(sys.argv[1], *_exchanged())
