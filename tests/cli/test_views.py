"""
Who looks at events and goes away leaves nothing behind.
"""

import asyncio
from pathlib import Path

from trackmate.embedded import log, viewing
from trackmate.embedded.database import Database


def test_a_view_that_is_left_leaves_no_task(tmp_path: Path) -> None:
    async def left_behind() -> set[str]:
        database = Database(tmp_path / "acme.db", log.SCHEMA)
        with viewing.Commits(database, asyncio.Event()) as commits:
            waiting = asyncio.create_task(commits.wait(at_most=60))
            await asyncio.sleep(0)  # it begins
            assert len(asyncio.all_tasks()) > 2
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0)  # what was cancelled ends
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await database.close()
        return {str(task.get_coro()) for task in others}

    assert asyncio.run(left_behind()) == set()
