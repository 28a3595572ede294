"""Tables of embeddings: their initial distribution, dropout, and freezing."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from dans.errors import InputError, not_negative, one_of

#: Initial distributions of a table.
Initial = Literal["normal", "uniform", "xavier_normal", "xavier_uniform"]


def draw(weight: Tensor, initial: Initial, init: float) -> None:
    """Fill a table in place with random numbers.

    Args:
        init: its standard deviation (``normal``), half its width (``uniform``), or the gain
            (``xavier_*``; Glorot & Bengio 2010).
    """
    not_negative("init", init)
    one_of("initial", initial, get_args(Initial))
    if initial == "normal":
        nn.init.normal_(weight, std=init)
    elif initial == "uniform":
        nn.init.uniform_(weight, -init, init)
    elif initial == "xavier_normal":
        nn.init.xavier_normal_(weight, gain=init)
    else:
        nn.init.xavier_uniform_(weight, gain=init)


def check_share(name: str, value: float) -> float:
    """The value of an option that must lie in [0, 1)."""
    if not 0 <= value < 1:
        raise InputError(f"{name}: expected a share in [0, 1), got {value:g}")
    return value


def drop(x: Tensor, share: float, training: bool = True) -> Tensor:
    """Dropout in training: zero a share of the numbers and scale up the others, keeping the mean.

    Each number has 16 random bits, four numbers one int64. The share is rounded to a multiple of
    1/65536, but never to 0 or 1; the scale uses the rounded share.
    """
    if not (share and training):
        return x
    cut = min(max(round(share * 2**16), 1), 2**16 - 1)
    quads = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    bits = quads.random_(-(2**63), None).view(torch.int16)[: x.numel()]
    mask = (bits >= cut - 2**15).to(x.dtype).mul_(2**16 / (2**16 - cut))
    return x * mask.view(x.shape)


def freeze(module: nn.Module) -> None:
    """Turn a module's parameters into buffers: saved in checkpoints, unseen by optimizers."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
