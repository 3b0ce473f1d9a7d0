"""Where the hosts of a training are, and how they meet before TensorFlow starts.

Host 0, the chief, listens on its port until all others have connected and said who they are; a host that was started
differently stops all of them, with one line that says what differs.
"""

import json
import re
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preprocessing.errors import UserError

MEETING_SECONDS = 300.0  # that a host waits for the others by default
MESSAGE_BYTES = 1 << 20
HELLO_SECONDS = 10.0  # that a connection may take to say who it is
ADDRESS = re.compile(r"(?P<host>[^\s:\[\]]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")


class HostsError(UserError):
    """Hosts cannot train together, or no longer; the message is for the user: what was wrong and what to do."""


@dataclass(frozen=True)
class Members:
    """Who trains together.

    Attributes:
        addresses: "host:port" of each, the chief first.
        number: which of them this process is, from 0.
        source: where this was said: "--hosts", "TF_CONFIG" or "SLURM".
    """

    addresses: tuple[str, ...]
    number: int
    source: str

    def name(self, number: int) -> str:
        return f"host {number} ({self.addresses[number]})"


# ---------------------------------------------------------------------------------- who takes part


def find_members(hosts: str | None, number: int | None, environment: Mapping[str, str]) -> Members | None:
    """Find who takes part, from the first of: `--hosts`, TF_CONFIG, a SLURM job step of several tasks. None: one host.

    Args:
        hosts: of `--hosts`: "address:port,address:port…", the chief first; "slurm"; "none", whatever the environment
            says; or None, what the environment says.
        number: of `--host-number`, from 0.

    Raises:
        HostsError: these settings are wrong or inconsistent.
    """
    if number is not None and (hosts is None or hosts in ("none", "slurm")):
        raise HostsError(f"--host-number {number}: is the place of this host in a list that --hosts gives; add --hosts")
    if hosts == "none":
        return None
    if hosts == "slurm":
        members = _from_slurm(environment)
    elif hosts is not None:
        members = _from_list(hosts, number)
    elif environment.get("TF_CONFIG"):
        members = _from_tf_config(environment["TF_CONFIG"])
    elif int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        members = _from_slurm(environment)
    else:
        return None
    if members.addresses:  # TF_CONFIG may be there and name none
        _check(members)
    return members if len(members.addresses) > 1 else None


def _from_list(hosts: str, number: int | None) -> Members:
    addresses = tuple(address.strip() for address in hosts.split(","))
    if number is None:
        raise HostsError(f"--hosts: say with --host-number which of the {len(addresses)} this is, 0 for the first")
    return Members(addresses, number, "--hosts")


def _from_tf_config(text: str) -> Members:
    """Members from TensorFlow's own variable: a "chief" job, if there is one, comes before the "worker" job."""
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster") or {}, config.get("task") or {}
        chiefs, workers = ([str(address) for address in jobs.get(job, ())] for job in ("chief", "worker"))
        kind, index = str(task.get("type", "worker")), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise HostsError(
            'TF_CONFIG: must be JSON such as {"cluster": {"worker": ["a:12345", "b:12345"]}, '
            f'"task": {{"type": "worker", "index": 0}}}} ({error})'
        ) from error
    if len(chiefs) > 1:
        raise HostsError(f"TF_CONFIG: names {len(chiefs)} chiefs; a training has one, the others are workers")
    if kind not in ("chief", "worker"):
        raise HostsError(f'TF_CONFIG: this task is of type "{kind}"; only "chief" and "worker" take part in a training')
    if jobs and not 0 <= index < len(jobs.get(kind, ())):
        raise HostsError(f'TF_CONFIG: there is no "{kind}" {index} in its cluster of {len(jobs.get(kind, ()))}')
    return Members(tuple(chiefs + workers), index + (len(chiefs) if kind == "worker" else 0), "TF_CONFIG")


