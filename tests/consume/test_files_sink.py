"""
The sink `files`: finished files are whole, and hold each event once.
"""

import asyncio
import shutil
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pytest

import filing
from filing import WRITER, event, files_sink, finished, hand, leave, lines, mounted, opened, until
from trackmate_consume.assembly import Surroundings, sink_of
from trackmate_consume.formats import FORMATS
from trackmate_consume.ledger import Outcome
from trackmate_consume.sink import Document, Down, Unfit
from trackmate_consume.sinks.files import FilesSink
from trackmate_consume.sinks.journal import MOST_REPEATED
from trackmate_consume.waiting import Entry
from trackmate_consume.window import Window
from trackmate_contract.pipeline import PipelineSpec

PAGE = (Path(__file__).parents[2] / "docs" / "sinks-files.md").read_text("utf-8")
HIDDEN = Path(".trackmate/acme.to-files.1f3a5c7e")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_every_document_is_a_line_and_every_event_is_delivered(out: Path) -> None:
    async def scenario() -> list[Outcome]:
        async with opened(files_sink(out)) as sink:
            return [*await sink.write([event(0, b'{\n"a": 1}', b"2"), event(1)])]

    assert asyncio.run(scenario()) == [Outcome.DELIVERED] * 2
    assert lines(out) == [b'{ "a": 1}', b"2", b"1"]


def test_a_name_says_whose_events_they_are_and_which(out: Path) -> None:
    hand(files_sink(out), [event(7), event(8), event(3, stream="web-scans", partition=12)])

    assert list(finished(out)) == [
        "acme.to-files.events-0.1f3a5c7e.000000000007-000000000008.ndjson",
        "acme.to-files.web-scans-12.1f3a5c7e.000000000003-000000000003.ndjson",
    ]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_each_format_has_its_extension(out: Path, form: str) -> None:
    hand(files_sink(out, form=form), [event(0)])

    [name] = finished(out)
    assert name.endswith(f".{FORMATS[form].extension}")


def test_a_file_is_finished_once_it_has_its_size_and_not_within_an_event(out: Path) -> None:
    large = event(3, *[b"x" * 600] * 4)

    hand(files_sink(out, bytes="1Ki"), [event(n, b"y" * 500) for n in range(3)] + [large, event(4)])

    sizes = {name.split(".")[4][-1]: len(content) for name, content in finished(out).items()}
    assert sizes == {"2": 1503, "3": 2404, "4": 2}


def test_a_new_file_begins_where_the_columns_change(out: Path) -> None:
    a, b = b"id,a", b"id,b"

    hand(
        files_sink(out, form="csv"),
        [event(0, b"0,x", head=a), event(1, b"1,x", head=a), event(2, b"2,y", head=b)],
        [event(3, b"3,y", head=b), event(4, b"[4]")],
    )

    assert list(finished(out).values()) == [b"id,a\n0,x\n1,x\n", b"id,b\n2,y\n3,y\n", b"[4]\n"]


def test_documents_of_one_event_go_into_several_files_where_their_columns_differ(out: Path) -> None:
    documents = Document(b"0", b"a"), Document(b"1", b"b"), Document(b"2", b"a")

    hand(files_sink(out, form="csv"), [event(0)._replace(documents=documents)])

    assert sorted(finished(out).values()) == [b"a\n0\n", b"a\n2\n", b"b\n1\n"]


def test_a_file_is_finished_by_its_age_without_another_event(out: Path) -> None:
    async def scenario() -> None:
        async with opened(files_sink(out, every="1s")) as sink:
            await sink.write([event(0)])
            assert not finished(out)
            await until(lambda: finished(out), "it is finished")

    asyncio.run(scenario())


def test_a_file_that_is_old_when_the_process_starts_is_finished_then(out: Path) -> None:
    leave(out, [event(0)])

    async def scenario() -> None:
        async with opened(files_sink(out, every="1s")):
            await until(lambda: finished(out), "it is finished")

    asyncio.run(scenario())


