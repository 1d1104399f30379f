"""Eight float32 numbers as one value of compiled code.

    x = load(a, i, left)                 a[i : i + 8], 0 from a[i + left] on
    store(y, i, left, fma(x, x, splat(b)))

LLVM vectorises a plain loop only with a run-time check, for every pair of arrays, that
they do not overlap: in short loops over many arrays the check takes longer than the
work. Here the code uses vectors explicitly, so there is no check.

An index counts elements in memory order, for any shape of the array. The operators
+ - * / work on lanes; NaN passes through all operations.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

LANES = 8
FLOAT, INDEX = ir.FloatType(), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
# The flags of `scalars.FAST`, which allow NaN and infinity.
FLAGS = ("reassoc", "contract", "nsz", "arcp", "afn")
BYTES = 4


def intrinsic(make: Callable[..., Any]) -> Any:
    """Make a function of compiled code from `make`, which writes LLVM instructions."""
    # A wrapper, because numba declares the call with its first argument, the typing.
    return extending.intrinsic(make)


class LanesType(types.Type):
    """The type of eight float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"lanes{LANES}")


lanes = LanesType()
OPERANDS = ((lanes, lanes), (lanes, types.float32), (types.float32, lanes))


@register_model(LanesType)
class LanesModel(models.PrimitiveModel):
    """The representation of lanes: a vector register."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


def _is_run(array: Any) -> bool:
    """Say whether an array is contiguous float32, so that lanes can read it."""
    is_array = isinstance(array, types.Array)
    return is_array and array.layout == "C" and array.dtype == types.float32


def _spread(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, number, ir.Constant(INDEX, 0))
    first = ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
    return builder.shuffle_vector(one, undefined, first)


def _widened(builder: Any, kind: Any, value: Any) -> Any:
    return value if kind == lanes else _spread(builder, value)


def _is_whole(builder: Any, left: Any) -> Any:
    return builder.icmp_signed(">=", left, ir.Constant(left.type, LANES))


def _copy_part(builder: Any, to: Any, source: Any, left: Any) -> None:
    cgutils.raw_memcpy(builder, to, source, left, BYTES, align=BYTES)


def _load(builder: Any, place: Any, left: Any, rest: Any) -> Any:
    """Read up to eight numbers; the lanes beyond `left` come from `rest`."""
    room = cgutils.alloca_once(builder, VECTOR)
    with builder.if_else(_is_whole(builder, left)) as (whole, part):
        with whole:
            there = builder.load(builder.bitcast(place, VECTOR.as_pointer()))
            there.align = BYTES
            builder.store(there, room)
        with part:
            builder.store(rest, room)
            first = builder.bitcast(room, FLOAT.as_pointer())
            _copy_part(builder, first, place, left)
    return builder.load(room)


@intrinsic
def load(typing: Any, array: Any, index: Any, left: Any) -> Any:
    """Give `array[index : index + 8]`, with zeros beyond the first `left` numbers."""
    if not _is_run(array):
        return None

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        place = _place(context, builder, signed.args[0], given[0], given[1])
        return _load(builder, place, given[2], ir.Constant(VECTOR, [0.0] * LANES))

    return lanes(array, index, left), generate


@intrinsic
def load_or(typing: Any, array: Any, index: Any, left: Any, rest: Any) -> Any:
    """Give `array[index : index + 8]`, with `rest` beyond the first `left` numbers."""
    if not _is_run(array):
        return None

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        place = _place(context, builder, signed.args[0], given[0], given[1])
        return _load(builder, place, given[2], _spread(builder, given[3]))

    return lanes(array, index, left, types.float32), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, left: Any, value: Any) -> Any:
    """Set `array[index : index + 8]`, or only its first `left` numbers."""
    if not _is_run(array) or value != lanes:
        return None

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        place = _place(context, builder, signed.args[0], given[0], given[1])
        room = cgutils.alloca_once(builder, VECTOR)
        with builder.if_else(_is_whole(builder, given[2])) as (whole, part):
            with whole:
                there = builder.bitcast(place, VECTOR.as_pointer())
                builder.store(given[3], there).align = BYTES
            with part:
                builder.store(given[3], room)
                first = builder.bitcast(room, FLOAT.as_pointer())
                _copy_part(builder, place, first, given[2])
        return context.get_dummy_value()

    return types.void(array, index, left, lanes), generate


@intrinsic
def spread(typing: Any, array: Any, index: Any) -> Any:
    """Give `array[index]` in every lane."""
    if not _is_run(array):
        return None

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        place = _place(context, builder, signed.args[0], given[0], given[1])
        return _spread(builder, builder.load(place))

    return lanes(array, index), generate


@intrinsic
def splat(typing: Any, number: Any) -> Any:
    """Give a number in every lane."""

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        return _spread(builder, given[0])

    return lanes(types.float32), generate


def _llvm(builder: Any, name: str, arguments: list[Any]) -> Any:
    """Call the LLVM function of this name on lanes."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(arguments))
    there = cgutils.get_or_insert_function(
        builder.module, kind, f"llvm.{name}.v{LANES}f32"
    )
    return builder.call(there, arguments)


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """Give x y + z, rounded once."""

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        return _llvm(builder, "fma", list(given))

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def root(typing: Any, x: Any) -> Any:
    """Give the square root of each lane."""

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        return _llvm(builder, "sqrt", list(given))

    return lanes(lanes), generate


