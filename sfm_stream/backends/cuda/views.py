"""Views of named arrays in an arena on the GPU, like those of `kernels.rows`.

The `reshape` of numba calls a C function, which does not exist on a GPU.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.cuda.extending import intrinsic
from numba.cuda.np.arrayobj import make_array, populate_array


def _seen(context: Any, builder: Any, signed: Any, given: Any) -> Any:
    """View part of a contiguous array, from one element on, in another shape."""
    flat, at, *sides = given
    data = make_array(signed.args[0])(context, builder, flat).data
    item = context.get_abi_sizeof(context.get_data_type(signed.return_type.dtype))
    size = context.get_constant(types.intp, item)
    steps = [size]
    for side in reversed(sides[1:]):
        steps.insert(0, builder.mul(steps[0], side))
    made = make_array(signed.return_type)(context, builder)
    first = builder.gep(data, [at])
    populate_array(made, first, sides, steps, size, meminfo=None)
    return made._getvalue()  # noqa: SLF001 numba's proxies have no other way out


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def matrix(typing: Any, flat: Any, at: Any, i: Any, j: Any) -> Any:  # noqa: ARG001
    """Give i x j elements from `at` on."""
    whole = types.intp
    return types.Array(flat.dtype, 2, "C")(flat, whole, whole, whole), _seen


@intrinsic  # type: ignore[untyped-decorator]  # numba has no types
def cube(typing: Any, flat: Any, at: Any, i: Any, j: Any, k: Any) -> Any:  # noqa: ARG001
    """Give i x j x k elements from `at` on."""
    whole = types.intp
    return types.Array(flat.dtype, 3, "C")(flat, whole, whole, whole, whole), _seen
