"""
Runs a behaviour of sdk/contract.yaml: drives an SDK through the protocol of docs/sdk-contract.md,
and looks at what came to a scripted ingest. Knows no SDK.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import yaml

from loopback import LOOPBACK
from scripted_ingest import Request, ScriptedIngest
from waiting_for import wait_until

CONTRACT = yaml.safe_load((Path(__file__).parents[2] / "sdk/contract.yaml").read_text("utf-8"))
KEY = "tmw_contract"
_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}


@dataclass(frozen=True)
class Behaviour:
    """One claim, and what is done to see it."""

    name: str
    steps: list[Any]
    options: Mapping[str, Any]


def behaviours() -> list[Behaviour]:
    """Each of the contract; one about several things is as many."""
    return [
        Behaviour(
            f"{told['name']} ({case})" if case else told["name"], steps, told.get("options", {})
        )
        for told in CONTRACT["behaviours"]
        for case, answer in told.get("each", {"": None}).items()
        for steps in [_with_each(told["steps"], answer)]
    ]


def _with_each(steps: Any, answer: Any) -> Any:
    """The steps, with one of the things that a behaviour is about."""
    if isinstance(steps, list):
        return [answer if it == "each" else _with_each(it, answer) for it in steps]
    if isinstance(steps, dict):
        return {name: _with_each(value, answer) for name, value in steps.items()}
    return steps


def _ms(time: str) -> int:
    number, unit = time.split()
    return int(float(number) * _MS[unit])


class Sdk:
    """An adapter, by its address."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=120, **LOOPBACK)

    def do(self, name: str, body: Any) -> Any:
        answer = self._client.post(f"/{name}", json=body)
        assert answer.is_success, f"/{name} of the adapter: {answer.status_code} {answer.text}"
        return answer.json()

    def state(self) -> Any:
        return self._client.get("/state").raise_for_status().json()