def _from_slurm(environment: Mapping[str, str]) -> Members:
    """Members from TensorFlow's resolver for SLURM, which orders nodes as text: n10 before n9.

    A rank counts them as SLURM does, so this task is looked up by its own node and its place there.
    """
    names = ("PROCID", "STEP_NUM_TASKS", "STEP_NODELIST", "STEP_TASKS_PER_NODE", "LOCALID")
    needed = [*(f"SLURM_{name}" for name in names), "SLURMD_NODENAME"]
    if missing := [name for name in needed if name not in environment]:
        raise HostsError(f"--hosts slurm: {missing[0]} is not set; start the command with srun")
    port = 10_000 + (int(environment.get("SLURM_JOB_ID", 0)) * 64 + int(environment.get("SLURM_STEP_ID", 0))) % 20_000
    tasks = int(environment["SLURM_STEP_NUM_TASKS"])
    import tensorflow as tf

    try:  # GPUs are for the strategy to count: here there are as many as the resolver insists on
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = tuple(resolver.cluster_spec().as_dict()["worker"])
    except (ValueError, RuntimeError) as error:
        raise HostsError(f"SLURM: {error}") from error
    own = f"{environment['SLURMD_NODENAME']}:{port + int(environment['SLURM_LOCALID'])}"
    if own not in addresses:
        raise HostsError(f"SLURM: this task, {own}, is not among those of the job step: {', '.join(addresses)}")
    return Members(addresses, addresses.index(own), "SLURM")


def _check(members: Members) -> None:
    for address in members.addresses:
        match = ADDRESS.fullmatch(address)
        if not match or not 0 < int(match["port"]) < 65536:
            raise HostsError(f'{members.source}: "{address}" is not an address such as node1:12345')
        if members.addresses.count(address) > 1:
            raise HostsError(f"{members.source}: {address} is listed twice; each host needs its own address or port")
    if not 0 <= members.number < len(members.addresses):
        last = len(members.addresses) - 1
        raise HostsError(f"--host-number {members.number}: the hosts of {members.source} are numbered from 0 to {last}")


# ----------------------------------------------------------------------------------------- meeting


class Link:
    """A connection between two hosts; messages are lines of JSON.

    Args:
        connection: connected; keepalive is switched on, so that a host that lost its power is noticed.
    """

    def __init__(self, connection: socket.socket):
        self.connection, self.rest = connection, b""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, seconds in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)

    def tell(self, message: Any) -> None:
        """Send a message; OSError when the other has ended."""
        self.connection.settimeout(None)
        self.connection.sendall(json.dumps(message).encode() + b"\n")

    def hear(self, seconds: float | None = None) -> Any:
        """Return the next message; TimeoutError if none comes in time, another OSError if the other host has ended."""
        until = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self.rest:
            if until is not None and time.monotonic() >= until:
                raise TimeoutError("no message")
            self.connection.settimeout(None if until is None else max(until - time.monotonic(), 0.001))
            part = self.connection.recv(65536)
            if not part or len(self.rest) > MESSAGE_BYTES:
                raise ConnectionError("ended")
            self.rest += part
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def ended(self) -> bool:
        """Tell whether the other has closed the connection, or died; messages from before may be there to hear."""
        hung_up = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
        poll = select.poll()
        try:
            poll.register(self.connection, select.POLLIN | hung_up)
            events = [event for _, event in poll.poll(0)]
            return bool(events) and (bool(events[0] & hung_up) or not self.connection.recv(1, socket.MSG_PEEK))
        except (OSError, ValueError):  # closed here, or reset
            return True

    def close(self) -> None:
        self.connection.close()


def meet(members: Members, alike: dict, wait: float) -> dict[int, Link]:
    """Wait until all hosts are there and were started alike.

    Args:
        alike: JSON-able, what must be equal on all; values are shown to the user where they differ.

    Returns:
        The chief's connections to the others, by number; of another host its connection to the chief, {0: …}.

    Raises:
        HostsError: some did not come, or were started differently.
    """
    hello = {"addresses": members.addresses, "number": members.number, "alike": alike}
    hello = json.loads(json.dumps(hello))  # as the others will hear it
    return _gather(members, hello, wait) if members.number == 0 else {0: _report(members, hello, wait)}


