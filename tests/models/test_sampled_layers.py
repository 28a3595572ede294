"""RGCN from drawn messages and in pieces: equal to the full graph, and its mean over draws."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.message_graph import MessageGraph, Norm
from dans.data.neighbor_sampling import IncomingMessages
from dans.errors import InputError
from dans.memory import Budget
from dans.models.encoders import Encoder, Lookup
from dans.models.rgcn import RGCN

N, M = 40, 5
KINDS: list[dict[str, Any]] = [{"bases": 3}, {"blocks": 2}, {"bases": 0}]
NORMS: list[Norm] = ["relation", "node", "code"]


def graph() -> Tensor:
    """Triples of random ends, denser at low ids; three entities and one relation are in none."""
    generator = torch.Generator().manual_seed(0)
    ends = (torch.rand(160, 2, generator=generator).square() * (N - 3)).long()
    relations = torch.randint(M - 1, (160,), generator=generator)
    return torch.stack((ends[:, 0], relations, ends[:, 1]), dim=1).unique(dim=0)


TRIPLES = graph()


def make(**options: Any) -> RGCN:
    torch.manual_seed(0)
    return RGCN(N, M, 6, dropout=0.0, **options).double()


def gradients(encoder: Encoder, found: Tensor) -> list[Tensor]:
    torch.manual_seed(1)
    loss = (found * torch.randn_like(found)).sum() + found.square().mean()
    return [loss, *torch.autograd.grad(loss, list(encoder.parameters()))]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fanout", [[0, -1], [99, 99]], ids=["all", "many"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_all_messages_give_the_loss_and_gradients_of_the_full_graph(
    kind: dict[str, Any], norm: Norm, fanout: list[int]
) -> None:
    encoder, rows = make(**kind), torch.randperm(len(TRIPLES))[:40]
    keep = torch.ones(len(TRIPLES), dtype=torch.bool)
    keep[rows] = False
    ids = torch.randperm(N)[:25]
    full = encoder(MessageGraph.of(TRIPLES, N, M, norm).restrict(keep))[ids]
    around = IncomingMessages(TRIPLES, N, M, norm).sample(ids, fanout, exclude=rows)
    found = encoder.sampled(around)
    close(found, full)
    for one, other in zip(gradients(encoder, found), gradients(encoder, full), strict=True):
        close(one, other)


@pytest.mark.parametrize("options", [{"layers": 1}, {"layers": 3, "skip": True}], ids=str)
def test_depths_and_skips_are_those_of_the_full_graph(options: dict[str, Any]) -> None:
    encoder = make(**options)
    for weights in encoder.layer_parameters():
        torch.nn.init.normal_(weights, std=0.3)
    messages, ids = IncomingMessages(TRIPLES, N, M), torch.tensor([3, 39, 0])
    full = encoder(MessageGraph.of(TRIPLES, N, M))
    close(encoder.sampled(messages.sample(ids, [0] * options["layers"])), full[ids])
    close(encoder.in_pieces(messages), full.detach())


@pytest.mark.parametrize("limit", [None, 2000, 20_000])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_pieces_give_the_embeddings_of_the_full_graph(
    kind: dict[str, Any], norm: Norm, limit: int | None
) -> None:
    encoder = make(**kind)
    full = encoder(MessageGraph.of(TRIPLES, N, M, norm)).detach()
    messages, budget = IncomingMessages(TRIPLES, N, M, norm), Budget(limit)
    close(encoder.in_pieces(messages, budget=budget), full)


def test_pieces_hold_few_messages_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from dans.models import rgcn

    sizes = []
    computed = rgcn.propagate

    def noted(x: Tensor, messages: Any, *weights: Any) -> Tensor:
        sizes.append(len(messages))
        return computed(x, messages, *weights)

    monkeypatch.setattr(rgcn, "propagate", noted)
    encoder, messages = make(), IncomingMessages(TRIPLES, N, M)
    encoder.in_pieces(messages, budget=Budget(7 * (6 * 8 * 3 + 200)))
    assert max(sizes) == 7 < messages.degrees(torch.arange(N)).max()
    assert sum(sizes) == 2 * 2 * len(TRIPLES)
    monkeypatch.setattr(rgcn, "PIECE", 3)
    sizes.clear()
    encoder.in_pieces(messages)
    assert max(sizes) == 3


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_the_mean_of_draws_is_the_sum_of_all_messages(norm: Norm, most: int) -> None:
    encoder, rows = make(layers=1), torch.arange(0, len(TRIPLES), 4)
    keep = torch.ones(len(TRIPLES), dtype=torch.bool)
    keep[rows] = False
    full = encoder(MessageGraph.of(TRIPLES, N, M, norm).restrict(keep)).detach()
    messages, ids = IncomingMessages(TRIPLES, N, M, norm), torch.arange(N)
    with torch.no_grad():
        draws = [encoder.sampled(messages.sample(ids, [most], exclude=rows)) for _ in range(120)]
    drawn = torch.stack(draws)
    noise = drawn.std(0) / len(draws) ** 0.5
    varies = noise > 1e-9
    assert varies.sum() > 100
    close(drawn.mean(0)[~varies], full[~varies])
    # Of 100 independent standard normal numbers the mean square is 1 ± .14; these depend on each
    # other. Where weights are counted in the sample, it is far above.
    error = ((drawn.mean(0) - full)[varies] / noise[varies]).square().mean()
    assert 0.3 < error < 3


def test_only_the_rows_of_the_neighborhood_have_gradients() -> None:
    encoder, messages = make(), IncomingMessages(TRIPLES, N, M)
    around = messages.sample(torch.tensor([0, 30]), [2, 2])
    encoder.sampled(around, sparse=True).sum().backward()
    gradient = encoder.entities.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    assert gradient._indices()[0].tolist() == around.entity_ids.tolist()
    assert len(around.entity_ids) < N / 2
    dense = torch.autograd.grad(encoder.sampled(around).sum(), encoder.entities.weight)[0]
    close(gradient.to_dense(), dense)


def test_dropout_is_of_training_alone() -> None:
    encoder = RGCN(N, M, 6, dropout=0.5)
    around = IncomingMessages(TRIPLES, N, M).sample(torch.tensor([0, 30]), [3, 3])
    assert not torch.equal(encoder.sampled(around), encoder.sampled(around))
    encoder.eval()
    assert torch.equal(encoder.sampled(around), encoder.sampled(around))


def test_other_encoders_and_other_depths_are_refused() -> None:
    messages = IncomingMessages(TRIPLES, N, M)
    around = messages.sample(torch.tensor([0]), [2])
    with pytest.raises(ValueError, match="2 layers and 1 blocks"):
        make().sampled(around)
    with pytest.raises(InputError, match=r"^graph.fanout: Lookup does not"):
        Lookup(N, 6).sampled(around)
    with pytest.raises(InputError, match=r"^graph.fanout: Lookup does not"):
        Lookup(N, 6).in_pieces(messages)
