"""
The program of the child process: compiles a filter and a transform, takes events on standard input
and answers on standard output, one by one. It ends when its input ends.

It gives up what it does not need before it reads the first word of an expression: it can open no
file and no socket, start no process and write no file. A timer ends it when an event takes too much
processor time, the address space when one takes too much memory; the parent sees by which signal it
ended, and starts another.
"""

import contextlib
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jq
import msgspec

from trackmate_consume.expressions.frames import LENGTH, Answer, Job, Task, frame
from trackmate_consume.expressions.refused import PRELUDE, first_refused

_NICE = 5
_LONGEST_DETAIL = 500  # characters
_MOST_TIMES = 4  # an output may be this many times its event,
_MOST_MORE = 65_536  # and this many bytes more

_FUNCTIONS = frozenset(
    ["size", "contains", "startsWith", "endsWith", "matches", "timestamp", "duration", "int", "uint", "double", "string", "bytes", "type", "dyn", "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes", "getSeconds", "getMilliseconds"]
)


class Misspelt(Exception):  # noqa: N818 - what the expression is
    """The path of the expression and what is wrong with it."""


class Programs(NamedTuple):
    filter: Callable[[Task], Answer | None] | None
    """None where the event passes."""
    transform: Callable[[Task], Answer] | None


def main() -> None:
    job = msgspec.msgpack.decode(_read(), type=Job)
    if job.filter is not None:
        import cel  # noqa: F401 - while files can still be opened
    _confine(job.memory_bytes)
    signal.setitimer(signal.ITIMER_PROF, job.compile_cpu_s)
    try:
        programs = Programs(
            _filter(job.filter) if job.filter is not None else None,
            _transform(job.jq) if job.jq is not None else None,
        )
    except Misspelt as fault:
        _say(Answer("misspelt", *fault.args))
        return
    _say(Answer("ready"))
    take = msgspec.msgpack.Decoder(Task)
    while body := _read():
        task = take.decode(body)
        signal.setitimer(signal.ITIMER_PROF, job.cpu_s)
        answer = _answer(programs, task)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(answer)


def _confine(memory_bytes: int) -> None:
    os.nice(_NICE)
    os.chdir("/")
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        most = _address_space() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _address_space() -> int:
    """In bytes, as far as the system says."""
    return _STATM_PAGES * resource.getpagesize()


def _statm_pages() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - no more modules
            return int(statm.read().split()[0])
    except OSError:
        return 1 << 16


_STATM_PAGES = _statm_pages()


def _read() -> bytes:
    """The next frame's body; empty at the end."""
    head = sys.stdin.buffer.read(LENGTH.size)
    return sys.stdin.buffer.read(*LENGTH.unpack(head)) if len(head) == LENGTH.size else b""


def _say(answer: Answer) -> None:
    left = memoryview(frame(answer))
    while left:
        left = left[os.write(1, left) :]


def _answer(programs: Programs, task: Task) -> Answer:
    if programs.filter is not None:
        try:
            stopped = programs.filter(task)
        except MemoryError:
            return Answer("dead", "filter_limit", "the filter took more memory than it may")
        if stopped is not None:
            return stopped
    if programs.transform is None:
        return Answer("made")
    if programs.filter is not None:
        _say(Answer("passed"))
    try:
        return programs.transform(task)
    except MemoryError:
        return Answer("dead", "transform_limit", "the transform took more memory than it may")


# filter


def _filter(text: str) -> Callable[[Task], Answer | None]:
    import cel

    try:
        program = cel.compile(text)
    except Exception as fault:  # noqa: BLE001 - whatever the library says
        raise Misspelt("spec.filter", _cel_words(str(fault))) from None
    _check_names(text, program)

    def decide(task: Task) -> Answer | None:
        seen = {"event": _decoded(task.event), "tm": _decoded(task.tm) if task.tm else None}
        try:
            said = program.execute(seen)
        except (KeyError, IndexError):
            return Answer("filtered", "missing")
        except MemoryError:
            raise
        except BaseException as fault:  # noqa: BLE001 - a panic of the library is no Exception
            return Answer("dead", "filter_error", _short(str(fault)))
        if said is True:
            return None
        if said is False:
            return Answer("filtered", "false")
        words = f"the filter said {said!r}, which is neither true nor false"
        return Answer("dead", "filter_error", _short(words))

    return decide


