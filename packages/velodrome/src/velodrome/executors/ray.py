"""Trials as tasks of a Ray cluster: this machine as one, or a cluster elsewhere."""

import queue
import select
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from velodrome.devices import Devices
from velodrome.errors import UserError
from velodrome.executors import machines, node
from velodrome.executors.base import AnyHappening, Ended, Executor, Note, Outcome, Task, Tell
from velodrome.executors.lost import ATTEMPTS, without_result
from velodrome.extras import extra

_LOG_BYTES = 2**20  # most of a log that comes back
_PATIENCE = 10.0  # seconds without a word after which the nodes are looked at


class Ray(Executor):
    """A Ray cluster.

    A trial on CPUs takes all processors of a node, one on GPUs its share of them; only nodes
    that are as large as the largest take part. What a task tells comes back as it happens, by
    a generator; a node that dies gives its trials to others. A trial over several machines is
    a task on each of as many nodes, of which the first sends the others and tells of all.
    """

    name = "ray"
    summary = "a Ray cluster: ray starts one here, ray://HEAD:PORT uses that one"

    def __init__(self, place: str = "", jobs: int | None = None) -> None:
        """As `Executor.__init__`; `place` is the cluster's address or `auto`."""
        self._ray = extra("ray", "ray")
        self._place = place
        self._jobs = jobs

    def run(self, tasks: Sequence[Task], tell: Tell, folder: Path) -> None:
        """As `Executor.run`."""
        ray = self._ray
        started = not ray.is_initialized()
        if started:
            self._connect()
        try:
            _Cluster(ray, tell, self._jobs or len(tasks)).run(tasks)
        finally:
            if started:
                ray.shutdown()

    def _connect(self) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self._place:
                self._ray.init(address=self._place, **quiet)
            else:
                self._ray.init(address="local", include_dashboard=False, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"no Ray cluster at '{self._place}': {error}") from None


EXECUTORS = (Ray,)


class _Sent(NamedTuple):
    """A task that is in the cluster.

    Attributes:
        task: what was sent.
        needs: CPUs and GPUs that Ray keeps for it.
        attempt: 1 for the first place.
        group: the nodes of a trial over several machines, as Ray's placement group.
    """

    task: Task
    needs: dict[str, float]
    attempt: int
    group: Any


class _Cluster:
    """The tasks in a cluster, and what comes back of them."""

    def __init__(self, ray: Any, tell: Tell, most: int) -> None:
        self._ray = ray
        self._tell = tell
        self._most = most
        self._sent: dict[Any, _Sent] = {}  # by the generator of what happens
        self._on_node = ray.remote(_on_node)

    def run(self, tasks: Sequence[Task]) -> None:
        """Each to its end."""
        waiting = list(tasks)
        try:
            while waiting or self._sent:
                while waiting and len(self._sent) < self._most:
                    self._send(waiting.pop(0), 1)
                if self._sent:
                    self._wait()
        finally:
            for generator in list(self._sent):
                self._ray.cancel(generator, force=True)
                self._forget(generator)

    def _send(self, task: Task, attempt: int) -> None:
        needs = _needs(task.job.devices, self._nodes())
        if isinstance(needs, str):
            self._tell(without_result(task, "lost" if attempt > 1 else "unsupported", needs))
            return
        group = self._group(needs, task.job.devices.machines)
        generator = self._on_node.options(
            **_within(group, 0),
            num_cpus=needs["CPU"],
            num_gpus=needs["GPU"],
            # A task that begins anew would tell all once more: we send it ourselves.
            max_retries=0,
            num_returns="streaming",
        ).remote(msgspec.json.encode(task), group)
        self._sent[generator] = _Sent(task, needs, attempt, group)

    def _group(self, needs: dict[str, float], machines: int) -> Any:
        """So many different nodes, all to be had at once; None for a trial on one."""
        if machines == 1:
            return None
        bundle = {name: number for name, number in needs.items() if number}
        return self._ray.util.placement_group([bundle] * machines, strategy="STRICT_SPREAD")

    def _forget(self, generator: Any) -> _Sent:
        """A task that has ended, its nodes free again."""
        sent = self._sent.pop(generator)
        if sent.group:
            self._ray.util.remove_placement_group(sent.group)
        return sent

    def _nodes(self) -> list[dict[str, float]]:
        """What each node that lives has in all."""
        return [each["Resources"] for each in self._ray.nodes() if each["Alive"]]

    def _wait(self) -> None:
        """Until something happens somewhere; now and then, look whether it still can."""
        ready, _ = self._ray.wait(list(self._sent), num_returns=1, timeout=_PATIENCE)
        for generator in ready:
            self._take(generator)
        if not ready:
            nodes = self._nodes()
            for generator, sent in list(self._sent.items()):
                able = sum(_has(each, sent.needs) for each in nodes)
                if able < sent.task.job.devices.machines:
                    self._ray.cancel(generator, force=True)
                    self._again(generator, "no node that it needs is left")

    def _take(self, generator: Any) -> None:
        """The next that a task tells, or its end."""
        errors = self._ray.exceptions
        task = self._sent[generator].task
        try:
            told = _told.decode(self._ray.get(next(generator)))
        except StopIteration:
            self._forget(generator)
        except errors.OutOfMemoryError as error:
            self._forget(generator)
            self._tell(without_result(task, "out-of-memory", str(error)))
        except errors.RayTaskError as error:
            self._forget(generator)
            self._tell(without_result(task, "error", str(error.cause or error)))
        except errors.RayError as error:
            self._again(generator, str(error).partition(".")[0])
        else:
            if isinstance(told, _Log):
                Path(task.log).parent.mkdir(parents=True, exist_ok=True)
                Path(task.log).write_text(told.text)
                return
            if isinstance(told, _Lost):
                self._again(generator, told.reason)
                return
            if isinstance(told, Ended):
                self._forget(generator)
            self._tell(told)

    def _again(self, generator: Any, reason: str) -> None:
        """Give the task to another node, unless too many were lost with it."""
        sent = self._forget(generator)
        trial = sent.task.job.trial
        if sent.attempt < ATTEMPTS:
            self._tell(Note(text=f"{trial.engine} {trial.short_id} goes to another node: {reason}"))
            self._send(sent.task, sent.attempt + 1)
        else:
            self._tell(without_result(sent.task, "lost", f"{ATTEMPTS} nodes lost; {reason}"))


