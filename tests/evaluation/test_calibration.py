"""Calibration, against scikit-learn, closed forms and gradients."""

import json
import math
import re
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dans.errors import InputError, install_command
from dans.evaluation import calibration
from dans.evaluation.calibration import CALIBRATIONS, Calibration, Fitted, Isotonic, Platt
from dans.evaluation.classification import auc, brier, nll

SEEDS = st.integers(0, 2**32 - 1)


def case(seed: int, size: int = 400, slope: float = 1.0, offset: float = 0.0) -> tuple[Tensor, ...]:
    """Scores, and labels that are true by σ(slope · score + offset)."""
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(size, generator=generator)
    probability = (slope * scores + offset).sigmoid()
    labels = torch.rand(size, generator=generator) < probability
    labels[:2] = torch.tensor([True, False])
    return scores, labels


def targets(labels: Tensor) -> Tensor:
    true, false = int(labels.sum()), int((~labels).sum())
    high, low = (true + 1) / (true + 2), 1 / (false + 2)
    return torch.tensor([high if label else low for label in labels], dtype=torch.float64)


@settings(deadline=None)  # the first call imports scikit-learn
@given(seed=SEEDS, scale=st.sampled_from([1e-4, 1.0, 1e6]), shift=st.sampled_from([0.0, 50.0]))
def test_platt_is_the_optimum_of_soft_targets(seed: int, scale: float, shift: float) -> None:
    scores, labels = case(seed, size=40)
    scores = scale * (scores.double() + shift)
    fitted = Platt.fit(scores, labels)
    gap = fitted.probabilities(scores) - targets(labels)
    standard = (scores - scores.mean()) / scores.std()
    assert abs(float(gap.mean())) < 1e-8
    assert abs(float((gap * standard).mean())) < 1e-8


def test_platt_of_separable_triples_stays_finite() -> None:
    scores = torch.tensor([-900.0, -900.0, 900.0, 900.0])
    fitted = Platt.fit(scores, scores > 0)
    # Two triples of each kind: targets 3/4 and 1/4.
    expected = torch.tensor([0.25, 0.25, 0.75, 0.75], dtype=torch.float64)
    torch.testing.assert_close(fitted.probabilities(scores), expected)


@pytest.mark.parametrize("seed", range(3))
def test_platt_with_a_rising_slope_keeps_auc(seed: int) -> None:
    scores, labels = case(seed)
    fitted = Platt.fit(scores, labels)
    assert fitted.a > 0
    assert auc(fitted.logits(scores), labels) == auc(scores, labels)


@pytest.mark.parametrize("name", sorted(CALIBRATIONS))
def test_scores_that_tell_backwards_are_not_calibrated(name: str) -> None:
    with pytest.raises(InputError, match="rank true validation triples below false ones"):
        CALIBRATIONS[name].fit(
            torch.tensor([1.0, 2, 3, 4]), torch.tensor([True, True, False, False])
        )


# The solver of scikit-learn starts at this optimum, and complains that it cannot improve on it.
@pytest.mark.filterwarnings("ignore:Line search of Newton solver")
@pytest.mark.parametrize("name", sorted(CALIBRATIONS))
def test_scores_that_tell_nothing_on_average_are_not_calibrated(name: str) -> None:
    with pytest.raises(InputError, match="false ones, or not at all"):
        CALIBRATIONS[name].fit(
            torch.tensor([0.0, 1, 0, 1]), torch.tensor([True, True, False, False])
        )


@pytest.mark.parametrize("name", sorted(CALIBRATIONS))
def test_what_holds_already_is_left_alone(name: str) -> None:
    scores, labels = case(0, size=60_000)
    other, held = case(1, size=60_000)
    fitted = CALIBRATIONS[name].fit(scores, labels)
    logits = fitted.logits(other)
    assert nll(logits, held) == pytest.approx(nll(other, held), abs=2e-3)
    assert brier(logits, held) == pytest.approx(brier(other, held), abs=1e-3)


@pytest.mark.parametrize("name", sorted(CALIBRATIONS))
def test_what_is_off_is_put_right(name: str) -> None:
    """Labels follow σ(φ/4 − 1): with twice the triples, the NLL of that is reached."""
    scores, labels = case(0, size=20_000, slope=0.25, offset=-1.0)
    other, held = case(1, size=20_000, slope=0.25, offset=-1.0)
    logits = CALIBRATIONS[name].fit(scores, labels).logits(other)
    best = nll(other / 4 - 1, held)
    assert nll(logits, held) == pytest.approx(best, abs=5e-3)
    assert nll(other, held) > best + 0.2


