"""
A throw-away Kubernetes control plane: etcd, the API server, the controller manager and the
scheduler, each a process on free loopback ports. It answers in a few seconds and ends with whoever
started it, however that ends.

Its limits: no nodes, so Pods are scheduled nowhere; nothing is synced to the disk; whoever is on
this machine can talk to etcd.
"""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from cluster_access import Cluster
from cluster_binaries import binaries
from cluster_certificates import kubeconfig, make_authority, make_key_pair, write_private
from ports import free_ports
from waiting_for import wait_until

_SERVICES = "10.96.0.0/16"
_PODS = "10.244.0.0/16"
_OWN_NAMES = (
    *("127.0.0.1", "localhost", "10.96.0.1"),
    *("kubernetes", "kubernetes.default", "kubernetes.default.svc"),
)
_USERS = {
    "admin": ["system:masters"],
    "system:kube-controller-manager": [],
    "system:kube-scheduler": [],
}
_AUDITED = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


@dataclass
class ControlPlane(Cluster):
    """Running, unless a part was stopped."""

    commands: Mapping[str, list[str]]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)

    def start(self) -> None:
        """Return once it answers, and namespaces get what belongs to them."""
        self._start("etcd")
        self.start_apiserver()
        self._start("kube-controller-manager")
        self._start("kube-scheduler")
        with self.http() as client:
            path = "/api/v1/namespaces/default/serviceaccounts/default"
            wait_until(lambda: self._got(client, path), "the controllers work", seconds=60)

    def start_apiserver(self) -> None:
        """Return once it is ready."""
        self._start("kube-apiserver")
        with self.http() as client:
            wait_until(lambda: self._got(client, "/readyz"), "the API server is ready", seconds=60)

    def stop_apiserver(self) -> None:
        """kill -9. It comes back on the same port with what it knew."""
        self._kill("kube-apiserver")

    def freeze(self) -> None:
        """The API server takes connections, and says nothing until it is thawed."""
        self.processes["kube-apiserver"].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.processes["kube-apiserver"].send_signal(signal.SIGCONT)

    def end(self) -> None:
        for name in reversed(list(self.processes)):
            self._kill(name)

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text("utf-8", "replace")

    def ended(self) -> list[str]:
        """The parts that ended by themselves."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def _start(self, name: str) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*_dying_with_us(), str(binaries() / name), *self.commands[name]],
                stdout=log,
                stderr=log,
                cwd=self.home,
            )

    def _kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def _got(self, client: httpx.Client, path: str) -> bool:
        for name in self.ended():
            raise AssertionError(f"{name} ended:\n{self.log(name)[-3000:]}")
        try:
            return client.get(path).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def control_plane(home: Path | None = None, *, audited: bool = False) -> Iterator[ControlPlane]:
    """
    Running, with a folder of its own unless `home` is one. `audited`: audit.log in it has a line of
    JSON for every request, with its user, verb and object.
    """
    with tempfile.TemporaryDirectory(prefix="control-plane-") as folder:
        plane = _prepared(home or Path(folder), audited=audited)
        try:
            plane.start()
            yield plane
        finally:
            plane.end()


def _prepared(home: Path, *, audited: bool) -> ControlPlane:
    shutil.rmtree(home / "etcd", ignore_errors=True)  # of one that was killed there
    api, etcd, peers = free_ports(3)
    url = f"https://127.0.0.1:{api}"
    authority = make_authority(home)
    authority.certify("kube-apiserver", names=_OWN_NAMES).write(home / "kube-apiserver")
    make_key_pair(home / "service-accounts")
    for user, groups in _USERS.items():
        pair = authority.certify(user, groups)
        file = "kubeconfig" if user == "admin" else f"{user.removeprefix('system:')}.kubeconfig"
        write_private(home / file, kubeconfig(url, authority.certificate, pair).encode())
        if user == "admin":
            pair.write(home / "admin")
    (home / "audit.yaml").write_text(_AUDITED)
    commands = {
        "etcd": _etcd(etcd, peers),
        "kube-apiserver": _apiserver(api, etcd) + (_audit() if audited else []),
        "kube-controller-manager": _controller_manager(),
        "kube-scheduler": ["--kubeconfig=kube-scheduler.kubeconfig", *_UNSERVED],
    }
    return ControlPlane(home, url, commands)


_UNSERVED = ["--secure-port=0", "--leader-elect=false"]
"""Of a part that nobody asks anything and that runs once."""


def _etcd(port: int, peers: int) -> list[str]:
    clients, others = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return [
        *("--name=etcd", "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn"),
        *(f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"),
        *(f"--listen-peer-urls={others}", f"--initial-advertise-peer-urls={others}"),
        f"--initial-cluster=etcd={others}",
    ]


def _apiserver(port: int, etcd: int) -> list[str]:
    return [
        *(f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={port}"),
        *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"),
        "--endpoint-reconciler-type=none",  # loopback cannot be an endpoint of a Service
        *("--tls-cert-file=kube-apiserver.pem", "--tls-private-key-file=kube-apiserver.key"),
        *("--client-ca-file=ca.pem", "--authorization-mode=Node,RBAC", "--allow-privileged"),
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=service-accounts.pub",
        "--service-account-signing-key-file=service-accounts.key",
        f"--service-cluster-ip-range={_SERVICES}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _audit() -> list[str]:
    return ["--audit-policy-file=audit.yaml", "--audit-log-path=audit.log"]


def _controller_manager() -> list[str]:
    return [
        *("--kubeconfig=kube-controller-manager.kubeconfig", *_UNSERVED),
        *("--use-service-account-credentials", "--root-ca-file=ca.pem"),
        "--service-account-private-key-file=service-accounts.key",
        *("--kube-api-qps=1000", "--kube-api-burst=1000"),  # by default its start takes 4 s more
        *("--allocate-node-cidrs", f"--cluster-cidr={_PODS}"),
        f"--service-cluster-ip-range={_SERVICES}",
    ]


def _dying_with_us() -> list[str]:
    """Before a command: the kernel kills it when the thread that started it is gone (prctl(2))."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
