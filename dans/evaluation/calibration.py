"""Calibration of scores: of the triples with probability 0.7, about 70 % are true.

Fitted on labelled validation triples, or on drawn negatives, and saved in ``calibration.json``.
Fitting needs scikit-learn (the extra ``calibration``); using a calibration does not.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, TypeVar, get_type_hints

import torch
from torch import Tensor

from dans.config.reading import convert, field
from dans.errors import InputError, install_command
from dans.evaluation.classification import both_kinds, checked

C = TypeVar("C", bound="Calibration")

#: The largest gradient at which Newton's method stops, and its steps at most.
TOLERANCE, STEPS = 1e-10, 1000

#: The negatives of a calibration without labelled lines: as many as there are triples.
DRAWN = "drawn negatives"

#: What is said of such probabilities where a run is named.
ABOUT_DRAWN = "; probabilities: among true triples and as many drawn negatives"

#: The largest gradient with which a fit is accepted.
ACCEPTED = 1e-6

NOT_RISING = (
    "calibration: the model's scores rank true validation triples below false ones, or not at all"
)


class Calibration(ABC):
    """A map from scores to probabilities.

    It is fitted to soft targets instead of 1 and 0, so that no probability is 0 or 1:

        t⁺ = (N⁺ + 1) / (N⁺ + 2)    t⁻ = 1 / (N⁻ + 2)

    Source: Platt 1999, Probabilistic outputs for support vector machines, §2.2.
    """

    @classmethod
    @abstractmethod
    def fit(cls: type[C], scores: Tensor, labels: Tensor) -> C:
        """Fit to (f,) logits of validation triples and their (f,) labels, bool or 0 and 1.

        Raises:
            FloatingPointError: a score is not finite.
            InputError: labels or scores tell nothing apart, or scikit-learn is missing.
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
        """The calibration that ``to_json`` wrote."""
        name, hints = cls.__name__.lower(), get_type_hints(cls)
        for key in data:
            if key not in hints:
                raise InputError(f"{name}.{key}: unknown; known: {', '.join(hints)}")
        return cls(**{key: field(data, key, kind, f"{name}.") for key, kind in hints.items()})


@dataclass(frozen=True)
class Platt(Calibration):
    """Platt scaling (Platt 1999): p = σ(aφ + b), by maximum likelihood of the soft targets.

    A slope a ≤ 0 is refused, so that the order of triples, and AUC, stay.

    Example:
        >>> Platt(a=2.0, b=-1.0).probabilities(torch.tensor([0.5])).item()
        0.5
    """

    a: float
    b: float

    @classmethod
    def fit(cls, scores: Tensor, labels: Tensor) -> "Platt":
        """Fit a and b by Newton's method."""
        x, y = _fittable(scores, labels)
        from sklearn.linear_model import LogisticRegression

        # A soft target is a true triple with one weight and a false one with another. Scores are
        # standardised: Newton's matrix is near singular if they hardly vary about a large mean.
        mean, scale = x.mean(), x.std()
        z, target = ((x - mean) / scale).repeat(2), _soft_targets(y)
        weight = torch.cat((target, 1 - target))
        true = torch.arange(2 * len(x)) < len(x)
        newton = LogisticRegression(
            C=float("inf"), solver="newton-cholesky", tol=TOLERANCE, max_iter=STEPS
        )
        with warnings.catch_warnings():
            # Whether the maximum was found is checked here.
            warnings.simplefilter("ignore")
            found = newton.fit(z.unsqueeze(1).numpy(), true.numpy(), sample_weight=weight.numpy())
        slope, shift = float(found.coef_[0, 0]), float(found.intercept_[0])
        wrong = (slope * z[: len(x)] + shift).sigmoid() - target
        gradient = max(abs(wrong.mean()), abs((wrong * z[: len(x)]).mean()))
        if not gradient < ACCEPTED:
            raise InputError(
                f"calibration: Platt scaling did not converge: after {STEPS} steps at most the "
                f"gradient is {gradient:.2g}, expected below {ACCEPTED:g}"
            )
        a = slope / float(scale)
        if a <= 0:
            raise InputError(NOT_RISING)
        return cls(a, shift - a * float(mean))

    def logits(self, scores: Tensor) -> Tensor:
        """aφ + b."""
        return self.a * scores.double() + self.b


