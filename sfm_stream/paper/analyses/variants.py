"""SFM and A-SFM with one thing changed: what each part of them is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from sfm_stream.cell.baselines.catalogue import Headed
from sfm_stream.cell.baselines.stock import StockSFMCell
from sfm_stream.cell.layer import Cell, Layer
from sfm_stream.cell.parameters import columns, horizons
from sfm_stream.cell.sfm import SFMCell
from sfm_stream.errors import ConfigError
from sfm_stream.paper.analyses.absolute import AbsoluteCell

# What biases of 1 in both gates make of the forget gate: a memory of two ticks.
USUAL_BIAS = 1.0


def born_as_it_is(cell: SFMCell) -> Cell[Any]:
    """Leave a cell as it was born."""
    return cell


def without_basis(cell: SFMCell) -> Cell[Any]:
    """Stop every frequency: e^{jωt} is 1, as in the code that the authors released."""
    cell.omega.zero_()
    return cell


def born_usual(cell: SFMCell) -> Cell[Any]:
    """Give both forget gates the bias 1, as published models do: f starts at .53.

    The heads lose the scale that goes with long memories.
    """
    at, sizes = columns(cell.sizes), cell.sizes
    memory = torch.tensor(horizons(sizes)).to(cell.w_heads)
    with torch.no_grad():
        for gate in ("f_ste", "f_fre"):
            cell.w_in[-1, at[gate]] = USUAL_BIAS
        cell.w_heads.mul_(memory.repeat(sizes.head_rows // sizes.states)[:, None])
    return cell


def for_stocks(cell: SFMCell) -> Cell[Any]:
    """Give the form of the stock-price paper, with as many states as fit its size.

    Its gates read every state, so they cost more where there are few outputs.
    """
    sizes, states = cell.sizes, 1
    born = partial(
        StockSFMCell, sizes.inputs, sizes.outputs, frequencies=sizes.frequencies
    )
    while _size(born(states=states + 1, device="meta", seed=0)) <= _size(cell):
        states += 1
    return born(states=states, dtype=cell.b_z.dtype, device=cell.b_z.device)


def _size(cell: nn.Module) -> int:
    return sum(p.numel() for p in cell.parameters())


class Variant(NamedTuple):
    """One change of SFM or A-SFM.

    Attributes:
        name: of the model of the slides' table that is changed.
        options: of its cell, in place of the paper's.
        change: what is done to the cell after birth; chance is torch's, seeded.
        online: the same as settings of the engine; None where it has none.
    """

    name: str
    options: Mapping[str, Any]
    change: Callable[[SFMCell], Cell[Any]]
    online: Mapping[str, Any] | None

    def build(self, born: Callable[[int], nn.Module], seed: int) -> nn.Module:
        """Give a model of a task with the changed cell in place of its own.

        Args:
            born: gives the model as the task has it.
            seed: of both cells.

        Raises:
            ConfigError: if its cell is no SFM.
        """
        net = born(seed)
        layer, replaced = layer_of(net), cell_of(net)
        sizes = replaced.sizes
        options = {
            "states": sizes.states,
            "frequencies": sizes.frequencies,
            "longest_memory": sizes.longest_memory,
            "adaptive": sizes.adaptive,
            "reach": replaced.reach,
            "grid": "paper",
            "readout": "amplitude",
            **self.options,
        }
        cell = SFMCell(sizes.inputs, sizes.outputs, **options, seed=seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layer.cell = self.change(cell)
        return net


def layer_of(net: nn.Module) -> Layer[Any]:
    """Give the layer of a model of the slides' table.

    Raises:
        ConfigError: if it is not of that make.
    """
    if not isinstance(net, Headed):
        problem = f"expected a layer and its head, was {type(net).__name__}"
        raise ConfigError("model", problem)
    return net.layer


def cell_of(net: nn.Module) -> SFMCell:
    """Give the cell of an SFM of the slides' table.

    Raises:
        ConfigError: if there is no such variant.
    """
    cell = layer_of(net).cell
    if not isinstance(cell, SFMCell):
        problem = f"expected an SFM cell, was {type(cell).__name__}"
        raise ConfigError("model", problem)
    return cell


def _paper(**changed: Any) -> Mapping[str, Any]:  # noqa: ANN401 settings are of any kind
    """Give the paper's cell as settings of the engine, with changes."""
    return {"grid": "paper", "readout": "amplitude", **changed}


PHASE = {"readout": "amplitude+phase"}
VARIANTS: Mapping[str, Variant] = {
    "paper": Variant("sfm", {}, born_as_it_is, _paper()),
    "no basis": Variant("sfm", {}, without_basis, None),
    "DC only": Variant("sfm", {"frequencies": 1}, born_as_it_is,
                       _paper(frequencies=1)),
    "half grid": Variant("sfm", {"grid": "half"}, born_as_it_is, _paper(grid="half")),
    "log grid": Variant("sfm", {"grid": "log"}, born_as_it_is, _paper(grid="log")),
    "phase": Variant("sfm", PHASE, born_as_it_is, _paper(**PHASE)),
    "log grid + phase": Variant("sfm", {"grid": "log", **PHASE}, born_as_it_is,
                                    _paper(grid="log", **PHASE)),
    "usual birth": Variant("sfm", {}, born_usual, _paper(longest_memory=2.0)),
    "adaptive": Variant("a-sfm", {}, born_as_it_is, _paper(cell="a-sfm")),
    "adaptive + absolute phase": Variant("a-sfm", {}, AbsoluteCell, None),
    "stock-price form": Variant("sfm", {}, for_stocks, None),
}  # fmt: skip
