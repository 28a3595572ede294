"""Scores to probabilities that hold: of what is said to be true by 70 %, about 70 % are.

Fitted on labelled validation triples, and kept beside a run in ``calibration.json``. Fitting needs
scikit-learn (``pip install 'dans[calibration]'``); using what was fitted does not.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from dans.config.reading import field, numbers
from dans.errors import InputError
from dans.evaluation.classification import both_kinds, checked

C = TypeVar("C", bound="Calibration")

#: A standardised score's Newton steps end when no gradient exceeds this.
TOLERANCE = 1e-10
STEPS = 1000


class Calibration(ABC):
    """A map from scores to probabilities.

    Both kinds are fitted to soft targets instead of 1 and 0, so that no triple is ever certain:

        t⁺ = (N⁺ + 1) / (N⁺ + 2)    t⁻ = 1 / (N⁻ + 2)

    Source: Platt 1999, Probabilistic outputs for support embedding machines, §2.2.
    """

    @classmethod
    @abstractmethod
    def fit(cls: type[C], scores: Tensor, labels: Tensor) -> C:
        """Learn the map.

        Args:
            scores: (f,) logits of validation triples, larger is truer.
            labels: (f,) bool, or 0 and 1: do they hold?

        Raises:
            FloatingPointError: a score is not finite.
            InputError: a class or both have no triples, all scores are equal or tell true from
                false backwards, a label is neither 0 nor 1, or scikit-learn is missing.
        """

    @abstractmethod
    def logits(self, scores: Tensor) -> Tensor:
        """Calibrated log odds of scores of any shape, float64."""

    def probabilities(self, scores: Tensor) -> Tensor:
        """Calibrated probabilities of scores of any shape, float64."""
        return self.logits(scores).sigmoid()

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for ``json.dump``."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_json(cls: type[C], data: Mapping[str, Any]) -> C:
        """The map that ``to_json`` wrote.

        Raises:
            InputError: a key is missing or unknown, or a value is not what it should be.
        """
        name = cls.__name__.lower()
        hints = {part.name: part.type for part in fields(cls)}  # type: ignore[arg-type]
        for key in data:
            if key not in hints:
                raise InputError(f"{name}.{key}: unknown; known: {', '.join(hints)}")
        read: dict[object, Callable[..., Any]]
        read = {float: partial(field, kind=float), tuple[float, ...]: numbers}
        return cls(**{key: read[hint](data, key, where=f"{name}.") for key, hint in hints.items()})


@dataclass(frozen=True)
class Platt(Calibration):
    """Log odds that are linear in the score: p = σ(aφ + b).

    Fitted by maximum likelihood of the soft targets: two parameters and a convex loss, so that the
    optimum is exact. The order of triples stays, and so does AUC: a slope that is not above 0 is
    refused, since probabilities would contradict the ranks.

    Source: Platt 1999, Probabilistic outputs for support embedding machines.

    Args:
        a: the slope.
        b: the offset.

    Example:
        >>> Platt(a=2.0, b=-1.0).probabilities(torch.tensor([0.5])).item()
        0.5
    """

    a: float
    b: float

    @classmethod
    def fit(cls, scores: Tensor, labels: Tensor) -> "Platt":
        """See ``Calibration``."""
        x, y = _apart(scores, labels)
        try:
            from sklearn.linear_model import LogisticRegression
        except ModuleNotFoundError:
            raise _missing() from None

        # A soft target is a triple that is true by one weight and false by another. Standardised,
        # because Newton's matrix of scores that hardly vary about a large mean is near singular.
        mean, scale = x.mean(), x.std()
        z, target = ((x - mean) / scale).repeat(2), _soft(y)
        weight = torch.cat((target, 1 - target))
        true = torch.arange(2 * len(x)) < len(x)
        found = LogisticRegression(
            C=float("inf"), solver="newton-cholesky", tol=TOLERANCE, max_iter=STEPS
        ).fit(z.unsqueeze(1).numpy(), true.numpy(), sample_weight=weight.numpy())
        a = float(found.coef_[0, 0] / scale)
        if a <= 0:
            raise _backwards()
        return cls(a, float(found.intercept_[0] - a * mean))

    def logits(self, scores: Tensor) -> Tensor:
        """See ``Calibration``."""
        return self.a * scores.double() + self.b


@dataclass(frozen=True)
class Isotonic(Calibration):
    """The best probabilities that never fall as the score rises; linear between those fitted.

    Fitted by least squares of the soft targets: of hard ones, the probabilities at both ends would
    be 0 and 1, and one triple beyond them would make an infinite NLL. Scores beyond those of
    validation get the probability of the nearest. It makes ties, and moves AUC a little.

    Source: Zadrozny and Elkan 2002, Transforming classifier scores into accurate multiclass
    probability estimates.

    Args:
        scores: where the map bends, rising.
        values: the probability at each.

    Example:
        >>> Isotonic((0.0, 2.0), (0.2, 0.8)).probabilities(torch.tensor([-9.0, 1.0, 9.0]))
        tensor([0.2000, 0.5000, 0.8000], dtype=torch.float64)
    """

    scores: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Lists, as JSON has them, become tuples."""
        object.__setattr__(self, "scores", tuple(self.scores))
        object.__setattr__(self, "values", tuple(self.values))
        if len(self.scores) != len(self.values) or not self.scores:
            raise InputError("isotonic: expected as many scores as values, and some")
        for key, values in (("scores", self.scores), ("values", self.values)):
            if any(later < former for former, later in pairwise(values)):
                raise InputError(f"isotonic.{key}: expected numbers that never fall")
        if not 0 <= self.values[0] <= self.values[-1] <= 1:
            raise InputError("isotonic.values: expected probabilities, from 0 to 1")

    @classmethod
    def fit(cls, scores: Tensor, labels: Tensor) -> "Isotonic":
        """See ``Calibration``."""
        x, y = _apart(scores, labels)
        try:
            from sklearn.isotonic import IsotonicRegression
        except ModuleNotFoundError:
            raise _missing() from None

        found = IsotonicRegression(out_of_bounds="clip").fit(x.numpy(), _soft(y).numpy())
        scores_at, values = found.X_thresholds_.tolist(), found.y_thresholds_.tolist()
        if values[0] == values[-1]:
            raise _backwards()
        return cls(tuple(scores_at), tuple(values))

    def logits(self, scores: Tensor) -> Tensor:
        """See ``Calibration``."""
        return self.probabilities(scores).logit()

    def probabilities(self, scores: Tensor) -> Tensor:
        """See ``Calibration``."""
        place = scores.device
        at = torch.tensor(self.scores, dtype=torch.float64, device=place)
        values = torch.tensor(self.values, dtype=torch.float64, device=place)
        x = scores.detach().double().clamp(at[0], at[-1])
        above = torch.searchsorted(at, x.contiguous()).clamp(min=min(1, len(at) - 1))
        below = (above - 1).clamp(min=0)
        share = (x - at[below]) / (at[above] - at[below]).clamp(min=torch.finfo(x.dtype).tiny)
        return torch.lerp(values[below], values[above], share)


