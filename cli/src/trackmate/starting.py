"""
How `trackmate dev` begins and what it says to the person who started it.
"""

from importlib.resources import files
from pathlib import Path

from trackmate import show
from trackmate.dev import paste
from trackmate.dev.address import Address
from trackmate.dev.instance import Changes, Instance
from trackmate.dev.run import Options, Reporter, run
from trackmate.errors import CannotStart
from trackmate_contract.quantity import seconds
from trackmate_programs.logs import set_up

EXAMPLE = Path(str(files("trackmate"))) / "examples" / "01-first-affiliate"


def start(
    folder: Path | None,
    *,
    port: int,
    data: Path,
    metrics_port: int | None,
    kafka: str | None,
    drain: str,
) -> None:
    """Run until told to stop. Raises CannotStart."""
    set_up()
    try:
        drain_seconds = seconds(drain)
    except ValueError as error:
        raise CannotStart(f"--drain: {error}.") from None
    options = Options(folder or EXAMPLE, data, port, metrics_port, kafka, drain_seconds)
    run(options, Reporter(_say_started, _say_changed))


def _say_started(address: Address, instance: Instance) -> None:
    say = show.out.print
    say("[bold]Trackmate runs.[/]\n")
    say(f"  Live page  [bold]{address.url}/[/]")
    say(f"  Insights   {address.url}/insights")
    say(f"  Demo shop  {address.url}/demo")
    say(f"  Metrics    {address.metrics_url}", style="dim")
    say(f"  Data       {address.data}", style="dim", soft_wrap=True)
    for running in instance.affiliates.values():
        line = paste.curl(running.keys, address.url)
        if line is not None:
            say(f"\nSend an event to [bold]{running.name}[/]; paste this into another terminal:\n")
            show.verbatim(line)
    name = next(iter(instance.affiliates), "NAME")
    say(f"\nThen look at the live page, or run: [bold]trackmate tail {name} --follow[/]\n")


def _say_changed(changes: Changes) -> None:
    for misfit in changes.misfits:
        show.error(str(misfit))
    for notice in changes.notices:
        show.out.print(f"Note: {show.visible(notice)}", style="dim", markup=False, soft_wrap=True)
    for verb, names in (
        ("added", changes.added),
        ("changed", changes.changed),
        ("removed, its data retained", changes.removed),
    ):
        for name in names:
            kind = "Pipeline" if "/" in name else "Affiliate"
            show.out.print(f"{kind} {name!r} {verb}.", markup=False)
    if changes.misfits:
        show.out.print("What is faulty stays as it was; mend the file and save it.", style="dim")
