"""
The `trackmate` command as somebody runs it against a cluster: its own process, in a folder where
nothing runs.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRACKMATE = str(Path(sys.executable).with_name("trackmate"))

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Person:
    """Somebody with a kubeconfig, in a folder."""

    home: Path
    kubeconfig: Path

    def runs(self, *arguments: str, program: str = TRACKMATE, **environment: str) -> Done:
        """What became of `trackmate …`."""
        return subprocess.run(
            [program, *arguments],
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), **environment},
        )

    def reads(self, *arguments: str) -> Any:
        """What `trackmate … --json` printed."""
        done = self.runs(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def is_told(self, *arguments: str, code: int = 2) -> str:
        """The error of what does not go, without its line breaks."""
        done = self.runs(*arguments)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return " ".join(done.stderr.partition("Error: ")[2].split())
