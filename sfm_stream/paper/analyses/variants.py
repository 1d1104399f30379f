"""Variants of SFM and A-SFM with one part changed, for ablations."""

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

# Bias of both forget gates in published models: the memory is two ticks then.
USUAL_BIAS = 1.0


def born_as_it_is(cell: SFMCell) -> Cell[Any]:
    """Give a cell unchanged."""
    return cell


def without_basis(cell: SFMCell) -> Cell[Any]:
    """Set every frequency to 0: e^{jωt} is 1, as in the code the authors released."""
    cell.omega.zero_()
    return cell


def born_usual(cell: SFMCell) -> Cell[Any]:
    """Set the bias of both forget gates to 1, as published models do: f starts at .53.

    The heads lose the scale that belongs to long memories.
    """
    at, sizes = columns(cell.sizes), cell.sizes
    memory = torch.tensor(horizons(sizes)).to(cell.w_heads)
    with torch.no_grad():
        for gate in ("f_ste", "f_fre"):
            cell.w_in[-1, at[gate]] = USUAL_BIAS
        cell.w_heads.mul_(memory.repeat(sizes.head_rows // sizes.states)[:, None])
    return cell


def for_stocks(cell: SFMCell) -> Cell[Any]:
    """Make the cell of the stock-price paper, with about as many parameters.

    It gets the largest number of states that does not exceed the size of the cell. Its
    gates read every state, so it has fewer states if there are few outputs.
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
        name: of the changed model of the slides' table.
        options: of its cell, in place of the paper's.
        change: function that changes the cell after birth; torch's generator is seeded.
        online: the same change as settings of the engine; None if it has none.
    """

    name: str
    options: Mapping[str, Any]
    change: Callable[[SFMCell], Cell[Any]]
    online: Mapping[str, Any] | None

    def build(self, born: Callable[[int], nn.Module], seed: int) -> nn.Module:
        """Build a model of a task with the changed cell in place of its own.

        Args:
            born: builds the model of the task.
            seed: of both cells.

        Raises:
            ConfigError: if the model's cell is not an SFM cell.
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
        ConfigError: if the model is not a `Headed`.
    """
    if not isinstance(net, Headed):
        problem = f"expected a layer and its head, was {type(net).__name__}"
        raise ConfigError("model", problem)
    return net.layer


def cell_of(net: nn.Module) -> SFMCell:
    """Give the cell of an SFM of the slides' table.

    Raises:
        ConfigError: if the model's cell is not an SFM cell.
    """
    cell = layer_of(net).cell
    if not isinstance(cell, SFMCell):
        problem = f"expected an SFM cell, was {type(cell).__name__}"
        raise ConfigError("model", problem)
    return cell


def _paper(**changed: Any) -> Mapping[str, Any]:  # noqa: ANN401 settings are of any kind
    """Give the settings of the engine for the paper's cell, with changes."""
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
