"""Several hosts that train one model: who takes part, how they meet, who writes, and how a failure is reported.

Every host runs the same command on the same data and the same run directory (a file system that all share). Who takes
part is given by `--hosts`, by TF_CONFIG, or by SLURM to a job step. Host 0 is the chief: it alone writes and
prints.

1. All connect to the chief, which checks that they were started alike.                       `join`
2. TensorFlow's MultiWorkerMirroredStrategy takes over their ports; gradients go through it.  `Cluster.strategy`
3. The connections of 1 stay: what the chief finds on disk, and who is missing after a failure, go through them.

TensorFlow alone waits for a missing host without end and ignores SIGTERM meanwhile, and its errors name no cure.
Traffic is not encrypted, neither TensorFlow's nor this: hosts belong in a trusted network.
"""

import gc
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

from training.checkpoint import checkpoints
from training.hosts import HostsError, Link, Members, find_members, meet
from training.model import AdversarialModel

CONNECT_SECONDS = 120.0  # that TensorFlow's own connections may take once all have met
HEARTBEAT_SECONDS = 60.0  # of silence until TensorFlow gives a host up; its ten are too few for a busy machine
LOST_SECONDS = 20.0  # to find out who is missing after an error of TensorFlow
GRACE_SECONDS = 5.0  # that TensorFlow gets to fail by itself once a host has ended

Result = TypeVar("Result")


class Cluster:
    """The hosts of a training, as one of them sees them.

    Args:
        members: their addresses, and which of them this process is.
        links: of the chief, a connection to each of the others by number; of the others, one to the chief.
    """

    def __init__(self, members: Members, links: dict[int, Link]):
        self.members, self.links = members, links
        self.left = threading.Event()

    @property
    def count(self) -> int:
        return len(self.members.addresses)

    @property
    def is_chief(self) -> bool:
        return self.members.number == 0

    @property
    def share(self) -> tuple[int, int]:
        """(number of this host, number of hosts): its part of every batch."""
        return self.members.number, self.count

    @property
    def description(self) -> str:
        """For the first line of a command, e.g. "3 hosts (node1:12345, node2:12345, node3:12345)"."""
        return f"{self.count} hosts ({', '.join(self.members.addresses)})"

    def echo(self, line: str) -> None:
        """Print a line, on the chief only."""
        if self.is_chief:
            print(line, flush=True)

    # ------------------------------------------------------------------------------- agreements

    def from_chief(self, find: Callable[[], Any]) -> Any:
        """Return what `find` returns on the chief, JSON-able; the others wait for it.

        Raises:
            HostsError: the chief has stopped.
        """
        if not self.is_chief:
            return self._hear_chief()
        found = find()
        self._tell_others(found)
        return found

    def after_chief(self, act: Callable[[], Result]) -> Result:
        """Let the chief act first, and the others once it is done: they then find what it has written.

        Raises:
            HostsError: the chief has stopped.
        """
        if not self.is_chief:
            self._hear_chief()
            return act()
        done = act()
        self._tell_others(None)
        return done

    def checkpoints(self, folder: Path) -> list[Path]:
        """List whole checkpoints of a folder as the chief sees them, newest first."""
        return [Path(path) for path in self.from_chief(lambda: [str(path) for path in checkpoints(folder)])]

    def same_start(self, model: AdversarialModel) -> None:
        """Give every host the chief's variables, with them the count of images seen.

        What is computed before the first step (growth, a linear start) may differ in the last bit on another CPU.
        """
        if self.count == 1:
            return
        optimizers = (model.generator_optimizer, model.discriminator_optimizer)
        networks = (model.generator, model.discriminator, model.ema_generator)
        for variable in [
            *(weight for network in networks for weight in network.weights),
            *(variable for optimizer in optimizers for variable in optimizer.variables),
        ]:
            value = tf.convert_to_tensor(variable.value)
            mine = value if self.is_chief else tf.zeros_like(value)
            variable.assign(model.distribute_strategy.reduce("SUM", mine, axis=None))

    def leave(self) -> None:
        """Wait until all hosts are done, and disconnect."""
        if self.is_chief:
            for link in self.links.values():
                link.hear()
            self.left.set()
        self._tell_others(None)
        if not self.is_chief:
            self._hear_chief()
            self.left.set()
        for link in self.links.values():
            link.close()

    def _tell_others(self, value: Any) -> None:
        for link in self.links.values():
            link.tell({"value": value})

    def _hear_chief(self) -> Any:
        try:
            said = self.links[0].hear()
        except OSError as error:
            raise HostsError(self._stopped([0])) from error
        if "gone" in said:
            raise HostsError(self._stopped(said["gone"]))
        return said["value"]

    # --------------------------------------------------------------------------------- failures

    def whose_failure(self, error: str, seconds: float = LOST_SECONDS) -> str | None:
        """Say in one line which hosts have stopped, after an error of TensorFlow; None if all are there.

        Call it on every host: the chief finds out and tells the others.
        """
        if self.is_chief:
            named = self._named(error)
            gone = self._gone(min(seconds, 2.0) if named else seconds) or named
            for number in self.links.keys() - set(gone):
                try:
                    self.links[number].tell({"gone": gone})
                except OSError:
                    continue
        else:
            try:
                said = {}
                while "gone" not in said:
                    said = self.links[0].hear(seconds + LOST_SECONDS)
                gone = said["gone"]
            except TimeoutError:
                gone = self._named(error)
            except OSError:
                gone = [0]
        return self._stopped(gone) if gone else None

    def watch(self) -> None:
        """End the process, with one line, if another ends before `left` is set and TensorFlow does not notice."""
        while not self.left.wait(0.5):
            if any(link.ended() for link in self.links.values()) and not self.left.wait(GRACE_SECONDS):
                _end(self.whose_failure("", 0) or self._stopped([0]))

    def _gone(self, seconds: float) -> list[int]:
        """Hosts whose connection has ended, as soon as there is one."""
        until = time.monotonic() + seconds
        while True:
            gone = [number for number, link in sorted(self.links.items()) if link.ended()]
            if gone or time.monotonic() > until:
                return gone
            time.sleep(0.1)

    def _named(self, error: str) -> list[int]:
        """Hosts that an error of TensorFlow calls unreachable."""
        numbers = {int(number) for number in re.findall(r"/job:worker/(?:replica:0/)?task:(\d+)", error)}
        return sorted(numbers - {self.members.number})

    def _stopped(self, numbers: list[int]) -> str:
        who = " and ".join(self.members.name(number) for number in numbers)
        return (
            f"{who} stopped, so the whole training stops; see what was printed there, then start all hosts again: "
            "the run continues from its last checkpoint"
        )

    # ------------------------------------------------------------------------------- TensorFlow

    def strategy(self) -> tf.distribute.MultiWorkerMirroredStrategy:
        """Make TensorFlow's strategy over the devices of all hosts; call before TensorFlow has computed anything.

        Raises:
            HostsError: TensorFlow is in use already.
        """
        gpus = tf.config.list_physical_devices("GPU")
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(self.members.addresses)}),
            task_type="worker",
            task_id=self.members.number,
            num_accelerators={"GPU": len(gpus)},
            rpc_layer="grpc",
        )
        unreachable = (
            f"{self.members.source}: the hosts have met, but TensorFlow could not connect them within "
            f"{CONNECT_SECONDS:.0f} s; every host must reach every other at its address, not host 0 alone"
        )
        with _ends_after(CONNECT_SECONDS, unreachable), _patient_heartbeat():
            try:
                strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
            except RuntimeError as error:
                if "program startup" not in str(error):
                    raise
                raise HostsError(f"{self.members.source}: TensorFlow is in use already; start a new process") from error
            strategy.reduce("SUM", tf.zeros(()), axis=None)  # all connections that training uses
        if threading.current_thread() is threading.main_thread():  # TensorFlow has made the process deaf to it
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
        threading.Thread(target=self.watch, daemon=True).start()
        return strategy


