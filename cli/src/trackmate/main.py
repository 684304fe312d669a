"""
The `trackmate` command: arguments in, tables or JSON out. Each command is short; what it does lives
in the module it calls.

Exit codes: 0 done · 1 the answer is no (books that do not balance, a check that failed) · 2 wrong
usage or faulty input · 3 nothing to talk to.
"""

import contextlib
import sys
from base64 import b64decode
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trackmate import show
from trackmate.dev.address import HOME
from trackmate.errors import Declined, Nowhere, Refusal
from trackmate.reaching import Target, connected, here

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Event tracking for many tenants: the same YAML on a laptop and on a cluster. Commands "
    "talk to what `trackmate dev` runs in this folder, else to the cluster of the current "
    "kubeconfig context, and say first which.",
    epilog="Exit codes: 0 done, 1 the answer is no, 2 wrong usage or input, 3 nothing to talk to.",
)
keys = typer.Typer(no_args_is_help=True, help="List, create, rotate and revoke write keys.")
app.add_typer(keys, name="keys")
letters = typer.Typer(
    no_args_is_help=True, help="List, show and replay dead letters; not on a cluster yet."
)
app.add_typer(letters, name="dead-letters")


class Use(StrEnum):
    """Of a write key: in pages that anyone can read, or on servers."""

    BROWSER = "Browser"
    SERVER = "Server"


Affiliate = Annotated[str, typer.Argument(help="The affiliate's name.", show_default=False)]
PipelineName = Annotated[
    str,
    typer.Argument(metavar="AFFILIATE/PIPELINE", help="The pipeline's name.", show_default=False),
]
Pausable = Annotated[
    str,
    typer.Argument(
        metavar="AFFILIATE[/PIPELINE]",
        help="The pipeline's name; on a cluster also an affiliate's, which its operator then "
        "leaves as it is.",
        show_default=False,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The cluster of this kubeconfig context, whatever runs in this folder.",
        show_default="what runs in this folder, else the current context",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for programs.")]


_SEND_INSTEAD = (
    "Send to the affiliate's address by HTTP, with a key of `trackmate keys list`: curl "
    "ADDRESS/v1/events -H 'Authorization: Bearer KEY' -H 'Content-Type: application/x-ndjson' "
    "--data-binary @FILE"
)
_TAIL_INSTEAD = (
    "Read the topic AFFILIATE.STREAM with a Kafka client, or make a Pipeline with sink: "
    "{stdout: {}} and read its log."
)
_LEDGER_INSTEAD = "Read the counters that each program serves at /metrics: docs/monitoring.md"
_LETTERS_INSTEAD = (
    "Read the topic AFFILIATE.PIPELINE.dead with a Kafka client; spec.replay with only: "
    "DeadLetters sends them again."
)


@contextlib.contextmanager
def _reached(context: str | None) -> Iterator[Target]:
    """What is talked to; it is said first."""
    with connected(context) as target:
        show.target(target.said)
        yield target


@app.command()
def dev(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="The folder of YAML files to follow.",
            show_default="the example affiliate 'acme'",
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Where events and the live page are served.")] = 8080,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Where events, documents and keys are kept.")
    ] = HOME / "data",
    metrics_port: Annotated[
        int | None,
        typer.Option(help="Prometheus metrics.", show_default="the port after --port, if free"),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(
            metavar="BOOTSTRAP",
            help="Brokers (host:port, …) that keep the events in the embedded log's place.",
            show_default="the embedded log",
        ),
    ] = None,
    drain: Annotated[
        str, typer.Option(metavar="DURATION", help="How long requests are still taken on SIGTERM.")
    ] = "10s",
) -> None:
    """Run all of Trackmate here, in one process, from a folder of YAML that it follows."""
    from trackmate.starting import start

    start(folder, port=port, data=data, metrics_port=metrics_port, kafka=kafka, drain=drain)


@app.command()
def init(name: Annotated[str, typer.Argument(help="The new affiliate's name.")]) -> None:
    """Print a commented Affiliate to start from: trackmate init acme > acme.yaml"""
    from trackmate.manifests import commented

    sys.stdout.write(commented(name))


