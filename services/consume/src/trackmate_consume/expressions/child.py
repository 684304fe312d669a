"""
The program of the child process: it compiles a filter and a transform with the libraries that know
CEL and jq, and runs them on events. Neither library bounds its cost, so the process is confined
before it sees any expression, and ended by the kernel when an event takes too much.

Started as `python -I -m trackmate_consume.expressions.child`, without an environment, with one pipe
in and one out. It ends when the pipe in is closed: when the parent dies, too.
"""

import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import jq
from cel_expr_python import cel

from trackmate_consume.expressions import reading, refused
from trackmate_consume.expressions.messages import (
    Answer,
    Batch,
    Compiled,
    Event,
    Job,
    Limits,
    batch_decoder,
    frame,
    job_decoder,
)

Filter = Callable[[Any, Any], Answer | None]
"""From `event` and `tm` to why the event does not pass; None where it does."""
Transform = Callable[[Event], Answer]

_NICE = 5
_FLUSH_BYTES = 1 << 16
_FLUSH_S = 0.02
_LONGEST_DETAIL = 500  # characters
_LARGEST_INTEGER = (1 << 63) - 1


def main() -> None:
    """Serve until the pipe in is closed."""
    pipe = os.fdopen(0, "rb")
    content = _read(pipe)
    if content is None:
        return
    job = job_decoder.decode(content)
    _confine(job.limits)
    _write(frame([]))
    accept = _compiled(job.limits, lambda: _filter(job.filter or "")) if job.filter else None
    make = _compiled(job.limits, lambda: _transform(job)) if job.transform else None
    while (content := _read(pipe)) is not None:
        _serve(batch_decoder.decode(content), job.limits, accept, make)


def _read(pipe: BinaryIO) -> bytes | None:
    head = pipe.read(4)
    return pipe.read(int.from_bytes(head, "little")) if head else None


def _write(content: bytes) -> None:
    while content:
        content = content[os.write(1, content) :]