ALONE = Cluster(Members(("",), 0, ""), {})
_current = ALONE


def current() -> Cluster:
    """Return the hosts that this process trains with; `ALONE` if it has not joined any."""
    return _current


def join(hosts: str | None = None, number: int | None = None, *, wait: float, alike: dict | None = None) -> Cluster:
    """Find out which hosts take part, and meet them; a process does so once.

    Args:
        hosts, number: as `find_members` takes them.
        wait: seconds for the others to come.
        alike: JSON-able; what must be equal on all hosts.

    Raises:
        HostsError: settings are wrong, or the others did not come or were started differently; one clear line.
    """
    global _current
    members = find_members(hosts, number, os.environ)
    if members is not None and _current is ALONE:
        _current = Cluster(members, meet(members, alike or {}, wait))
    return _current


@contextmanager
def together() -> Iterator[None]:
    """Have hosts disconnect when all are done with a training, and turn the failure of one into one line on the others.

    Raises:
        HostsError: another host stopped.
    """
    global _current
    try:
        yield
        _current.leave()
    except (tf.errors.OpError, OSError) as error:
        said = _current.whose_failure(str(error)) if _current.count > 1 else None
        if said is None:
            raise
        for pool in [item for item in gc.get_objects() if isinstance(item, ThreadPool)]:
            pool.close()  # TensorFlow's, left open by the failure: it would complain when Python ends
        raise HostsError(said) from error
    finally:
        _current.left.set()
        _current = ALONE


@contextmanager
def _patient_heartbeat() -> Iterator[None]:
    """Have TensorFlow's own watch over hosts wait for `HEARTBEAT_SECONDS`; no public setting does."""
    from tensorflow.python.eager import context

    process, name = context.context(), "configure_coordination_service"
    if hasattr(process, name):
        configure = partial(getattr(process, name), heartbeat_timeout_in_ms=int(1000 * HEARTBEAT_SECONDS))
        setattr(process, name, configure)
    try:
        yield
    finally:
        vars(process).pop(name, None)


@contextmanager
def _ends_after(seconds: float, line: str) -> Iterator[None]:
    """Context that ends the process with one line if it takes longer; TensorFlow may wait and ignore signals."""
    timer = threading.Timer(seconds, _end, args=(line,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(line: str) -> None:
    """End the process at once: its main thread may be blocked in TensorFlow."""
    sys.stdout.flush()
    print(f"Error: {line}", file=sys.stderr, flush=True)
    os._exit(1)
