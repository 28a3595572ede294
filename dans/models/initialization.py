"""How weights start, and weights that stay as they were drawn."""

from typing import Literal, get_args

from torch import Tensor, nn

from dans.errors import InputError, not_negative

#: The distribution that the numbers of a table are drawn from at the start.
Initial = Literal["normal", "uniform", "xavier_normal", "xavier_uniform"]


def draw(weight: Tensor, initial: Initial, init: float) -> None:
    """Fill a table in place.

    Args:
        weight: the table.
        initial: the distribution.
        init: its standard deviation (``normal``), half its width (``uniform``), or the gain
            (``xavier_*``; Glorot & Bengio 2010).

    Raises:
        InputError: no such distribution, or ``init`` is negative or not finite.
    """
    not_negative("init", init)
    if initial == "normal":
        nn.init.normal_(weight, std=init)
    elif initial == "uniform":
        nn.init.uniform_(weight, -init, init)
    elif initial == "xavier_normal":
        nn.init.xavier_normal_(weight, gain=init)
    elif initial == "xavier_uniform":
        nn.init.xavier_uniform_(weight, gain=init)
    else:
        raise InputError(f"initial: known: {', '.join(get_args(Initial))}; got {initial!r}")


def freeze(module: nn.Module) -> None:
    """Turn a module's parameters into buffers: checkpoints hold them and no optimizer finds them.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> freeze(layer)
        >>> len(list(layer.parameters())), len(list(layer.buffers()))
        (0, 2)
    """
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