def _confine(limits: Limits) -> None:
    """No further file, socket or process, no core, no more memory; what is imported stays."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    os.nice(_NICE)
    for what, most in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        _, hard = resource.getrlimit(what)
        least = most if hard < 0 else min(most, hard)
        with suppress(ValueError):  # macOS does not bound the address space
            resource.setrlimit(what, (least, least))


@contextmanager
def _cpu(most_s: float) -> Iterator[None]:
    """The kernel ends the process (SIGPROF) that takes more CPU time, its own or the system's."""
    signal.setitimer(signal.ITIMER_PROF, most_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


# compiling


def _compiled(limits: Limits, make: Callable[[], tuple[Any, bytes]]) -> Any:
    """What was made, after telling the parent; None where it cannot run."""
    try:
        with _cpu(limits.compile_cpu_s):
            made, tree = make()
    except (ValueError, RuntimeError) as fault:
        _write(frame(Compiled(fault=_said(str(fault)))))
        return None
    except MemoryError:
        _write(frame(Compiled(fault=_too_large(limits))))
        return None
    _write(frame(Compiled(tree=tree)))
    return made


def _filter(text: str) -> tuple[Filter, bytes]:
    """Raises ValueError where it cannot run."""
    dyn = cel.Type.DYN
    try:
        program = cel.NewEnv(variables={"event": dyn, "tm": dyn}).compile(text)
    except RuntimeError as fault:
        raise ValueError(_cel_faults(str(fault))) from None
    kind = program.return_type().name()
    if kind not in {"BOOL", "DYN"}:
        raise ValueError(f"it says {kind.lower()}, and a filter says true or false; compare it")

    def accept(event: Any, tm: Any) -> Answer | None:
        result = _evaluated(program, event, tm)
        value = result.value()
        if value is True:
            return None
        if value is False:
            return Answer(reason="false")
        if result.type().name() == "ERROR":
            return _cel_error(str(value))
        kind = result.type().name().lower()
        return Answer(reason="filter_error", detail=f"it says {kind}, and not true or false")

    return accept, program.serialize()


def _evaluated(program: cel.Expression, event: Any, tm: Any) -> cel.Value:
    """CEL has no integers beyond 64 bits: there they are doubles, as any JSON number may be."""
    result = program.eval(data={"event": event, "tm": tm})
    if result.type().name() == "ERROR" and "out of range for 'event" in str(result.value()):
        return program.eval(data={"event": _bounded(event), "tm": tm})
    return result


def _bounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _bounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return float(value) if value.bit_length() < sys.float_info.max_exp else float("inf")
    return value


def _cel_error(text: str) -> Answer:
    """What the library says of a value that is not there, and of all else."""
    if text.startswith("NOT_FOUND: Key not found") or "Index error: index=" in text:
        return Answer(reason="missing")
    return Answer(reason="filter_error", detail=_bare(text))


def _bare(text: str) -> str:
    """
    >>> _bare("INTERNAL: Iteration budget exceeded [INTERNAL]")
    'Iteration budget exceeded'
    """
    return _said(re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", text))


def _cel_faults(text: str) -> str:
    r"""
    >>> _cel_faults("X: ERROR: <input>:1:4: undeclared reference to 'foo' (in container '')\n | x")
    "line 1, column 4: undeclared reference to 'foo'; there are event and tm"
    """
    if re.search("recursion (depth|limit)", text):  # said of the whole, without a place
        return "it is nested too deep, or a chain too long; write it flatter"
    found = re.findall(r"<input>:(\d+):(\d+): (.*)", text)
    if not found:
        return _bare(text)
    return "; ".join(
        f"line {line}, column {column}: {_cel_words(words)}" for line, column, words in found
    )


_MEANT = {"=": "==", "&": "&&", "|": "||", "and": "&&", "or": "||"}
"""What other languages write, and CEL does not know."""


def _cel_words(words: str) -> str:
    """
    >>> _cel_words("Syntax error: token recognition error at: '=1'")
    "Syntax error: token recognition error at: '=1'; write '=='"
    """
    words = re.sub(r" expecting \{.*\}| \[[A-Z_]+\]$", "", words)
    foreign = re.search(r"(?:recognition error at:|mismatched input) '([=&|]|and\b|or\b)", words)
    if foreign:
        return f"{words}; write '{_MEANT[foreign[1]]}'"
    return re.sub(r"(undeclared reference to '.*') \(in .*\)", r"\1; there are event and tm", words)


def _transform(job: Job) -> tuple[Transform, bytes]:
    """Raises ValueError where it cannot run."""
    text, limits = job.transform or "", job.limits
    try:
        jq.compile(text, args={"tm": {}})  # alone, so that positions are the user's
        with_tm = "$tm" in text
        names = ".[1] as $tm | .[0] | " if with_tm else ""
        program = jq.compile(f"{refused.FENCE}{names}({text}\n)|tojson")
    except ValueError as fault:
        raise ValueError(_jq_faults(str(fault))) from None

    def make(event: Event) -> Answer:
        text, tm = event
        most = limits.times_larger * len(text) + limits.beyond
        given = b"[%b,%b]" % (text, tm) if with_tm and tm else text
        documents: list[bytes] = []
        try:
            for made in program.input_text(given.decode()):
                document = made.encode()
                documents.append(document)
                most -= len(document) + 1
                if most < 0:
                    return _too_long(limits)
        except ValueError as fault:
            return Answer(reason="transform_error", detail=_said(str(fault)))
        return Answer(documents)

    return make, b""


def _jq_faults(text: str) -> str:
    r"""
    >>> _jq_faults("jq: error: foo/0 is not defined at <top-level>, line 1, column 2:\n  foo\n  ^")
    'line 1, column 2: foo/0 is not defined'
    """
    found = re.findall(r"jq: error: (.*) at <top-level>, line (\d+), column (\d+)", text)
    if not found:
        return re.sub(r"^jq: error: |\s+jq: \d+ compile error.*", "", text, flags=re.DOTALL)
    return "; ".join(f"line {line}, column {column}: {words}" for words, line, column in found)


# running


def _serve(batch: Batch, limits: Limits, accept: Filter | None, make: Transform | None) -> None:
    answers: list[Answer] = []
    size, flushed = 0, time.monotonic()
    for event in batch.events:
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)  # as `_cpu`, which costs a microsecond
        answer = _accepted(event, limits, accept) if accept else None
        if answer is None and make:
            if accept and batch.careful:
                _write(frame([]))
            answer = _made(event, limits, make)
        answers.append(answer or Answer())
        size += sum(map(len, answers[-1].documents))
        now = time.monotonic()
        if batch.careful or size > _FLUSH_BYTES or now - flushed > _FLUSH_S:
            _write(frame(answers))
            answers, size, flushed = [], 0, now
    signal.setitimer(signal.ITIMER_PROF, 0)
    if answers:
        _write(frame(answers))


def _accepted(event: Event, limits: Limits, accept: Filter) -> Answer | None:
    try:
        value = reading.value(event[0])
        return accept(value, reading.value(event[1]) if event[1] else None)
    except MemoryError:
        return Answer(reason="filter_limit", detail=_too_large(limits))
    except RuntimeError as fault:  # the library's own bound on loops
        return Answer(reason="filter_limit", detail=_bare(str(fault)))
    except ValueError as fault:
        return Answer(reason="filter_error", detail=_said(f"the event is no JSON: {fault}"))


def _made(event: Event, limits: Limits, make: Transform) -> Answer:
    try:
        return make(event)
    except MemoryError:
        return Answer(reason="transform_limit", detail=_too_large(limits))


def _too_large(limits: Limits) -> str:
    return f"it took more than {limits.memory >> 20} MiB of memory"


def _too_long(limits: Limits) -> Answer:
    most = f"{limits.times_larger} times the event and {limits.beyond >> 10} KiB"
    return Answer(reason="transform_limit", detail=f"its documents are larger than {most}")


def _said(words: str) -> str:
    return words[:_LONGEST_DETAIL].encode("utf-8", "replace").decode()


if __name__ == "__main__":
    main()