@intrinsic
def hold(typing: Any, x: Any, low: Any, high: Any) -> Any:
    """Clip each lane of x to [low, high]; NaN stays NaN."""

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        x, low, high = given[0], *(_spread(builder, bound) for bound in given[1:])
        x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
        return builder.select(builder.fcmp_ordered(">", x, high), high, x)

    return lanes(lanes, types.float32, types.float32), generate


@intrinsic
def totals(
    typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any
) -> Any:
    """Give the sums over the lanes of eight values, in order, as the lanes of one."""

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        return _fold(builder, list(given))

    return lanes(*[lanes] * LANES), generate


@intrinsic
def total(typing: Any, x: Any) -> Any:
    """Give the sum over the lanes, as a number."""

    def generate(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        folded = _fold(builder, [given[0]] * LANES)
        return builder.extract_element(folded, ir.Constant(INDEX, 0))

    return types.float32(lanes), generate


def _fold(builder: Any, values: list[Any]) -> Any:
    """Add neighbouring lanes of pairs of values, until a single value is left."""
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=True)
        values = [_neighbours(builder, x, y) for x, y in pairs]
    # Three rounds leave the eight sums in order.
    return values[0]


def _neighbours(builder: Any, x: Any, y: Any) -> Any:
    kind = ir.VectorType(INDEX, LANES)
    even, odd = (ir.Constant(kind, [*range(i, 2 * LANES, 2)]) for i in (0, 1))
    return builder.fadd(
        builder.shuffle_vector(x, y, even),
        builder.shuffle_vector(x, y, odd),
        flags=FLAGS,
    )


def _operator(symbol: Callable[..., Any], name: str) -> None:
    """Define an operator on lanes for compiled code."""

    @infer_global(symbol)
    class Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return signature(lanes, *args) if args in OPERANDS else None

    def lower(context: Any, builder: Any, signed: Any, given: Any) -> Any:
        x, y = (_widened(builder, *one) for one in zip(signed.args, given, strict=True))
        return getattr(builder, name)(x, y, flags=FLAGS)

    for kinds in OPERANDS:
        lower_builtin(symbol, *kinds)(lower)


for _symbol, _name in ((operator.add, "fadd"), (operator.sub, "fsub"),
                       (operator.mul, "fmul"), (operator.truediv, "fdiv")):  # fmt: skip
    _operator(_symbol, _name)
