"""Scores of several models are joined query by query."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.evaluation.evaluator import Evaluator, ModelScores
from dans.evaluation.joint_scores import STANDARDS, JointScores, ranks_of_all
from dans.evaluation.ranking import rank
from dans.memory import Budget
from dans.models.decoders import DistMult


def model_of(kg: KnowledgeGraph, seed: int) -> tuple[DistMult, torch.Tensor]:
    torch.manual_seed(seed)
    return DistMult(kg.num_relations, 4), torch.randn(kg.num_entities, 4)


def test_ranks_of_all_are_those_of_the_one_ranking() -> None:
    scores = torch.tensor([[0.1, 0.5, 0.5, 0.9], [1.0, 1.0, 1.0, 1.0], [3.0, -1.0, 2.0, 2.0]])
    found = ranks_of_all(scores)
    for column in range(4):
        assert torch.equal(found[:, column], rank(scores, torch.full((3,), column)))


@pytest.mark.parametrize("name", STANDARDS)
def test_a_model_joined_with_itself_ranks_as_it_did(kg: KnowledgeGraph, name: str) -> None:
    evaluator, (decoder, entities) = Evaluator(kg, "test"), model_of(kg, 0)
    same = JointScores([ModelScores(decoder, entities)] * 3, [STANDARDS[name]] * 3)
    alone = evaluator.ranks(decoder, entities)
    assert torch.equal(evaluator.ranks_by(same).realistic, alone.realistic)


def test_joint_ranks_are_those_by_hand_whatever_the_budget(kg: KnowledgeGraph) -> None:
    models = [model_of(kg, seed) for seed in range(3)]
    joint = JointScores([ModelScores(*one) for one in models], [STANDARDS["ranks"]] * 3)
    found = Evaluator(kg, "test").ranks_by(joint)
    small = Evaluator(kg, "test", budget=Budget(9000)).ranks_by(joint)
    assert torch.equal(found.realistic, small.realistic)
    known = {
        tuple(line) for split in ("train", "valid", "test") for line in kg.split(split).tolist()
    }
    for (h, r, t), (_, tail_rank) in zip(kg.test.tolist(), found.realistic.tolist(), strict=True):
        total = torch.zeros(kg.num_entities, dtype=torch.float64)
        for decoder, entities in models:
            scores = (entities[h] * decoder.relation.weight[r] * entities).sum(1)
            total += 1 + (scores[None] > scores[:, None]).sum(1)
        others = [e for e in range(kg.num_entities) if e != t and (h, r, e) not in known]
        above = sum(float(total[e] < total[t]) + float(total[e] == total[t]) / 2 for e in others)
        assert tail_rank == 1 + above
