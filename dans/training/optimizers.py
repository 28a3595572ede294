"""Optimizers of a model by name, with sparse variants that touch only the rows of a step."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.optim.adagrad import adagrad as update_by_adagrad
from torch.optim.adam import adam as update_by_adam

from dans.config.schema import TrainConfig
from dans.errors import InputError
from dans.models.embedding_tables import EntityTable
from dans.models.model import Model
from dans.training.distributed import World

#: Parameters, or groups of them with options of their own, as torch's optimizers take them.
Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]


class RowWise(torch.optim.Optimizer, ABC):
    """An optimizer that updates only the rows in a sparse gradient.

    A step over u rows costs what u rows cost, however many the table has.
    """

    #: names of the state tensors of a parameter, each with a row for each of its rows
    kept: ClassVar[tuple[str, ...]]

    @abstractmethod
    def fresh(self, parameter: Tensor, group: dict[str, Any]) -> tuple[Tensor, ...]:
        """The initial state of a parameter."""

    @abstractmethod
    def update_rows(
        self, rows: Tensor, grad: Tensor, kept: Sequence[Tensor], step: int, group: dict[str, Any]
    ) -> None:
        """Update (u, …) rows and their state in place; ``step`` of the whole parameter, from 1."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update_parameter(parameter, parameter.grad, group)

    def _update_parameter(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state.update(zip(self.kept, self.fresh(parameter, group), strict=True))
        state["step"] += 1
        tables = [parameter, *(state[name] for name in self.kept)]
        if not grad.is_sparse:
            self.update_rows(parameter, grad, tables[1:], state["step"], group)
            return
        grad = distinct(grad)
        ids, values = grad.indices()[0], grad.values().contiguous()
        rows = [table.index_select(0, ids) for table in tables]
        self.update_rows(rows[0], values, rows[1:], state["step"], group)
        for table, moved in zip(tables, rows, strict=True):
            table.index_copy_(0, ids, moved)


class RowAdagrad(RowWise):
    """G ← G + g², θ ← θ − lr · g / (√G + ε), with torch's numbers for sparse gradients too.

    A row without a gradient does not move under the dense method either, so both are equal.

    ``accumulator`` is G at the start. Source: Duchi et al. 2011, JMLR 12.
    """

    kept = ("sum",)

    def __init__(self, parameters: Parameters, *, lr: float, accumulator: float = 0.0) -> None:
        super().__init__(parameters, {"lr": lr, "accumulator": accumulator, "eps": 1e-10})

    def fresh(self, parameter: Tensor, group: dict[str, Any]) -> tuple[Tensor, ...]:
        """G at the start."""
        return (torch.full_like(parameter, group["accumulator"]),)

    def update_rows(
        self, rows: Tensor, grad: Tensor, kept: Sequence[Tensor], step: int, group: dict[str, Any]
    ) -> None:
        """θ and G of the rows, in place."""
        (squares,) = kept
        update_by_adagrad(
            [rows],
            [grad],
            [squares],
            [_before(step, rows)],
            # Elsewhere than on a CPU older torch has no fused one.
            fused=rows.device.type == "cpu",
            lr=group["lr"],
            lr_decay=0.0,
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )


class MeanAdagrad(RowAdagrad):
    """Adagrad with one number for each row of a table: G ← G + mean g², θ ← θ − lr · g / (√G + ε).

    Parameters whose gradient is not sparse have a G for each of their numbers. The state of a table
    takes 1/d of `RowAdagrad`'s.

    Source: the optimizer of DGL-KE (Zheng et al. 2020, arXiv:2004.08532) and of PyTorch-BigGraph.
    """

    def fresh(self, parameter: Tensor, group: dict[str, Any]) -> tuple[Tensor, ...]:
        """G at the start, (rows, 1, …) where the gradient is sparse."""
        if parameter.grad is None or not parameter.grad.is_sparse:
            return super().fresh(parameter, group)
        column = parameter.shape[:1] + (1,) * (parameter.ndim - 1)
        return (parameter.new_full(column, group["accumulator"]),)

    def update_rows(
        self, rows: Tensor, grad: Tensor, kept: Sequence[Tensor], step: int, group: dict[str, Any]
    ) -> None:
        """θ and G of the rows, in place."""
        (means,) = kept
        if means.shape == rows.shape:
            super().update_rows(rows, grad, kept, step, group)
            return
        means += grad.flatten(1).square().mean(1).view_as(means)
        rows.addcdiv_(grad, means.sqrt().add_(group["eps"]), value=-group["lr"])


class LazyAdam(RowWise):
    """Adam that skips rows without a gradient.

        M ← β₁ᵏ⁺¹ M + (1 − β₁) g, V ← β₂ᵏ⁺¹ V + (1 − β₂) g², θ ← θ − lr · M̂ / (√V̂ + ε)

    with k the steps since the row last had a gradient. So the moments of a touched row are those of
    Adam, and V̂ and M̂ are corrected by the step of the whole parameter; a row touched in every step
    is updated as by Adam. Unlike under Adam, an untouched row does not move along its old mean.
    ``torch.optim.SparseAdam`` leaves out the decay over k steps too.

    Source: Kingma & Ba 2015, arXiv:1412.6980.
    """

    # torch casts what it loads to the type of the parameter: float32 counts to 16 million.
    kept = ("mean", "square", "touched")

    def __init__(
        self, parameters: Parameters, *, lr: float, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": 1e-8})

    def fresh(self, parameter: Tensor, group: dict[str, Any]) -> tuple[Tensor, ...]:
        """M, V, and the step that last touched each row."""
        column = parameter.shape[:1] + (1,) * (parameter.ndim - 1)
        touched = parameter.new_zeros(column)
        return torch.zeros_like(parameter), torch.zeros_like(parameter), touched

    def update_rows(
        self, rows: Tensor, grad: Tensor, kept: Sequence[Tensor], step: int, group: dict[str, Any]
    ) -> None:
        """θ, M and V of the rows, in place."""
        mean, square, touched = kept
        rested = step - 1 - touched
        if rested.any():
            for beta, moment in zip(group["betas"], (mean, square), strict=True):
                moment *= beta**rested
        touched.fill_(step)
        update_by_adam(
            [rows],
            [grad],
            [mean],
            [square],
            [],
            [_before(step, rows)],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )


def _before(step: int, rows: Tensor) -> Tensor:
    """The number of steps before this one, as torch's functions take it."""
    return torch.full((), step - 1.0, device=rows.device)


def distinct(grad: Tensor) -> Tensor:
    """A sparse gradient that names each row once."""
    ids = grad._indices()
    # Rows in ascending order are distinct: that is seen in no time, and spares a sort and a copy.
    if not grad.is_coalesced() and (ids[0, 1:] > ids[0, :-1]).all():
        return torch.sparse_coo_tensor(
            ids, grad._values(), grad.shape, is_coalesced=True, check_invariants=False
        )
    return grad.coalesce()


def norm_of(grads: Iterable[Tensor]) -> Tensor:
    """The norm of gradients together: ()."""
    norms = [torch.linalg.vector_norm(g._values() if g.is_sparse else g) for g in grads]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())


class Gradients:
    """Joins the gradients of several processes.

    Args:
        tables: whose rows a single process keeps; it has their gradient already.
    """

    def __init__(self, world: World, tables: Iterable[EntityTable] = ()) -> None:
        self.world = world
        self.kept = {id(table.weight) for table in tables}

    @torch.no_grad()
    def gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up the gradients of what is in each process."""
        shared = [one for one in parameters if id(one) not in self.kept]
        if not shared:
            return
        for one in shared:
            # A process whose part of the batch does not reach a parameter takes part all the same.
            one.grad = torch.zeros_like(one) if one.grad is None else one.grad.to_dense()
        grads = [cast(Tensor, one.grad) for one in shared]
        total = self.world.add(torch.cat([grad.flatten() for grad in grads]))
        for grad, part in zip(grads, total.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    @torch.no_grad()
    def norm(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """The norm of the gradient over all processes."""
        kept = [p.grad for p in parameters if id(p) in self.kept and p.grad is not None]
        shared = [p.grad for p in parameters if id(p) not in self.kept and p.grad is not None]
        squares = self.world.add(norm_of(kept).double().square())
        whole: Tensor = (squares + norm_of(shared).double().square()).sqrt()
        return whole.to(parameters[0].dtype)


def clip(
    parameters: Sequence[nn.Parameter], largest: float = math.inf, reducer: Gradients | None = None
) -> Tensor:
    """Clip the norm of the gradient of all parameters together; the norm before.

    As ``nn.utils.clip_grad_norm_``, which takes no sparse gradients.
    """
    grads = []
    for parameter in parameters:
        if parameter.grad is not None:
            if parameter.grad.is_sparse:
                parameter.grad = distinct(parameter.grad)
            grads.append(parameter.grad)
    norm = norm_of(grads) if reducer is None else reducer.norm(parameters)
    if largest < math.inf:
        factor = (largest / (norm + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor)
    return norm


def groups_of(model: Model, factor: float) -> Parameters:
    """The parameters of a model, in groups if its layers have a learning rate of their own.

    ``descend`` multiplies the learning rate of a group by its ``factor``.
    """
    every = list(model.parameters())
    if factor == 1:
        return every
    layers = model.encoder.layer_parameters()
    if not layers:
        raise InputError("train.layer_lr: has no effect on an encoder without layers; leave it out")
    own = {id(one) for one in layers}
    others = [one for one in every if id(one) not in own]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": layers, "factor": factor}]
    return groups


def build_optimizer(parameters: Parameters, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that a configuration names, over some parameters or groups of them."""
    if config.optimizer == "adagrad":
        return RowAdagrad(parameters, lr=config.lr, accumulator=config.accumulator)
    if config.optimizer == "mean_adagrad":
        return MeanAdagrad(parameters, lr=config.lr, accumulator=config.accumulator)
    if config.optimizer == "lazy_adam":
        return LazyAdam(parameters, lr=config.lr, betas=config.betas)
    return adam(parameters, config.lr, config.betas)


def descend(
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    *,
    lr: float,
    check: Callable[[Tensor], None],
    largest: float = math.inf,
    reducer: Gradients | None = None,
) -> None:
    """One step of an optimizer down the gradient of a loss, on the optimizer's parameters alone.

    ``lr`` is multiplied by the ``factor`` of a group of parameters that has one. A gradient longer
    than ``largest`` is clipped; ``check`` is called before the step with a norm that is NaN or
    infinite. ``reducer`` joins the gradients of several processes.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad()
    loss.backward(inputs=parameters)
    if reducer is not None:
        reducer.gradients(parameters)
    norm = clip(parameters, largest, reducer)
    if not norm.isfinite():
        check(norm)
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("factor", 1.0)
    optimizer.step()


def adam(parameters: Parameters, lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam in one fused pass: on large tables four times faster than the loop over parameters."""
    return torch.optim.Adam(parameters, lr=lr, betas=betas, fused=True)