def _needs(devices: Devices, nodes: list[dict[str, float]]) -> dict[str, float] | str:
    """CPUs and GPUs to ask for, or why no node can have the trial.

    On the CPU a trial is alone on its node; on GPUs it has a share of the processors.
    """
    if devices.indices:
        return f"{devices} names GPUs by number, which Ray chooses: write gpu:{devices.count}"
    fitting = [each for each in nodes if each.get("GPU", 0) >= len(devices.gpus)]
    cpus, gpus = max(((each.get("CPU", 0), each.get("GPU", 0)) for each in fitting), default=(0, 0))
    if not cpus:
        return f"no node of the Ray cluster has {devices}"
    needs = {"CPU": cpus, "GPU": 0.0}
    if devices.kind == "gpu":
        needs = {"CPU": cpus * devices.count // gpus, "GPU": devices.count}
    able = sum(_has(each, needs) for each in nodes)
    if able < devices.machines:
        return f"the Ray cluster has {able} of the nodes that {devices} takes"
    return needs


def _has(node: dict[str, float], needs: dict[str, float]) -> bool:
    return all(node.get(name, 0) >= number for name, number in needs.items())


class _Log(msgspec.Struct, frozen=True, tag=True):
    """The end of what a trial's process printed."""

    text: str


class _Lost(msgspec.Struct, frozen=True, tag=True):
    """Another of the trial's nodes is gone."""

    reason: str


_told: msgspec.json.Decoder[AnyHappening | _Log | _Lost] = msgspec.json.Decoder(
    AnyHappening | _Log | _Lost
)


def _within(group: Any, number: int) -> dict[str, Any]:
    """Options of a task on a trial's machine of that number; none without a group."""
    if group is None:
        return {}
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, number)}


def _on_node(task: bytes, group: Any) -> Iterator[bytes]:
    """Runs on a node, as a task: whatever happens, and before the end the log.

    The trial is followed in a thread of its own, so that a generator can hand out what it
    tells; both block until there is something.
    """
    told: queue.SimpleQueue[AnyHappening | _Lost | BaseException | None] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "worker.log"
        given = msgspec.json.decode(task, type=Task)
        follower = threading.Thread(
            target=_follow, args=(msgspec.structs.replace(given, log=str(log)), group, told)
        )
        follower.start()
        while (happening := told.get()) is not None:
            if isinstance(happening, BaseException):
                raise happening
            if isinstance(happening, Ended) and log.exists():
                text = log.read_bytes()[-_LOG_BYTES:].decode(errors="replace")
                yield msgspec.json.encode(_Log(text))
            yield msgspec.json.encode(happening)
        follower.join()


def _follow(
    task: Task,
    group: Any,
    told: "queue.SimpleQueue[AnyHappening | _Lost | BaseException | None]",
) -> None:
    try:
        if group is None:
            node.run(task, told.put)
        else:
            told.put(_over_machines(task, group, told.put))
    except BaseException as error:
        told.put(error)
    else:
        told.put(None)


def _over_machines(task: Task, group: Any, tell: Tell) -> Ended | _Lost:
    """Run this node's part of a trial, the first, and have the other nodes run theirs."""
    ray = extra("ray", "ray")

    def on(number: int, function: Any) -> Any:
        cpus = {"num_cpus": group.bundle_specs[number]["CPU"]}
        gpus = {"num_gpus": group.bundle_specs[number].get("GPU", 0)}
        return ray.remote(function).options(**cpus, **gpus, **_within(group, number), max_retries=0)

    def elsewhere(part: Task, stop: int) -> Outcome:
        assert part.job.meeting is not None
        there = on(part.job.meeting.number, _on_machine).remote(msgspec.json.encode(part))
        threading.Thread(target=_cancel, args=(there, stop), daemon=True).start()
        return msgspec.json.decode(ray.get(there), type=Outcome)

    others = range(1, task.job.devices.machines)
    try:
        there = ray.get([on(number, _address).remote() for number in others])
        return node.lead(task, (_address(), *there), elsewhere, tell)
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        return _Lost(str(error).partition(".")[0])


def _address() -> str:
    """Of this node, with a port that nobody listens on."""
    host = extra("ray", "ray").util.get_node_ip_address()
    return f"{host}:{machines.free_ports(host, 1)[0]}"


def _on_machine(task: bytes) -> bytes:
    """Runs on a trial's further nodes, as a task: its outcome."""
    given = msgspec.json.decode(task, type=Task)
    with tempfile.TemporaryDirectory() as scratch:
        own = msgspec.structs.replace(given, log=str(Path(scratch) / "worker.log"))
        return msgspec.json.encode(node.outcome(own))


def _cancel(there: Any, stop: int) -> None:
    """End another node's task once the descriptor can be read."""
    select.select([stop], [], [])
    extra("ray", "ray").cancel(there, force=True)