@pytest.mark.parametrize("seed", range(3))
def test_isotonic_is_that_of_scikit_learn_between_soft_targets(seed: int) -> None:
    peer = pytest.importorskip("sklearn.isotonic").IsotonicRegression(out_of_bounds="clip")
    scores, labels = case(seed)
    scores[:40] = scores[40:80]
    wanted = torch.cat((scores, 9 * scores, scores + 0.01)).double()
    hard = peer.fit(scores.double().numpy(), labels.numpy()).predict(wanted.numpy())
    high, low = targets(labels).max().item(), targets(labels).min().item()
    found = Isotonic.fit(scores, labels).probabilities(wanted)
    np.testing.assert_allclose(found.numpy(), low + (high - low) * hard, atol=1e-12)


@settings(deadline=None)
@given(seed=SEEDS)
def test_isotonic_never_falls_and_is_never_certain(seed: int) -> None:
    scores, labels = case(seed, size=30)
    fitted = Isotonic.fit(scores, labels)
    probabilities = fitted.probabilities(torch.linspace(-50, 50, 1001))
    assert (probabilities.diff() >= 0).all()
    assert probabilities.min() > 0
    assert probabilities.max() < 1
    assert fitted.logits(torch.tensor([-1e9, 1e9])).isfinite().all()


@pytest.mark.parametrize("kind", CALIBRATIONS.values())
def test_calibration_comes_back_from_json_to_the_bit(kind: type[Calibration]) -> None:
    scores, labels = case(0)
    fitted = kind.fit(scores, labels)
    again = kind.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    assert torch.equal(again.probabilities(scores), fitted.probabilities(scores))
    with pytest.raises(InputError, match="c: unknown; known: "):
        kind.from_json({**fitted.to_json(), "c": 1})


@pytest.mark.parametrize("kind", CALIBRATIONS.values())
def test_probabilities_have_the_shape_of_scores(kind: type[Calibration]) -> None:
    fitted = kind.fit(*case(0))
    scores = torch.randn(3, 5).T
    assert fitted.probabilities(scores).shape == (5, 3)
    assert fitted.probabilities(scores)[4, 2] == fitted.probabilities(scores[4, 2])


@pytest.mark.parametrize("kind", CALIBRATIONS.values())
@pytest.mark.parametrize(
    ("scores", "labels", "error", "message"),
    [
        ([1.0, 2.0], [True, True], InputError, "true and false validation triples are both needed"),
        ([1.0, 2.0], [False, False], InputError, "true and false validation triples"),
        ([], [], InputError, "labels: expected at least one triple, got none"),
        ([2.0, 2.0], [True, False], InputError, "all scores are 2; they tell nothing apart"),
        ([1.0, 2.0], [1, -1], InputError, "labels: expected 0 and 1"),
        ([1.0, math.nan], [True, False], FloatingPointError, "NaN at 1"),
        ([math.inf, 1.0], [True, False], FloatingPointError, "got inf at 0"),
        ([1.0, 2.0, 3.0], [True, False], ValueError, "expected one per score"),
    ],
)
def test_nothing_is_fitted_to_what_says_nothing(
    kind: type[Calibration],
    scores: list[float],
    labels: list[bool],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        kind.fit(torch.tensor(scores), torch.tensor(labels))


@pytest.mark.parametrize("kind", CALIBRATIONS.values())
def test_fitting_says_what_it_needs_and_use_needs_nothing(
    kind: type[Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = kind.fit(*case(0))
    for name in ("sklearn", "sklearn.isotonic", "sklearn.linear_model"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=re.escape(install_command("calibration"))):
        kind.fit(*case(0))
    assert 0 < fitted.probabilities(torch.tensor(1.0)) < 1


def test_what_was_fitted_comes_back_from_json() -> None:
    parts = {name: kind.fit(*case(0)) for name, kind in CALIBRATIONS.items()}
    for fitted in (
        Fitted(7, "abc", (0.5, math.inf, -math.inf), parts),
        Fitted(7, "abc", (0.5,), {}),
    ):
        text = json.dumps(fitted.to_json(), allow_nan=False)
        assert Fitted.from_json(json.loads(text)) == fitted
    with pytest.raises(InputError, match="thresholds: missing"):
        Fitted.from_json({"step": 7, "digest": "abc", "platt": {}, "isotonic": {}})


def test_a_fit_that_does_not_converge_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "STEPS", 1)
    with pytest.raises(InputError, match="Platt scaling did not converge: after 1 steps"):
        Platt.fit(*case(0, slope=3.0))


def test_a_warning_of_a_fit_that_converged_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    plain, usual = Platt.fit(*case(0)), LogisticRegression.fit

    def warning(self: Any, *args: Any, **kwargs: Any) -> Any:
        warnings.warn("resorts to lbfgs", ConvergenceWarning, stacklevel=1)
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(LogisticRegression, "fit", warning)
    assert Platt.fit(*case(0)) == plain