class Run:
    """One behaviour of one SDK. A step is a method of its name, if it is not one of `_CALLS`."""

    def __init__(self, behaviour: Behaviour, sdk: Sdk, ingest: ScriptedIngest) -> None:
        self._behaviour, self._sdk, self._ingest = behaviour, sdk, ingest
        self._tracked = 0
        self._left = False
        """Whether the app was left: then several requests may have gone at once."""
        self._bound: dict[str, Any] = {}

    def run(self) -> None:
        self._sdk.do("restart", {"device": True})
        self._init()
        for step in self._behaviour.steps:
            try:
                self._step(step)
            except AssertionError as fault:
                came = "\n".join(f"{it.query}, {len(it.texts)} events" for it in self._ingest.came)
                raise AssertionError(f"{step}: {fault}\nwhat came:\n{came}") from fault
        _always(self._ingest.came)

    def _step(self, step: Any) -> None:
        name, value = (step, None) if isinstance(step, str) else next(iter(step.items()))
        if name in _CALLS:
            self._sdk.do(name, value or {})
        else:
            getattr(self, name.replace(" ", "_"))(value)

    # what is done

    def _init(self) -> None:
        options = {"key": KEY, "endpoint": self._ingest.url, **self._behaviour.options}
        self._sdk.do("init", options)

    def restart(self, how: Any) -> None:
        self._left = True
        self._sdk.do("restart", _RESTARTS[how])
        self._init()

    def background(self, _: None) -> None:
        self._left = True
        self._sdk.do("background", {})

    def answers(self, answers: Any) -> None:
        self._ingest.tell(answers)

    def advance(self, time: str) -> None:
        self._sdk.do("advance", {"ms": _ms(time)})

    def flush(self, expected: bool | None) -> None:  # noqa: FBT001 - a step's one value
        said = self._sdk.do("flush", {})
        if expected is not None:
            assert said["empty"] is expected, said

    def consent(self, decided: str) -> None:
        assert self._sdk.do("consent", {"decided": decided}) == {"consent": decided}

    def probes(self, wanted: Any) -> None:
        """So many more events, each with its number from 1; `large` ones are 10 KB longer."""
        count, filling = (wanted, {}) if isinstance(wanted, int) else (wanted["large"], _LARGE)
        for _ in range(count):
            self._tracked += 1
            body = {"event": "Probe", "properties": {"n": self._tracked, **filling}}
            self._sdk.do("track", body)

    # what is seen

    def requests(self, wanted: Any) -> None:
        came = self._ingest.came
        least, most = (wanted, wanted) if isinstance(wanted, int) else wanted
        wait_until(lambda: len(came) >= least, f"{least} requests come", seconds=5)
        assert len(came) <= most, f"{len(came)} requests came, not {most}"

    def request(self, wanted: Any) -> None:
        request = self._ingest.came[wanted["number"] - 1]
        for name, pattern in wanted.get("query", {}).items():
            self._matches({name: pattern}, request.query)
        if "events" in wanted:
            assert len(request.texts) == wanted["events"], len(request.texts)

    def same_bytes(self, numbers: list[int]) -> None:
        bodies = {self._ingest.came[number - 1].body for number in numbers}
        assert len(bodies) == 1, bodies

    def sizes(self, sizes: list[int]) -> None:
        found = [len(request.texts) for request in self._ingest.came]
        assert found == sizes, found

    def wait(self, wanted: Any) -> None:
        """Between a request and the one before, by the clock of the SDK."""
        number = wanted["before"]
        waited = _waits(self._ingest.came)[number - 2]
        assert _ms(wanted["at least"]) <= waited <= _ms(wanted["at most"]), f"{waited} ms"

    def backoff(self, _: None) -> None:
        """Of the requests so far, none of which was answered well."""
        waits = _waits(self._ingest.came)
        bounds = [min(300_000, 1000 * 2**n) for n in range(len(waits))]
        assert len(waits) >= 12, waits
        assert all(wait <= bound + 1000 for wait, bound in zip(waits, bounds, strict=True)), waits
        assert max(waits[7:]) > 10_000, f"they do not grow: {waits}"
        shares = {round(wait / bound, 1) for wait, bound in zip(waits, bounds, strict=True)}
        assert len(shares) > 2, f"there is no chance in them: {waits}"

    def stored(self, wanted: Any) -> None:
        expected = _numbers(wanted)
        wait_until(lambda: set(expected) <= set(self._numbers_stored()), "all is stored", seconds=5)
        found = self._numbers_stored()
        assert found == expected, f"stored were {found}"

    def newest_stored(self, wanted: Any) -> None:
        self._one_end_stored(
            wanted, lambda count: [*range(self._tracked - count + 1, self._tracked + 1)]
        )

    def first_stored(self, wanted: Any) -> None:
        self._one_end_stored(wanted, lambda count: [*range(1, count + 1)])

    def _one_end_stored(self, wanted: Any, end: Callable[[int], list[int]]) -> None:
        found = self._numbers_stored()
        assert wanted["at least"] <= len(found) <= wanted["at most"], len(found)
        assert found == end(len(found)), found

    def accounted(self, _: None) -> None:
        """Every probe is stored, or is counted as lost and told so."""
        lost = self._tracked - len(self._numbers_stored())
        self.state({"queued": 0, "dropped": lost})
        self.dropped(lost)

    def _numbers_stored(self) -> list[int]:
        events = self._events_stored()
        return [it["properties"]["n"] for it in events if it.get("event") == "Probe"]

    def _events_stored(self) -> list[Any]:
        """Each once, as they came first, or by their ids where requests may have gone at once."""
        found = _distinct(self._ingest.stored)
        return [found[key] for key in (sorted(found) if self._left else found)]

    def events(self, wanted: list[Any]) -> None:
        found = self._events_stored()
        assert len(found) == len(wanted), f"{len(found)} events are stored, not {len(wanted)}"
        for pattern, event in zip(wanted, found, strict=True):
            self._matches(pattern, event)

    def dropped(self, count: int) -> None:
        """As the requests that were stored told."""
        told = sum(int(request.query.get("dropped", 0)) for request in self._ingest.stored)
        assert told == count, f"{told} were told"

    def state(self, wanted: Any) -> None:
        def holds() -> bool:
            state = self._sdk.state()
            return all(state[name] == value for name, value in wanted.items())

        try:
            wait_until(holds, "the state is as it should be", seconds=3)
        except AssertionError:
            raise AssertionError(f"the state is {self._sdk.state()}") from None

    def _matches(self, pattern: Any, value: Any, at: str = "") -> None:
        if isinstance(pattern, dict):
            assert isinstance(value, Mapping), f"{at} is {value!r}"
            for name, inner in pattern.items():
                self._matches(inner, value.get(name, _ABSENT), f"{at}.{name}")
        elif isinstance(pattern, str) and "$" in pattern:
            self._same(pattern, value, at)
        else:
            assert _is(pattern, value), f"{at} is {value!r}, not {pattern!r}"

    def _same(self, pattern: str, value: Any, at: str) -> None:
        differs, name = pattern.startswith("not "), pattern.removeprefix("not ")
        assert value not in (_ABSENT, None), f"{at} is missing"
        same = self._bound.setdefault(name, value) == value
        assert same is not differs, f"{at} is {value!r}, {name} is {self._bound[name]!r}"


