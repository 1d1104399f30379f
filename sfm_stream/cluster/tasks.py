"""An executor that runs tasks on a Ray cluster, each in a process of its own.

A task of a lost node is run again on another node, so it must have no effect but its
result. Errors of a task are raised here as they were raised there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from sfm_stream.cluster import joining

P = ParamSpec("P")
T = TypeVar("T")
AGAIN = 3
"""Times that a task is repeated when its node or process is lost."""


class Tasks(ThreadPoolExecutor):
    """Runs tasks on the nodes; a local thread waits for each.

    Args:
        ray: the module `ray`, joined to a cluster.
        most: most tasks at the same time.
        before: called on the node before each task.
    """

    def __init__(self, ray: Any, most: int, before: Callable[[], None]) -> None:  # noqa: ANN401 a module without types
        super().__init__(most, "task")
        self._ray, self._before = ray, before
        on_a_node = ray.remote(
            num_cpus=1,
            max_calls=1,  # one process per task, so that its memory can be measured
            max_retries=AGAIN,
            scheduling_strategy="SPREAD",
        )
        self._carry_out = on_a_node(_carry_out)
        self._asked: set[Any] = set()

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Call a function on a node; the function and its arguments are pickled."""
        return super().submit(self._given, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more tasks; with `cancel_futures` end running tasks, too."""
        if cancel_futures:
            for asked in tuple(self._asked):
                self._ray.cancel(asked, force=True)
        super().shutdown(wait, cancel_futures=cancel_futures)

    def _given(
        self, call: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> T:
        asked = self._carry_out.remote(self._before, call, args, kwargs)
        self._asked.add(asked)
        try:
            given: T = self._ray.get(asked)
        except self._ray.exceptions.RayTaskError as e:
            raise e.cause from None
        except self._ray.exceptions.RayError as e:
            raise BrokenExecutor(str(e)) from e
        else:
            return given
        finally:
            self._asked.discard(asked)


@contextmanager
def open_tasks(
    address: str, jobs: int | None, before: Callable[[], None]
) -> Iterator[tuple[Tasks, int]]:
    """Join a cluster, and leave it at the end; the caller shuts down the executor.

    Args:
        address: address of the cluster.
        jobs: most tasks at the same time; None: one per processor of the cluster.
        before: called on the node before each task.

    Yields:
        The executor, and the most tasks at the same time.

    Raises:
        ConfigError: if Ray is not installed, or no cluster is at the address.
    """
    ray = joining.joined(address)
    most = jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
    try:
        yield Tasks(ray, most, before), most
    finally:
        ray.shutdown()


def _carry_out(
    before: Callable[[], None],
    call: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> T:
    before()
    return call(*args, **kwargs)
