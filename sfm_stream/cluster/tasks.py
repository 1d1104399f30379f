"""Tasks on a cluster of Ray, as an executor: each in a process of its own on a node.

A task of a lost node is carried out again on another one, so it must change nothing but
what it gives. Errors of a task are raised here as they were raised there.
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
"""Times that a task is carried out again when its node or process is lost."""


class Tasks(ThreadPoolExecutor):
    """Carries tasks out on the nodes; a thread here waits for each.

    Args:
        ray: joined to a cluster.
        most: tasks at the same time.
        before: what each task does first on its node.
    """

    def __init__(self, ray: Any, most: int, before: Callable[[], None]) -> None:  # noqa: ANN401 a module without types
        super().__init__(most, "task")
        self._ray, self._before = ray, before
        on_a_node = ray.remote(
            num_cpus=1,
            max_calls=1,  # a process of its own tells its memory from others'
            max_retries=AGAIN,
            scheduling_strategy="SPREAD",
        )
        self._carry_out = on_a_node(_carry_out)
        self._asked: set[Any] = set()

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Have a function called on a node; it and all it is given are pickled."""
        return super().submit(self._given, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; `cancel_futures` ends those that are at work, too."""
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
    """Join a cluster, and leave it in the end; the executor is the caller's to shut.

    Args:
        address: of the cluster.
        jobs: tasks at the same time, or None: as many as it has processors.
        before: what each task does first on its node.

    Yields:
        The executor, and the tasks at the same time.

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