def test_nobody_who_looks_sees_a_file_that_is_not_whole(out: Path) -> None:
    seen: dict[str, set[bytes]] = {}
    ended = Event()

    def look() -> None:
        while not ended.is_set():
            for name, content in finished(out).items():
                seen.setdefault(name, set()).add(content)

    reader = Thread(target=look)
    reader.start()
    batches = [[event(n + at, b"x" * 200) for at in range(7)] for n in range(0, 700, 7)]
    try:
        hand(files_sink(out, bytes="1Ki"), *batches)
    finally:
        ended.set()
        reader.join()

    assert len(seen) > 10, "nothing was seen while it was written"
    assert all(contents == {finished(out)[name]} for name, contents in seen.items())


# resuming


def test_what_a_killed_process_left_is_gone_on_with(out: Path) -> None:
    leave(out, [event(0), event(1)])
    assert not finished(out)

    hand(files_sink(out), [event(2)])

    [content] = finished(out).values()
    assert content == b"0\n1\n2\n"


@pytest.mark.parametrize("line", [b'00000000 {"events":[[1,', b"00000000 {}\n", b"\x00" * 99])
def test_bytes_that_no_whole_line_of_the_journal_speaks_of_are_no_part_of_the_file(
    out: Path, line: bytes
) -> None:
    leave(out, [event(0)])
    with (out / HIDDEN / "events-0.open").open("ab") as file:
        file.write(b"half a do")
    with (out / HIDDEN / "events-0.journal").open("ab") as file:
        file.write(line)

    hand(files_sink(out), [event(1)])

    assert lines(out) == [b"0", b"1"]


def test_an_event_that_comes_again_is_delivered_and_not_written_again(out: Path) -> None:
    leave(out, [event(0), event(2)])

    hand(files_sink(out), [event(0), event(1), event(2), event(3)], [event(3)])

    assert sorted(lines(out)) == [b"0", b"1", b"2", b"3"]


def test_it_is_known_also_when_its_file_is_finished_and_taken_away(out: Path) -> None:
    hand(files_sink(out), [event(0)])
    for name in finished(out):
        (out / name).unlink()

    hand(files_sink(out), [event(0), event(1)])

    assert lines(out) == [b"1"]


def test_more_events_are_known_than_a_crash_repeats() -> None:
    window = Window()
    entry = Entry(event(0).record, None)

    while not window.full:
        window.add([entry] * 1000)

    assert len(window) < MOST_REPEATED


def test_a_file_of_another_format_is_finished_first(out: Path) -> None:
    leave(out, [event(0)])

    hand(files_sink(out, form="text"), [event(1)])

    assert [name.rsplit(".")[-1] for name in finished(out)] == ["ndjson", "txt"]


def test_the_journal_does_not_grow_with_the_file(out: Path) -> None:
    sizes = []

    async def scenario() -> None:
        async with opened(files_sink(out)) as sink:
            for offset in range(0, 1500, 2):
                await sink.write([event(offset)])
                sizes.append((out / HIDDEN / "events-0.journal").stat().st_size)

    asyncio.run(scenario())

    assert max(sizes) < 100_000 < sum(b - a for a, b in pairwise(sizes) if b > a)


# sharing


def test_two_pipelines_and_two_affiliates_share_a_folder(out: Path) -> None:
    writers = [WRITER, WRITER._replace(pipeline="more"), WRITER._replace(affiliate="globex")]

    for writer in writers:
        hand(files_sink(out, writer=writer), [event(0)])

    assert [name.split(".")[:2] for name in finished(out)] == [
        ["acme", "more"],
        ["acme", "to-files"],
        ["globex", "to-files"],
    ]


def test_two_processes_do_not_write_the_files_of_one_pipeline(out: Path) -> None:
    async def scenario() -> None:
        async with opened(files_sink(out)):
            other = files_sink(out)
            with pytest.raises(Down, match="another process writes the files of 'to-files'"):
                await other.open()
            await other.close()

    asyncio.run(scenario())


def test_a_wiped_log_begins_anew_and_what_was_there_stays(out: Path) -> None:
    hand(files_sink(out), [event(0, b"old")])
    leave(out.with_name("left"), [event(1, b"open")])
    shutil.copytree(out.with_name("left"), out, dirs_exist_ok=True)

    hand(files_sink(out, writer=WRITER._replace(log="00aa11bb")), [event(0, b"new")])

    assert sorted(lines(out)) == [b"new", b"old", b"open"]