def _gather(members: Members, own: dict, wait: float) -> dict[int, Link]:
    """The chief's side: accept connections until every other host has said who it is."""
    until, links = time.monotonic() + wait, dict[int, Link]()
    with _listen(members) as server:
        while len(links) < len(members.addresses) - 1:
            if time.monotonic() > until:
                missing = [number for number in range(1, len(members.addresses)) if number not in links]
                who = " and ".join(members.name(number) for number in missing)
                _refuse(links, f"{who} did not come within {wait:.0f} s; start all hosts, or list only those that run")
            server.settimeout(0.5)
            try:
                link = Link(server.accept()[0])
                hello = link.hear(HELLO_SECONDS)
                addresses, number, alike = hello["addresses"], hello["number"], hello["alike"]
            except (OSError, ValueError, KeyError, TypeError):  # nobody yet, another program, or one that ended at once
                continue
            links = {other: link for other, link in links.items() if not link.ended()}
            differs = _difference(members, own, addresses, number, alike, links)
            if differs:
                _refuse({**links, None: link}, differs)
            links[number] = link
    for link in links.values():
        link.tell({"go": True})
    return links


def _difference(
    members: Members, own: dict, addresses: list, number: int, alike: dict, links: dict[int, Link]
) -> str | None:
    """Why a host that says this cannot take part; None if it can."""
    if addresses != own["addresses"]:
        theirs, ours = ",".join(addresses), ",".join(own["addresses"])
        return f"{members.source}: host {number} was started with other hosts ({theirs}) than host 0 ({ours})"
    if number == 0 or number in links:
        return f"two processes were started as {members.name(number)}; give each host its own number"
    for name in sorted({*alike, *own["alike"]}):
        there, here = alike.get(name), own["alike"].get(name)
        if there != here:
            return f"{name}: {there} on {members.name(number)}, {here} on {members.name(0)}; they must be equal"
    return None


def _refuse(links: dict, line: str) -> None:
    """Tell everyone, and raise."""
    for link in links.values():
        try:
            link.tell({"refused": line})
        except OSError:
            continue
    raise HostsError(line)


def _report(members: Members, own: dict, wait: float) -> Link:
    """Another host's side: connect to the chief, say who this is, wait for the others."""
    _listen(members).close()  # a port that is taken is an error now: TensorFlow would hang
    until = time.monotonic() + wait
    link = _connect(members, until, wait)
    try:
        link.tell(own)
        answer = link.hear(wait + HELLO_SECONDS)
    except (OSError, ValueError) as error:
        raise HostsError(f"{members.name(0)} ended before all hosts were there; see what it printed") from error
    if "refused" in answer:
        raise HostsError(answer["refused"])
    return link


def _connect(members: Members, until: float, wait: float) -> Link:
    """A connection to the chief, tried until it listens."""
    address = _address(members.addresses[0])
    while True:
        try:
            connection = socket.create_connection(address, timeout=5)
            if connection.getsockname() != connection.getpeername():
                return Link(connection)
            connection.close()  # a port of this machine may connect to itself while no process listens
            reason = "nothing listens there"
        except socket.gaierror as error:
            raise HostsError(f"{members.source}: {members.name(0)} has an unknown name ({error.strerror})") from error
        except OSError as error:
            reason = error.strerror or "no answer"
        if time.monotonic() > until:
            raise HostsError(
                f"{members.name(0)} could not be reached within {wait:.0f} s ({reason}); start it, or correct its "
                f"address in {members.source}"
            )
        time.sleep(0.2)


def _listen(members: Members) -> socket.socket:
    """A socket on this host's port, on all of its interfaces, as TensorFlow's will be."""
    _, port = _address(members.addresses[members.number])
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=128)
    except OSError as error:
        raise HostsError(
            f"{members.name(members.number)}: cannot listen on port {port} ({error.strerror}); is a process of this "
            "number running there already? Otherwise choose another port"
        ) from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
