"""
The expressions of the pipelines in a folder: all that is wrong with them, before an event is there.
"""

import contextlib

from trackmate.folder import DeclaredPipeline, Folder
from trackmate.misfit import Misfit
from trackmate_consume import program
from trackmate_consume.expressions.host import Unstarted


async def look(folder: Folder) -> None:
    """Look at every pipeline; one that is misspelt is a misfit, and no pipeline of the folder."""
    for where, declared in list(folder.pipelines.items()):
        if misfits := await misspelt(declared):
            folder.misfits += misfits
            del folder.pipelines[where]
    for declared in folder.refused:
        folder.misfits += await misspelt(declared)


async def misspelt(declared: DeclaredPipeline) -> list[Misfit]:
    """
    All that is wrong with its expressions; where no process can look now, nothing: the pipeline
    says so when it runs, and tries again.
    """
    with contextlib.suppress(Unstarted):
        faults = await program.misspelt(declared.pipeline.spec)
        return [declared.misfit(fault.path, str(fault)) for fault in faults]
    return []