def test_a_replay_has_files_of_its_own(out: Path) -> None:
    hand(files_sink(out), [event(0), event(1)])
    again = WRITER._replace(replay="fix-1")

    hand(files_sink(out, writer=again), [event(1)])
    hand(files_sink(out, writer=again), [event(0), event(1)])  # what it could not translate before

    assert [name.split(".", 4)[4] for name in finished(out)] == [
        "000000000000-000000000000.fix-1.ndjson",
        "000000000000-000000000001.ndjson",
        "000000000001-000000000001.fix-1.ndjson",
    ]


def test_a_pipeline_is_given_its_names_and_its_replays_theirs(out: Path) -> None:
    spec = PipelineSpec.model_validate({"stream": "events", "sink": {"files": {"path": str(out)}}})
    around = Surroundings(lambda _: None, (), "acme", "to-files", "1f3a5c7e")

    for replay in (None, "fix-1"):
        sink = sink_of(spec, around, replay)
        assert isinstance(sink, FilesSink)
        hand(sink, [event(0)])

    assert [name.split(".")[:2] + name.split(".")[5:] for name in finished(out)] == [
        ["acme", "to-files", "fix-1", "ndjson"],
        ["acme", "to-files", "ndjson"],
    ]


def test_no_file_is_overwritten(out: Path) -> None:
    out.mkdir()
    name = "acme.to-files.events-0.1f3a5c7e.000000000000-000000000000"
    (out / f"{name}.ndjson").write_bytes(b"somebody's\n")

    hand(files_sink(out), [event(0)])

    assert finished(out) == {f"{name}.2.ndjson": b"0\n", f"{name}.ndjson": b"somebody's\n"}


# faults


def test_what_was_not_written_is_written_before_what_follows(out: Path) -> None:
    """The flow may set one event aside and come with others meanwhile."""

    async def scenario() -> None:
        async with opened(files_sink(out)) as sink:
            await sink.write([event(0)])
            held = out.with_name("held")
            _put_in_the_way(out, held)
            with pytest.raises(Down, match="is no folder, but a file"):
                await sink.write([event(1), event(2)])
            _take_away(out, held)
            with pytest.raises(Down, match="event 1 of events-0 is to be written first"):
                await sink.write([event(3)])
            await sink.write([event(1)])
            await sink.write([event(2), event(3)])

    asyncio.run(scenario())

    assert lines(out) == [b"0", b"1", b"2", b"3"]


def _put_in_the_way(out: Path, held: Path) -> None:
    out.rename(held)
    out.write_bytes(b"in the way")


def _take_away(out: Path, held: Path) -> None:
    out.unlink()
    held.rename(out)


def test_a_write_that_is_cancelled_ends_before_the_next(out: Path) -> None:
    async def scenario() -> None:
        async with opened(files_sink(out)) as sink:
            for offset in range(0, 60, 3):
                batch = [event(offset + n, b"%d" % (offset + n) * 9000) for n in range(3)]
                writing = asyncio.create_task(sink.write(batch))
                await asyncio.sleep(0)
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                await sink.write(batch)

    asyncio.run(scenario())

    assert lines(out) == [b"%d" % n * 9000 for n in range(60)]


def test_a_folder_that_is_removed_while_it_is_written_to_is_made_again(out: Path) -> None:
    async def scenario() -> None:
        async with opened(files_sink(out)) as sink:
            await sink.write([event(0)])
            shutil.rmtree(out)
            await sink.write([event(1)])

    asyncio.run(scenario())

    assert lines(out) == [b"1"]


def test_a_folder_is_made_for_the_owner_and_the_group_to_read(out: Path) -> None:
    hand(files_sink(out), [event(0)])

    [file] = out.glob("[!.]*")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (out, out / ".trackmate", file)]
    assert [mode & 0o027 for mode in modes] == [0, 0, 0]
    assert [mode & 0o700 for mode in modes] == [0o700, 0o700, 0o600]


def test_a_folder_that_is_there_keeps_its_mode(out: Path) -> None:
    out.mkdir(0o777)
    out.chmod(0o777)

    hand(files_sink(out), [event(0)])

    assert stat.S_IMODE(out.stat().st_mode) == 0o777