_RESTARTS = {None: {}, "killed": {"killed": True}, "on a new device": {"device": True}}
_LARGE = {"filling": "x" * 10_000}
_ABSENT = "<absent>"


def _is(pattern: Any, value: Any) -> bool:
    """Whether a value is the one, or what a word in <…> stands for."""
    if pattern == _ABSENT or not (isinstance(pattern, str) and pattern.startswith("<")):
        return bool(pattern == value)
    text = value if isinstance(value, str) else json.dumps(value)
    return value != _ABSENT and bool(re.fullmatch(CONTRACT["words"][pattern[1:-1]], text))


_CALLS = {"track", "page", "identify", "group", "alias", "reset"}
"""Steps that are calls of the SDK's own, and nothing more."""


def _numbers(wanted: Any) -> list[int]:
    """`none`, a number (from 1 to it), or ranges: `1-4, 6-10`."""
    if wanted == "none":
        return []
    text = f"1-{wanted}" if isinstance(wanted, int) else wanted
    found: list[int] = []
    for part in text.split(", "):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def _waits(came: list[Request]) -> list[int]:
    sent = [int(request.query["sentAt"]) for request in came]
    return [after - before for before, after in pairwise(sent)]


def _distinct(requests: list[Request]) -> dict[str, Any]:
    """Each event once, by its id, as they came first."""
    found: dict[str, Any] = {}
    for request in requests:
        for event in request.events:
            found.setdefault(event["messageId"], event)
    return found


def _always(came: list[Request]) -> None:
    """What holds of all requests of every behaviour, whatever else it is about."""
    first: dict[str, bytes] = {}
    for request in came:
        _is_well_formed(request)
        ids = [event["messageId"] for event in request.events]
        assert all(a < b for a, b in pairwise(ids)), f"ids do not grow: {ids}"
        for key, text in zip(ids, request.texts, strict=True):
            told = first.setdefault(key, text)
            assert told == text, f"an event came with other bytes: {told!r}, then {text!r}"


def _is_well_formed(request: Request) -> None:
    always = CONTRACT["always"]
    assert f"{request.method} {request.path}" == always["request"], request.path
    said = request.headers.get("content-type", "").lower().replace(" ", "")
    assert said in always["content types"], said
    for name, pattern in always["query"].items():
        assert _is(pattern, request.query.get(name, _ABSENT)), f"{name}: {request.query}"
    for name, pattern in always["query, if at all"].items():
        assert name not in request.query or _is(pattern, request.query[name]), request.query
    assert request.query["key"] == KEY
    many, size = len(request.texts), len(request.body)
    assert 1 <= many <= always["most events"], many
    assert many == 1 or size <= always["most bytes"], size
    for event in request.events:
        _has(always["event"], event, "the event")


def _has(pattern: Any, value: Any, at: str) -> None:
    if isinstance(pattern, dict):
        for name, inner in pattern.items():
            _has(inner, value.get(name, _ABSENT), f"{at}.{name}")
    else:
        assert _is(pattern, value), f"{at} is {value!r}, not {pattern!r}"
