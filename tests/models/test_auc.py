"""The area under the ROC curve, against all pairs."""

import pytest
import torch

from dans.models.auc import share_above


def test_auc_counts_pairs() -> None:
    torch.manual_seed(0)
    real, generated = torch.randint(5, (30,)).float(), torch.randint(4, (20,)).float()
    gaps = real.unsqueeze(1) - generated.unsqueeze(0)
    expected = (gaps.gt(0).double() + gaps.eq(0).double() / 2).mean()
    assert share_above(real, generated) == pytest.approx(float(expected))
