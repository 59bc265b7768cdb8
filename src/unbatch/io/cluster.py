"""Walk over the blocks of a source on a Dask cluster: workers read and sum, and merge their sums in a tree."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numba

from unbatch._check import InputError, InputWarning
from unbatch._threads import one_thread
from unbatch.io.heard import Told, heard, tell
from unbatch.io.known import Packed, Packer, PerCell
from unbatch.io.portable import portable
from unbatch.io.reduce import Accumulator, AnyAccumulator, Driver, LocalDriver
from unbatch.io.source import CountSource

if TYPE_CHECKING:
    from distributed import Client, Future

_TASKS_PER_THREAD = 8
"""So many tasks for each thread of the cluster keep all of them busy to the end. More would send more sums around."""
_MOST_BLOCKS = 32
"""Blocks of a task: half a minute of work to do again when a worker is lost."""
_ARITY = 4
"""Sums that are merged at a time. More take more memory, as all of them are on one worker then."""
_PATIENCE = 10.0  # seconds for the scheduler to answer
_NOT_HERE = "a worker of the cluster failed where this process does not"
_SHARED_DISK = "Workers read the files themselves: put them where all workers see them under the same path"


@dataclass(frozen=True)
class DaskDriver:
    """Walks over the blocks on the workers of a Dask cluster, which open the files themselves.

    A task reads a range of cells, a block at a time, and gives what it counted. A few results are merged at a time, on
    the workers, and one comes back. What a lost worker had counted is counted again. The result has the bits of
    `LocalDriver`. A task takes one thread, so that a worker should have as many as it has cores; more workers with
    fewer threads read faster where the format locks (HDF5).

    Attributes
    ----------
    client
        Connected to the cluster.

    Raises
    ------
    InputError
        If `client` is not one, or an asynchronous one.
    """

    client: "Client"

    def __post_init__(self) -> None:
        if not hasattr(self.client, "submit") or not hasattr(self.client, "scheduler_info"):
            raise InputError(f"client is {type(self.client).__name__}: give a distributed.Client")
        if self.client.asynchronous:
            raise InputError("the Dask client is asynchronous: give one made with asynchronous=False")

    def reduce(
        self,
        source: CountSource,
        accumulator: AnyAccumulator,
        *,
        block_size: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> AnyAccumulator:
        """Merge what the workers counted into the accumulator, which must have seen no block.

        Raises
        ------
        InputError
            If the counts are in memory or can only be read as a whole; what `LocalDriver` would raise at the first
            block in order that it cannot read or that is refused; if workers cannot read the files, run another
            version, or die again and again.
        """
        elsewhere = portable(source)
        self._check_workers()
        packer = Packer([source], collect=True)
        template = packer.pack(accumulator)
        boxes = [box for box in packer.known if isinstance(box, PerCell)]
        abroad = [box.part(0, 0) if isinstance(box, PerCell) else box for box in packer.known[1:]]
        plan = _Plan((elsewhere, *abroad), template, block_size)
        tasks = [
            _Task(start, stop, tuple(box.part(start, stop) for box in boxes))
            for start, stop in _ranges(source.bounds(block_size), n_threads=sum(self.client.nthreads().values()))
        ]
        with _clear_errors():
            counted = self._run(plan, tasks, progress or _ignore)
            if isinstance(counted, _Failed):
                if isinstance(counted.error, InputError):
                    _add_again(source, packer.unpack(template), counted.task, block_size=block_size)
                    raise InputError(f"{_NOT_HERE}: {counted.error}. {_SHARED_DISK}") from counted.error
                raise counted.error
        tell(counted.told)
        accumulator.merge(packer.unpack(counted.packed))
        return accumulator

    def _run(self, plan: "_Plan", tasks: Sequence["_Task"], progress: Callable[[int], None]) -> "_Counted | _Failed":
        """Submit all tasks at once, follow them, and let go of all of them whatever happens."""
        import dask

        # the plan is part of a task, not scattered: what is scattered is lost with the workers that hold it
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            shared = self.client.submit(_same, plan, pure=False)
            futures = self.client.map(_count, tasks, plan=shared, pure=False)
        waiting = dict(zip(futures, tasks, strict=True))
        last = self._tree(futures, shared)
        del futures  # what a task counted stays with its worker only until it is merged
        try:
            return self._wait(waiting, progress) or last.result()
        finally:
            for future in (*waiting, last, shared):
                future.release()

    def _tree(self, futures: "Sequence[Future]", shared: "Future") -> "Future":
        """Merge a few neighbours at a time until one is left."""
        while len(futures) > 1:
            groups = [futures[first : first + _ARITY] for first in range(0, len(futures), _ARITY)]
            # as soon as it can be done, before other ranges are read
            futures = [self.client.submit(_merge, group, plan=shared, pure=False, priority=1) for group in groups]
        return futures[0]

    def _wait(self, waiting: "dict[Future, _Task]", progress: Callable[[int], None]) -> "_Failed | None":
        """Wait for tasks and let go of those that are done; give the first in order that failed.

        After a failure only those before it are waited for. The others are not cancelled: the scheduler may lose its
        client over that, and with it what the earlier ones say.
        """
        from distributed import as_completed

        failed: _Failed | None = None
        for future in as_completed(list(waiting), loop=self.client.loop):
            task = waiting.pop(future)
            if future.status == "finished":
                progress(task.stop - task.start)
            elif future.status == "error" and (failed is None or task.start < failed.task.start):
                failed = _Failed(task, future.exception())
            if failed and all(other.start > failed.task.start for other in waiting.values()):
                break
        return failed

    def _check_workers(self) -> None:
        own = version("unbatch")
        theirs = self.client.run(version, "unbatch", on_error="return")
        if not theirs:
            tell([(f"the Dask cluster at {_address(self.client)} has no workers yet: waiting for one", InputWarning)])
        for worker, found in theirs.items():
            if isinstance(found, Exception):
                raise InputError(f"the worker {worker} has no unbatch: install unbatch[dask] {own} where workers run")
            if found != own:
                raise InputError(f"the worker {worker} has unbatch {found}, this process {own}: install the same")


@contextmanager
def connect(address: str | None) -> Iterator[Driver]:
    """Give a driver that walks on the cluster of a scheduler as long as the context lasts; without address, here.

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://host:8786``.

    Raises
    ------
    InputError
        If `distributed` is not installed, `address` is none, or no scheduler answers.
    """
    if address is None:
        yield LocalDriver()
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("a Dask cluster needs the package distributed: pip install 'unbatch[dask]'") from error
    try:
        asyncio.run(_reach(address))
    except ValueError as error:
        raise InputError(
            f"{address!r} is no address of a Dask scheduler: give the one that `dask scheduler` prints, such as "
            "tcp://host:8786"
        ) from error
    except OSError as error:
        raise InputError(
            f"no Dask scheduler answers at {address}: give the address that `dask scheduler` prints, such as "
            "tcp://host:8786"
        ) from error
    except (ImportError, RuntimeError, TypeError) as error:  # tls:// or ucx:// lacks its settings or its package
        raise InputError(
            f"the Dask scheduler at {address} cannot be spoken to ({error}): configure this first"
        ) from error
    with Client(address, timeout=_PATIENCE, set_as_default=False) as client:
        yield DaskDriver(client)


async def _reach(address: str) -> None:
    """Connect and part again.

    What cannot connect is closed here. A client of its own thread is made by half then, and says so at the end of the
    program, up to half a minute later.
    """
    from distributed import Client

    client = Client(address, timeout=_PATIENCE, set_as_default=False, asynchronous=True)
    try:
        await client
    finally:
        await client.close()


@dataclass(frozen=True)
class _Plan:
    """What all tasks need: the source and the boxes that the accumulator refers to, and the empty accumulator."""

    known: tuple[Any, ...]
    template: Packed
    block_size: int | None


@dataclass(frozen=True)
class _Task:
    """A range of cells, and what the accumulator knows of each of them."""

    start: int
    stop: int
    boxes: tuple[PerCell[Any], ...]


@dataclass(frozen=True)
class _Counted:
    """What an accumulator counted, and the warnings that were given meanwhile."""

    packed: Packed
    told: tuple[Told, ...]

    def __sizeof__(self) -> int:
        """Give the bytes that Dask accounts it with."""
        return self.packed.n_bytes


@dataclass(frozen=True)
class _Failed:
    """A task and what it raised."""

    task: _Task
    error: BaseException


def _ranges(bounds: Sequence[tuple[int, int]], *, n_threads: int) -> list[tuple[int, int]]:
    """Join neighbouring blocks to one range per task."""
    number = min(max(len(bounds) // (_TASKS_PER_THREAD * max(n_threads, 1)), 1), _MOST_BLOCKS)
    return [
        (bounds[first][0], bounds[min(first + number, len(bounds)) - 1][1]) for first in range(0, len(bounds), number)
    ]


def _same(plan: _Plan) -> _Plan:
    return plan


def _count(task: _Task, *, plan: _Plan) -> _Counted:
    boxes = iter(task.boxes)
    packer = Packer([next(boxes) if isinstance(known, PerCell) else known for known in plan.known])
    source: CountSource = plan.known[0]
    # a worker runs as many tasks at a time as it is meant to use threads
    with heard() as told, _one_thread():
        accumulator = packer.unpack(plan.template)
        for block in source.blocks(plan.block_size, cells=(task.start, task.stop)):
            accumulator.add(block)
    return _Counted(packer.pack(accumulator, share=True), tuple(told))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep what numba and BLAS do for this thread to one thread."""
    usual = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with one_thread():
            yield
    finally:
        numba.set_num_threads(usual)


def _merge(counted: Sequence[_Counted], *, plan: _Plan) -> _Counted:
    packer = Packer(plan.known)
    # none of them is changed: should this have to be done again elsewhere, they are still there
    merged = packer.unpack(plan.template)
    for some in counted:
        merged.merge(packer.unpack(some.packed))
    told = dict.fromkeys(one for some in counted for one in some.told)
    return _Counted(packer.pack(merged, share=True), tuple(told))


def _add_again(source: CountSource, accumulator: Accumulator, task: _Task, *, block_size: int | None) -> None:
    """Do here what a worker refused to do: what is raised here has the names of cells and genes in it."""
    for block in source.blocks(block_size, cells=(task.start, task.stop)):
        accumulator.add(block)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Say what to do when the cluster itself fails."""
    from distributed import CancelledError, KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise InputError(
            f"workers of the Dask cluster died again and again, mostly for lack of memory: give them more ({error})"
        ) from error
    except (CancelledError, OSError) as error:
        raise InputError(f"the Dask cluster was lost ({error}): start it again, and then this") from error


def _address(client: "Client") -> str:
    return str(client.scheduler_info()["address"])


def _ignore(_cells: int) -> None:
    """Count nothing."""
