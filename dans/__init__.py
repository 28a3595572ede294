"""Link prediction on knowledge graphs: RGCN encoders, decoders, and negatives that learn (DANS).

``import dans`` loads neither torch nor DGL; the names below load what they need when they are first
used.

Example:
    >>> import dans
    >>> kg = dans.load({"train": [("ada", "knows", "bob"), ("bob", "knows", "cy")]})
    >>> kg
    KnowledgeGraph(entities=3, relations=1, train=2, valid=0, test=0)
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dans.data.graph import KnowledgeGraph as KnowledgeGraph
    from dans.data.sources import load as load
    from dans.errors import DivergedError as DivergedError
    from dans.errors import InputError as InputError
    from dans.evaluation.candidate_sets import Restriction as Restriction
    from dans.evaluation.evaluator import EvaluationReport as EvaluationReport
    from dans.interface.joined_runs import Ensemble as Ensemble
    from dans.interface.run import Prediction as Prediction
    from dans.interface.run import Run as Run
    from dans.interface.run import open_run as open_run
    from dans.interface.training import train as train
    from dans.predict import Predictor as Predictor

__version__ = "0.1.0"

#: The modules of the public names.
_MODULES = {
    "DivergedError": "dans.errors",
    "Ensemble": "dans.interface.joined_runs",
    "EvaluationReport": "dans.evaluation.evaluator",
    "InputError": "dans.errors",
    "KnowledgeGraph": "dans.data.graph",
    "Prediction": "dans.interface.run",
    "Predictor": "dans.predict",
    "Restriction": "dans.evaluation.candidate_sets",
    "Run": "dans.interface.run",
    "load": "dans.data.sources",
    "open_run": "dans.interface.run",
    "train": "dans.interface.training",
}

__all__ = [
    "DivergedError",
    "Ensemble",
    "EvaluationReport",
    "InputError",
    "KnowledgeGraph",
    "Prediction",
    "Predictor",
    "Restriction",
    "Run",
    "load",
    "open_run",
    "train",
]

# OpenMP's idle threads spin. Where another process wants the cores, that makes two threads up to a
# hundred times slower than one. The choice is read once, when torch is loaded, so it is made here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'dans' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
