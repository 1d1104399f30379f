"""The stages of a tick for the GPU, made from the CPU's own sources.

As in the torch backend, each function of `kernels` is rebuilt from its source over
other names, so that a twin calls twins. So labels, gaps, voids, least squares,
aggregation and intervals have one definition.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

from numba import cuda
from numba.cuda import config

from sfm_stream import kernels
from sfm_stream.jit import scalars
from sfm_stream.kernels import rows

Function: TypeAlias = Callable[..., Any]
# Functions by `room.module.name`, put in the place of those of the CPU.
Instead: TypeAlias = Mapping[str, Function]
# Where numba's simulator runs kernels as Python on the CPU, nothing is compiled.
SIMULATED = bool(config.ENABLE_CUDASIM)


def device(function: Function, *, inline: bool = False) -> Function:
    """Compile a function that others on the GPU call."""
    if SIMULATED:
        return function
    made: Function = cuda.jit(device=True, inline="always" if inline else "never")(
        function
    )
    return made


def kernel(function: Function) -> Any:
    """Compile a function that the host launches."""
    return cuda.jit(function)


class Twins:
    """Modules of `kernels` over other names.

    Args:
        instead: the functions that replace some, by name.
        made: the same, but twins already: those of other twins.
    """

    def __init__(self, instead: Instead, made: Instead | None = None) -> None:
        self._made: dict[int, Function] = {}
        self._spaces: dict[str, dict[str, Any]] = {}
        self._modules = {m.__name__: ModuleType(m.__name__ + ".twin") for m in _all()}
        self._views = _views()
        for module in _all():
            vars(self._modules[module.__name__]).update(self.space(module))
        for name, function in instead.items():
            self._put(name, device(self._over_twins(function)))
        for name, twin in (made or {}).items():
            self._put(name, twin)

    def _put(self, name: str, twin: Function) -> None:
        where, _, what = name.rpartition(".")
        home = self._modules[f"{kernels.__name__}.{where}"]
        expect_function(vars(home), where, what)
        setattr(home, what, twin)

    def space(self, module: ModuleType) -> dict[str, Any]:
        """Give the names of a module, each compiled function as its twin."""
        return {
            name: self._twin(name, value)
            for name, value in vars(module).items()
            if not name.startswith("__") or name == "__builtins__"
        }

    def _over_twins(self, function: Function) -> Function:
        """Give a plain function that calls twins."""
        space = self.space(import_module(function.__module__))
        return FunctionType(function.__code__, space, function.__name__)

    def _twin(self, name: str, value: Any) -> Any:
        if isinstance(value, ModuleType):
            return self._modules.get(value.__name__, value)
        if getattr(value, "__module__", "") == rows.__name__ and name in self._views:
            return self._views[name]
        return self.of(value) if hasattr(value, "py_func") else value

    def of(self, compiled: Any) -> Function:
        """Give a function of `kernels` as others on the GPU call it."""
        if id(compiled) not in self._made:
            source = compiled.py_func
            home = self._modules.get(source.__module__)
            space = source.__globals__ if home is None else vars(home)
            twin = FunctionType(
                source.__code__, space, source.__name__, source.__defaults__
            )
            inline = compiled.targetoptions.get("inline") == "always"
            self._made[id(compiled)] = device(twin, inline=inline)
        return self._made[id(compiled)]

    def over(self, module: ModuleType, *names: str) -> list[Any]:
        """Give functions of a module of plain sources as kernels over the twins."""
        space = self._plain(module)
        return [
            kernel(FunctionType(vars(module)[name].__code__, space, name))
            for name in names
        ]

    def _plain(self, module: ModuleType) -> dict[str, Any]:
        """Give the names of a module of plain sources, its functions for the GPU.

        So are those that it has from other such modules of this room.
        """
        if module.__name__ in self._spaces:
            return self._spaces[module.__name__]
        space = self._spaces[module.__name__] = self.space(module)
        for name, value in vars(module).items():
            where = getattr(value, "__module__", "")
            if not isinstance(value, FunctionType) or not where.startswith(__package__):
                continue
            if where != module.__name__:
                space[name] = self._plain(import_module(where))[name]
            else:
                space[name] = device(FunctionType(value.__code__, space, name))
        return space


def expect_function(space: Mapping[str, Any], where: str, what: str) -> None:
    """Refuse to put something in the place of a function that is not there."""
    if what not in space:
        raise LookupError(f"{where}: expected a function {what} to put another for")


def _all() -> list[ModuleType]:
    inside = pkgutil.walk_packages(kernels.__path__, kernels.__name__ + ".")
    files = (found.name for found in inside if not found.ispkg)
    return [scalars, *(import_module(name) for name in files)]


def _views() -> dict[str, Function]:
    if SIMULATED:
        return {"matrix": rows.matrix, "cube": rows.cube}
    from sfm_stream.backends.cuda import views

    return {"matrix": views.matrix, "cube": views.cube}