@app.command()
def send(
    affiliate: Affiliate,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="JSON or NDJSON.")] = "-",
    stream: Annotated[str | None, typer.Option(help="The stream to send to.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Send a file's events byte for byte, and wait until stored; not on a cluster yet."""
    from trackmate.sending import send as send_file

    with here("send", _SEND_INSTEAD) as client:
        show.target(client.said)
        sent = send_file(client, affiliate, file, stream=stream)
        show.sent(events=sent.events, requests=sent.requests, as_json=as_json)


@app.command()
def tail(  # noqa: PLR0913 - one parameter an option
    affiliate: Affiliate,
    stream: Annotated[str | None, typer.Argument(help="One stream only.")] = None,
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Each event's bytes and a newline.")] = False,
    as_json: Json = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="earliest|latest|TIME",
            help="Where to begin.",
            show_default="earliest; with --follow latest",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Stop after so many events.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
) -> None:
    """Show an affiliate's events, exactly as they were stored; not on a cluster yet."""
    from trackmate import tailing

    with here("tail", _TAIL_INSTEAD) as client:
        show.target(client.said)
        how = tailing.Form.RAW if raw else tailing.Form.JSON if as_json else tailing.Form.TABLE
        since = since or ("latest" if follow else "earliest")
        tailing.tail(client, affiliate, stream, since=since, limit=limit, follow=follow, form=how)


@keys.command("list")
def list_keys(affiliate: Affiliate, *, context: Context = None, as_json: Json = False) -> None:
    """Show every write key and its value."""
    with _reached(context) as target:
        show.keys(target.keys(affiliate), as_json=as_json)


@keys.command("create")
def create_key(  # noqa: PLR0913 - one parameter an option
    affiliate: Affiliate,
    key: Annotated[str, typer.Argument(help="The new key's name.")],
    *,
    use: Annotated[Use, typer.Option(help="Where it lives.")] = Use.SERVER,
    origin: Annotated[
        list[str] | None, typer.Option(help="Where a browser key may be used; repeat for more.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends, like 2027-01-31T00:00:00Z.")
    ] = None,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Make a key beside those of the YAML."""
    wanted = {"name": key, "use": use.value, "origins": origin or [], "expires": expires}
    with _reached(context) as target:
        show.keys(target.create_key(affiliate, wanted), as_json=as_json)


@keys.command("rotate")
def rotate_key(
    affiliate: Affiliate,
    key: Annotated[str, typer.Argument(help="The key's name.")],
    *,
    grace: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old value still works.")
    ] = "24h",
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Make a new value; the old one works on for the grace."""
    with _reached(context) as target:
        show.keys(target.rotate_key(affiliate, key, grace), as_json=as_json)


@keys.command("revoke")
def revoke_key(
    affiliate: Affiliate,
    key: Annotated[str, typer.Argument(help="The key's name.")],
    *,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """End every value of a key at once; on a cluster, say which with --context."""
    with _reached(context) as target:
        show.keys(target.revoke_key(affiliate, key), as_json=as_json)


@app.command()
def snippet(
    affiliate: Affiliate,
    *,
    pinned: Annotated[
        bool, typer.Option(help="This version of the SDK for ever, held to its digest.")
    ] = False,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Print what to paste into a page."""
    with _reached(context) as target:
        text = target.snippet(affiliate, pinned=pinned)
        if text is None:
            raise Declined(
                f"Affiliate {affiliate!r} has no browser key that works now. "
                f"Make one: trackmate keys create {affiliate} web --use Browser"
            )
        show.snippet(text, as_json=as_json)


@app.command()
def status(
    affiliate: Annotated[str | None, typer.Argument(help="One affiliate only.")] = None,
    *,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Show how affiliates are, where they are reached, and what is wrong with them."""
    with _reached(context) as target:
        state = target.affiliates(affiliate)
    if target.on_cluster:
        show.cluster_status(state, affiliate, as_json=as_json)
    else:
        show.status(state, as_json=as_json)


@app.command()
def audit(affiliate: Affiliate, *, as_json: Json = False) -> None:
    """Check an affiliate's books; exit 1 when they do not balance; not on a cluster yet."""
    with here("audit", _LEDGER_INSTEAD) as client:
        show.target(client.said)
        ledger = client.affiliate(affiliate)["ledger"]
    show.ledger(ledger, as_json=as_json)
    if not ledger["balanced"]:
        raise typer.Exit(1)


@app.command()
def pause(
    name: Pausable,
    *,
    reason: Annotated[
        str, typer.Option(help="Why, for those who find it paused.")
    ] = "paused by hand",
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Let a pipeline rest, or on a cluster an affiliate; what waits stays in the log."""
    with _reached(context) as target:
        show.paused(name, target.pause(name, reason), as_json=as_json)


@app.command()
def resume(name: Pausable, *, context: Context = None, as_json: Json = False) -> None:
    """Let what is paused go on from where it was."""
    with _reached(context) as target:
        show.paused(name, target.resume(name), as_json=as_json)


@letters.command("list")
def list_letters(
    pipeline: PipelineName,
    *,
    after: Annotated[int, typer.Option(min=0, help="Begin behind this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """Show what was put aside, and why."""
    with here("dead-letters", _LETTERS_INSTEAD) as client:
        show.target(client.said)
        part = f"dead-letters?after={after}&limit={limit}"
        show.letters(pipeline, client.pipeline(pipeline, part), as_json=as_json)


@letters.command("show")
def show_letter(
    pipeline: PipelineName,
    number: Annotated[int, typer.Argument(min=1, help="The dead letter's number.")],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="The event's bytes and nothing else.")] = False,
    as_json: Json = False,
) -> None:
    """Show one dead letter with its original bytes."""
    with here("dead-letters", _LETTERS_INSTEAD) as client:
        show.target(client.said)
        found = client.pipeline(pipeline, f"dead-letters/{number}")
    if raw:
        sys.stdout.buffer.write(b64decode(found["base64"]))
    else:
        show.letter(found, as_json=as_json)


@letters.command("replay")
def replay_letters(
    pipeline: PipelineName,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[NUMBER]...", help="These only.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Send dead letters again, under their own ids; what is refused again stays."""
    with here("dead-letters", _LETTERS_INSTEAD) as client:
        show.target(client.said)
        body = {"letters": numbers or None}
        show.replaying(client.pipeline(pipeline, "dead-letters/replay", body), as_json=as_json)


@app.command("plan")
def show_plan(
    path: Annotated[
        Path,
        typer.Option("-f", "--file", metavar="FILE|DIR", help="What is to be followed or applied."),
    ],
    *,
    context: Context = None,
    as_json: Json = False,
) -> None:
    """Show what a file or folder would make, change and remove; exit 2 when it has faults."""
    from trackmate.planning import plan

    with contextlib.ExitStack() as stack:
        target = None
        with contextlib.suppress(Nowhere):
            target = stack.enter_context(_reached(context))
        found = plan(path, target)
    show.plan(found, as_json=as_json)
    if found.faults:
        raise typer.Exit(2)


@app.command("try")
def try_pipeline(
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE.yaml", help="The pipeline's file.")],
    event: Annotated[
        str, typer.Argument(metavar="[EVENT.json|-]", help="One event, or one a line.")
    ] = "-",
    *,
    as_json: Json = False,
) -> None:
    """Show what a pipeline makes of events, and send nothing; exit 1 for a dead letter."""
    from trackmate.trying import try_out

    if not try_out(pipeline, event, as_json=as_json):
        raise typer.Exit(1)


@app.command("doctor")
def examine(*, context: Context = None, as_json: Json = False) -> None:
    """Check this machine and the instance of this folder, or a cluster; exit 1 for a fault."""
    from trackmate.doctor import examine as all_checks

    checks = all_checks(context)
    show.checks(checks, as_json=as_json)
    if not all(check.passed for check in checks):
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def version(
    *,
    number: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if number:
        show.version()
        raise typer.Exit


def run() -> None:
    """The entry point: every refusal is one sentence on standard error, and its exit code."""
    try:
        app()
    except Refusal as refusal:
        show.error(str(refusal))
        sys.exit(refusal.exit_code)
    except BrokenPipeError:  # `trackmate tail … | head`
        sys.stderr.close()
        sys.exit(0)
