"""Walk over the blocks of a source, on this machine reading ahead of the computing, or wherever a driver does it."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from unbatch.io.source import Block, CountSource

_BLOCKS_AHEAD = 1
_PATIENCE = 0.1  # seconds between two looks of a waiting reader at whether it is still wanted


class Accumulator(Protocol):
    """What a walk adds blocks to.

    Its result depends neither on the size of the blocks, nor on their order, nor on how they were shared out to several
    accumulators that were merged afterwards, to the bit. It can be pickled as long as it has seen no block.
    """

    def add(self, block: Block) -> None:
        """Take a block in."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what another one, made alike, has been given of the other blocks, and never change its arrays."""
        ...


AnyAccumulator = TypeVar("AnyAccumulator", bound=Accumulator)


class Together:
    """Several accumulators fed in one walk, in the given order: put the check at the door first."""

    def __init__(self, *accumulators: Accumulator) -> None:
        self.accumulators = accumulators

    def add(self, block: Block) -> None:
        """Give the block to each."""
        for accumulator in self.accumulators:
            accumulator.add(block)

    def merge(self, other: "Together") -> None:
        """Merge each with its counterpart."""
        for mine, theirs in zip(self.accumulators, other.accumulators, strict=True):
            mine.merge(theirs)


class Driver(Protocol):
    """Who walks over the blocks: this process, or the workers of a cluster."""

    def reduce(
        self,
        source: CountSource,
        accumulator: AnyAccumulator,
        *,
        block_size: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> AnyAccumulator:
        """Do what `reduce_blocks` says."""
        ...


@dataclass(frozen=True)
class LocalDriver:
    """Walks over the blocks in this process: one thread reads while this one computes.

    At most three blocks are in memory: the one in work, one waiting, one being read.
    """

    def reduce(
        self,
        source: CountSource,
        accumulator: AnyAccumulator,
        *,
        block_size: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> AnyAccumulator:
        """Add the blocks one after another. When it raises, the reading thread has ended."""
        for block in read_ahead(source.blocks(block_size)):
            accumulator.add(block)
            if progress is not None:
                progress(block.stop - block.start)
        return accumulator


def reduce_blocks(
    source: CountSource,
    accumulator: AnyAccumulator,
    *,
    block_size: int | None = None,
    progress: Callable[[int], None] | None = None,
    driver: Driver | None = None,
) -> AnyAccumulator:
    """Add all blocks of a source to an accumulator, which is changed and given back.

    Parameters
    ----------
    source
        Read once from first to last cell.
    accumulator
        Takes the blocks.
    block_size
        Cells per block; None lets the source choose. Larger blocks take more memory and fewer reads.
    progress
        Called with the number of cells that were added since the last call.
    driver
        Who walks; None is this process. All give the same bits.

    Raises
    ------
    InputError
        If the source cannot be read, or the accumulator refuses what it gets.
    """
    return (driver or LocalDriver()).reduce(source, accumulator, block_size=block_size, progress=progress)


def read_ahead(blocks: Iterator[Block]) -> Iterator[Block]:
    """Give the same blocks, read by another thread one ahead of their use.

    An error while reading is raised where the block was due. When the caller stops early, the thread ends and the
    blocks' file is closed.
    """
    waiting: queue.Queue[Block | BaseException | None] = queue.Queue(maxsize=_BLOCKS_AHEAD)
    unwanted = threading.Event()
    reader = threading.Thread(target=_fill, args=(blocks, waiting, unwanted), name="unbatch-reader", daemon=True)
    reader.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        unwanted.set()
        reader.join()


def _fill(
    blocks: Iterator[Block],
    waiting: "queue.Queue[Block | BaseException | None]",
    unwanted: threading.Event,
) -> None:
    try:
        for block in blocks:
            if not _put(block, waiting, unwanted):
                return
        _put(None, waiting, unwanted)
    except BaseException as error:  # noqa: BLE001  (raised again in the thread that waits for the block)
        _put(error, waiting, unwanted)
    finally:
        close = getattr(blocks, "close", None)
        if close is not None:
            close()


def _put(
    item: Block | BaseException | None,
    waiting: "queue.Queue[Block | BaseException | None]",
    unwanted: threading.Event,
) -> bool:
    while not unwanted.is_set():
        try:
            waiting.put(item, timeout=_PATIENCE)
        except queue.Full:
            continue
        return True
    return False
