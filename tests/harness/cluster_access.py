"""
Talking to a cluster as whoever one likes: through kubectl, or by HTTP where a test asks often.
"""

import json
import os
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster_binaries import binaries
from cluster_certificates import Authority, Pair, kubeconfig, write_private
from waiting_for import wait_until

CRDS = Path(__file__).parents[2] / "crds"

Manifest = dict[str, Any]


@dataclass
class Cluster:
    """
    A running cluster whose authority is in its folder, so that it can make users. With the address
    of a link (`links.py`) as `url` it is the same cluster, over a network that a test can break.
    """

    home: Path
    url: str

    @property
    def kubeconfig(self) -> Path:
        """Of the administrator."""
        return self.home / "kubeconfig"

    @property
    def ca_file(self) -> Path:
        return self.home / "ca.pem"

    @property
    def certificate_file(self) -> Path:
        """Of the administrator."""
        return self.home / "admin.pem"

    @property
    def key_file(self) -> Path:
        return self.home / "admin.key"

    def kubectl(self, *arguments: str, input: str = "", as_: Path | None = None) -> str:  # noqa: A002 - as subprocess says
        """What it printed. `as_` is another's kubeconfig."""
        done = self.tried(*arguments, input=input, as_=as_)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str, input: str = "", as_: Path | None = None) -> str:  # noqa: A002 - as subprocess says
        """What kubectl said of what must not be possible."""
        done = self.tried(*arguments, input=input, as_=as_)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def tried(
        self,
        *arguments: str,
        input: str = "",  # noqa: A002 - as subprocess says
        as_: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(binaries() / "kubectl"), *arguments],
            input=input,
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "KUBECONFIG": str(as_ or self.kubeconfig),
                "KUBECACHEDIR": str(self.home / "cache"),
            },
        )

    def apply(self, *manifests: Manifest | str, by: str = "kubectl") -> None:
        """Server-side apply them; `by` is the field manager."""
        text = [one if isinstance(one, str) else yaml.safe_dump(one) for one in manifests]
        options = ("--server-side", f"--field-manager={by}", "-f", "-")
        self.kubectl("apply", *options, input="---\n".join(text))

    def read(self, *what: str) -> Any:
        """`kubectl get` of it, as JSON."""
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    @contextmanager
    def http(self) -> Iterator[httpx.Client]:
        """A client with the administrator's certificate, for paths of the API."""
        trust = ssl.create_default_context(cafile=self.ca_file)
        trust.load_cert_chain(self.certificate_file, self.key_file)
        with httpx.Client(base_url=self.url, verify=trust, trust_env=False, timeout=30) as client:
            yield client

    def user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """The kubeconfig of somebody who may do what RBAC says of that name and these groups."""
        pair = Authority(self.home).certify(name, groups)
        return self._written(name, pair)

    def service_account(self, namespace: str, name: str) -> Path:
        """The kubeconfig of a service account that exists, with a token for an hour."""
        return self._written(f"{namespace}.{name}", self.token(namespace, name), namespace)

    def token(self, namespace: str, name: str) -> str:
        """Of a service account that exists, for an hour."""
        return self.kubectl("create", "token", name, "-n", namespace).strip()

    def install_crds(self) -> None:
        """Return once the API server serves both kinds, and tells kubectl so."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))
        wait_until(self._serves_both, "both kinds are served", seconds=60)

    def _serves_both(self) -> bool:
        """
        They are a moment after they are established: discovery comes later, of which kubectl keeps
        what it was told, and a store that is being made anew answers with 429.
        """
        asked = ("api-resources", "--api-group=trackmate.io", "--cached=false", "-o", "name")
        kinds = self.tried(*asked).stdout.split()
        return len(kinds) == len(list(CRDS.glob("*.yaml"))) and all(
            self.tried("get", kind, "-A").returncode == 0 for kind in kinds
        )

    def _written(self, name: str, login: Pair | str, namespace: str = "default") -> Path:
        file = self.home / f"{name.replace('/', '_')}.kubeconfig"
        content = kubeconfig(self.url, self.ca_file.read_bytes(), login, namespace)
        write_private(file, content.encode())
        return file
