"""Builds the stages of a tick for the GPU from the sources of the CPU's stages.

As in the torch backend, each function of `kernels` is rebuilt from its source with
other global names: the copy for the GPU, its twin, calls other twins. So labels, gaps,
voids, least squares, aggregation and intervals have one definition.
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
# Functions by `room.module.name` that replace those of the CPU.
Instead: TypeAlias = Mapping[str, Function]
# Where numba's simulator runs kernels as Python on the CPU, nothing is compiled.
SIMULATED = bool(config.ENABLE_CUDASIM)


def device(function: Function, *, inline: bool = False) -> Function:
    """Compile a function that other functions on the GPU call."""
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
    """Copies of the modules of `kernels` for the GPU, with some functions replaced.

    Args:
        instead: replacements by name, as plain functions.
        made: replacements by name that are compiled for the GPU already.
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
        """Give the global names of a module, with twins for compiled functions."""
        return {
            name: self._twin(name, value)
            for name, value in vars(module).items()
            if not name.startswith("__") or name == "__builtins__"
        }

    def _over_twins(self, function: Function) -> Function:
        """Rebuild a plain function so that it calls twins."""
        space = self.space(import_module(function.__module__))
        return FunctionType(function.__code__, space, function.__name__)

    def _twin(self, name: str, value: Any) -> Any:
        if isinstance(value, ModuleType):
            return self._modules.get(value.__name__, value)
        if getattr(value, "__module__", "") == rows.__name__ and name in self._views:
            return self._views[name]
        return self.of(value) if hasattr(value, "py_func") else value

    def of(self, compiled: Any) -> Function:
        """Give the twin of a compiled function of `kernels`."""
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
        """Make kernels from plain functions of a module; they call twins."""
        space = self._plain(module)
        return [
            kernel(FunctionType(vars(module)[name].__code__, space, name))
            for name in names
        ]

    def _plain(self, module: ModuleType) -> dict[str, Any]:
        """Give the global names of a module, with its plain functions for the GPU.

        The same holds for functions that it imports from modules of this package.
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
    """Refuse to replace a function that does not exist."""
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