#: Calibrations by name.
CALIBRATIONS: dict[str, type[Calibration]] = {"platt": Platt, "isotonic": Isotonic}


@dataclass(frozen=True)
class Fitted:
    """What validation says of one checkpoint's scores: ``calibration.json``.

    Args:
        step: the checkpoint's.
        digest: of its triples and weights.
        thresholds: by relation, the score from which on a triple is taken to be true.
        calibrations: by name; none where none could be fitted.
    """

    step: int
    digest: str
    thresholds: tuple[float, ...]
    calibrations: Mapping[str, Calibration]

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for ``json.dump``; JSON has no word for ∞ but a string."""
        cuts = [cut if abs(cut) < float("inf") else str(cut) for cut in self.thresholds]
        parts = {name: part.to_json() for name, part in self.calibrations.items()}
        return {"step": self.step, "digest": self.digest, "thresholds": cuts, **parts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, step: int, digest: str) -> "Fitted":
        """What ``to_json`` wrote, if it belongs to a checkpoint.

        Args:
            data: the plain containers.
            step: the checkpoint's.
            digest: of its triples and weights.

        Raises:
            InputError: a key is missing, or it was fitted on another checkpoint.
        """
        own = field(data, "step", int, ""), field(data, "digest", str, "")
        cuts = [
            float(cut) if cut in ("inf", "-inf") else cut
            for cut in field(data, "thresholds", list, "")
        ]
        if own != (step, digest):
            raise InputError(
                f"calibration: fitted on another checkpoint, of step {own[0]}; fit it anew "
                f"for step {step}, by scripts/evaluate.py"
            )
        parts = {
            name: kind.from_json(field(data, name, dict, ""))
            for name, kind in CALIBRATIONS.items()
            if name in data
        }
        return cls(step, digest, numbers({"thresholds": cuts}, "thresholds", ""), parts)


def _apart(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores as float64 and labels as bool, on the CPU, where there is something to be told."""
    x, y = (part.cpu() for part in checked(scores, labels))
    if not x.isfinite().all():
        wrong = int((~x.isfinite()).nonzero()[0])
        raise FloatingPointError(f"scores: expected finite numbers, got {x[wrong]:g} at {wrong}")
    if not both_kinds(y):
        raise InputError("calibration: true and false validation triples are both needed")
    if x.min() == x.max():
        raise InputError(f"calibration: all scores are {x[0]:g}; they tell nothing apart")
    return x, y.bool()


def _soft(labels: Tensor) -> Tensor:
    """(f,) float64 targets t⁺ where a label is true, t⁻ elsewhere."""
    true, false = labels.sum().double(), (~labels).sum().double()
    return torch.where(labels, (true + 1) / (true + 2), 1 / (false + 2))


def _backwards() -> InputError:
    return InputError(
        "calibration: the model's scores rank true validation triples below false ones, or "
        "not at all"
    )


def _missing() -> InputError:
    return InputError(
        "calibration: scikit-learn is missing; install it with: pip install 'dans[calibration]'"
    )