def _check_names(text: str, program: Any) -> None:
    for name in program.variables():
        bound = re.search(rf"\(\s*{re.escape(name)}\s*,", text)  # as in all(x, …)
        if name not in {"event", "tm", *_FUNCTIONS} and not bound:
            words = f"there is no {name!r}; there are 'event' and 'tm'"
            raise Misspelt("spec.filter", _place(text, name) + words)
    for name in program.functions():
        if name[0].isalpha() and name not in _FUNCTIONS:
            known = ", ".join(sorted(_FUNCTIONS))
            words = f"there is no function {name!r}; there are {known}"
            raise Misspelt("spec.filter", _place(text, name) + words)


def _place(text: str, name: str) -> str:
    found = re.search(rf"\b{re.escape(name)}\b", text)
    if found is None:
        return ""
    at = found.start()
    line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
    return f"line {line}, column {column}: "


def _cel_words(said: str) -> str:
    """
    >>> _cel_words("Failed to parse expression 'a': ERROR: <input>:1:14: Syntax error: b\\n| a")
    'line 1, column 14: Syntax error: b'
    """
    found = re.search(r"<input>:(\d+):(\d+): ([^\n]*)", said)
    return _short(f"line {found[1]}, column {found[2]}: {found[3]}" if found else said)


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):  # a number that no double holds
        return json.loads(text)


# transform


def _transform(text: str) -> Callable[[Task], Answer]:
    refused = first_refused(text)
    if refused is not None:
        raise Misspelt("spec.transform.jq", str(refused))
    _compiled(text, text, args={"tm": {}})  # alone, so that what it says of places is right
    # One input holds both: an argument of a program is fixed when it is compiled.
    program = _compiled(text, f".tm as $tm|.event|{PRELUDE}({text}\n)|tojson")

    def make(task: Task) -> Answer:
        both = b'{"event":%b,"tm":%b}' % (task.event, task.tm or b"null")
        most = _MOST_TIMES * len(task.event) + _MOST_MORE
        documents = []
        try:
            for document in _outputs(program, both.decode()):
                most -= len(document) + 1
                if most < 0:
                    words = "the transform makes more than 4 times the event and 64 KiB"
                    return Answer("dead", "transform_limit", words)
                documents.append(document)
        except ValueError as fault:
            return Answer("dead", "transform_error", _short(str(fault)))
        return Answer("made", documents=documents) if documents else Answer("filtered", "empty")

    return make


def _outputs(program: Any, text: str) -> Iterator[bytes]:
    for output in program.input_text(text):
        yield output.encode("utf-8", "replace")


def _compiled(text: str, wrapped: str, args: dict[str, Any] | None = None) -> Any:
    try:
        return jq.compile(wrapped, args=args)
    except ValueError as fault:
        raise Misspelt("spec.transform.jq", _jq_words(str(fault))) from None


def _jq_words(said: str) -> str:
    """
    >>> _jq_words("jq: error: foo/0 is not defined at <top-level>, line 1, column 2:\\n    (foo")
    'line 1, column 2: foo/0 is not defined'
    """
    found = re.match(r"jq: error: (.*?) at <top-level>, line (\d+), column (\d+)", said, re.DOTALL)
    return _short(f"line {found[2]}, column {found[3]}: {found[1]}" if found else said)


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST_DETAIL else words[: _LONGEST_DETAIL - 1] + "…"


if __name__ == "__main__":
    main()