def refusal(path: Path | str) -> str:
    """What opening the sink says, with the field."""

    async def scenario() -> str:
        sink = files_sink(path)
        try:
            await sink.open()
        except Unfit as fault:
            return f"{fault.path}: {fault}"
        finally:
            await sink.close()
        raise AssertionError("it was opened")

    return asyncio.run(scenario())


def on_the_page(said: str, path: Path) -> bool:
    """Whether a row of the page says this, to whom has their files in /data/out."""
    path_of_spec, sentence = said.strip().replace(str(path), "/data/out").split(": ", 1)
    return path_of_spec in PAGE and f"| {sentence} |" in PAGE


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = refusal(tmp_path / "file")

    assert said.startswith(
        f"spec.sink.files.path: '{tmp_path}/file' is no folder, but a file; name"
    )
    assert on_the_page(said, tmp_path / "file")
    assert "is below a file" in refusal(tmp_path / "file" / "below")


def test_a_link_in_the_place_of_the_hidden_folder_is_not_followed(out: Path) -> None:
    out.mkdir()
    (out / ".trackmate").symlink_to(out.parent)

    said = refusal(out)

    assert "'.trackmate' in" in said
    assert "is no folder, and Trackmate needs one there" in said
    assert on_the_page(said, out)


def test_a_link_in_the_place_of_an_open_file_is_not_followed(out: Path) -> None:
    hand(files_sink(out), [event(0)])
    other = out.parent / "precious"
    other.write_bytes(b"precious")
    (out / HIDDEN / "events-0.open").symlink_to(other)

    async def scenario() -> None:
        async with opened(files_sink(out)) as sink:
            with pytest.raises(Down):
                await sink.write([event(1)])

    asyncio.run(scenario())

    assert other.read_bytes() == b"precious"


@pytest.mark.needs("mount")
def test_a_read_only_file_system_is_named(out: Path) -> None:
    with mounted(out, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        said = refusal(out)

    assert "is on a read-only file system; name a folder" in said
    assert on_the_page(said, out)


@pytest.mark.needs("mount")
def test_another_file_system_inside_is_named(out: Path) -> None:
    with mounted(out / ".trackmate", "-t", "tmpfs", "tmpfs"):
        said = refusal(out)

    assert "is another file system" in said
    assert on_the_page(said, out)


@pytest.mark.needs("mount")  # root, who may become another user
@pytest.mark.parametrize("used_before", [False, True])
def test_a_folder_without_permission_is_named(tmp_path: Path, *, used_before: bool) -> None:
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir(0o755)
    if used_before:
        (forbidden / ".trackmate").mkdir()
        (forbidden / ".trackmate").chmod(0o777)
    program = (
        "import os, sys, asyncio; sys.path.insert(0, sys.argv[1]); from filing import files_sink\n"
        "os.setuid(65534)\n"
        "try: asyncio.run(files_sink(sys.argv[2]).open())\n"
        "except Exception as fault: print(f'{fault.path}: {fault}')"
    )
    harness = Path(filing.__file__).parent
    for folder in [tmp_path, *tmp_path.parents[:-2]]:
        folder.chmod(0o755)

    said = subprocess.check_output(
        [sys.executable, "-c", program, str(harness), str(forbidden)], text=True
    )

    assert "may not be written by user 65534; give it the right" in said
    assert on_the_page(said, forbidden)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("events-0.open", b"", "the open file has 0 bytes, and 2 were written to it"),
        ("events-0.open", None, "the open file, of 2 bytes, is not there"),
        ("events-0.journal", b"", "it has no whole line"),
        ("events-0.journal", b"no line\nof ours\n", "line 1 of it does not match its checksum"),
        ("events-0.journal", None, "it is not there"),
    ],
)
def test_what_was_written_and_is_gone_is_said(
    out: Path, name: str, content: bytes | None, what: str
) -> None:
    leave(out, [event(0)])
    (out / HIDDEN / name).unlink()
    if content is not None:
        (out / HIDDEN / name).write_bytes(content)

    said = refusal(out)

    assert f"cannot be gone on with: {what}; move it away, and '.open' beside it" in said