@dataclass(frozen=True)
class Isotonic(Calibration):
    """Isotonic regression: the best probabilities that do not fall as the score rises.

    Fitted by least squares of the soft targets, interpolated linearly between the knots ``scores``,
    and constant beyond them. It makes ties, which change AUC a little.

    Source: Zadrozny and Elkan 2002, Transforming classifier scores into accurate multiclass
    probability estimates.

    Example:
        >>> Isotonic((0.0, 2.0), (0.2, 0.8)).probabilities(torch.tensor([-9.0, 1.0, 9.0]))
        tensor([0.2000, 0.5000, 0.8000], dtype=torch.float64)
    """

    scores: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the knots."""
        if len(self.scores) != len(self.values) or not self.scores:
            raise InputError("isotonic: expected as many scores as values, and some")
        for key, values in (("scores", self.scores), ("values", self.values)):
            if any(later < former for former, later in pairwise(values)):
                raise InputError(f"isotonic.{key}: expected numbers that never fall")
        if not 0 <= self.values[0] <= self.values[-1] <= 1:
            raise InputError("isotonic.values: expected probabilities, from 0 to 1")

    @classmethod
    def fit(cls, scores: Tensor, labels: Tensor) -> "Isotonic":
        """Fit the knots to validation triples."""
        x, y = _fittable(scores, labels)
        from sklearn.isotonic import IsotonicRegression

        found = IsotonicRegression(out_of_bounds="clip").fit(x.numpy(), _soft_targets(y).numpy())
        knots, values = found.X_thresholds_.tolist(), found.y_thresholds_.tolist()
        if values[0] == values[-1]:
            raise InputError(NOT_RISING)
        return cls(tuple(knots), tuple(values))

    def logits(self, scores: Tensor) -> Tensor:
        """Log odds of the interpolated probabilities."""
        return self.probabilities(scores).logit()

    def probabilities(self, scores: Tensor) -> Tensor:
        """Probabilities interpolated between the knots, float64."""
        table = (self.scores, self.values)
        knots, values = torch.tensor(table, dtype=torch.float64, device=scores.device)
        x = scores.detach().double().clamp(knots[0], knots[-1])
        above = torch.searchsorted(knots, x.contiguous()).clamp(min=min(1, len(knots) - 1))
        below = (above - 1).clamp(min=0)
        width = (knots[above] - knots[below]).clamp(min=torch.finfo(x.dtype).tiny)
        return torch.lerp(values[below], values[above], (x - knots[below]) / width)


#: Calibrations by name.
CALIBRATIONS: dict[str, type[Calibration]] = {"platt": Platt, "isotonic": Isotonic}


@dataclass(frozen=True)
class Fitted:
    """The thresholds and calibrations of one checkpoint: ``calibration.json``.

    ``digest``: of triples and weights. ``thresholds``: the score from which on a triple is
    classified as true, by relation. ``calibrations``: by name; empty if none could be fitted.
    ``negatives``: what they were fitted on beside true triples: ``DRAWN``, or lines labelled false.
    """

    step: int
    digest: str
    thresholds: tuple[float, ...]
    calibrations: Mapping[str, Calibration]
    negatives: str = "labelled"

    def probabilities(self, scores: Tensor) -> dict[str, Tensor]:
        """Probabilities of (f,) scores by calibration, ``uncalibrated`` first, float64."""
        found = {"uncalibrated": scores.double().sigmoid()}
        return found | {name: c.probabilities(scores) for name, c in self.calibrations.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for ``json.dump``; infinite thresholds are strings."""
        cuts = [cut if abs(cut) < float("inf") else str(cut) for cut in self.thresholds]
        parts = {name: part.to_json() for name, part in self.calibrations.items()}
        drawn = {} if self.negatives == "labelled" else {"negatives": self.negatives}
        own = {"step": self.step, "digest": self.digest, **drawn}
        return {**own, "thresholds": cuts, **parts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Fitted":
        """What ``to_json`` wrote."""
        cuts = [
            float(cut) if cut in ("inf", "-inf") else convert(cut, float, path=f"thresholds.{i}")
            for i, cut in enumerate(field(data, "thresholds", list, ""))
        ]
        parts = {
            name: kind.from_json(field(data, name, dict, ""))
            for name, kind in CALIBRATIONS.items()
            if name in data
        }
        step, digest = field(data, "step", int, ""), field(data, "digest", str, "")
        negatives = convert(data.get("negatives", "labelled"), str, path="negatives")
        return cls(step, digest, tuple(cuts), parts, negatives)


def _fittable(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores as float64 and labels as bool, on the CPU, if a calibration can be fitted to them."""
    x, y = (part.cpu() for part in checked(scores, labels))
    if not x.isfinite().all():
        wrong = int((~x.isfinite()).nonzero()[0])
        raise FloatingPointError(f"scores: expected finite numbers, got {x[wrong]:g} at {wrong}")
    if not both_kinds(y):
        raise InputError("calibration: true and false validation triples are both needed")
    if x.min() == x.max():
        raise InputError(f"calibration: all scores are {x[0]:g}; they tell nothing apart")
    if find_spec("sklearn") is None:
        install = install_command("calibration")
        raise InputError(f"calibration: scikit-learn is missing; install it with: {install}")
    return x, y.bool()


def _soft_targets(labels: Tensor) -> Tensor:
    """(f,) float64: t⁺ for true triples, t⁻ for false ones."""
    true, false = labels.sum().double(), (~labels).sum().double()
    return torch.where(labels, (true + 1) / (true + 2), 1 / (false + 2))
