"""DGL's own mini-batches for link prediction on UMLS, with negatives from a sampler of ours.

Entities are the sum of their embedding and their neighbours' mean; DistMult scores the triples.

  python scripts/examples/dgl_link_prediction.py --epochs 5
"""

from dans.cli.command import run_main


def main() -> None:
    """Train."""
    import dgl
    import torch

    from dans.adapters.dgl import NegativeEdges
    from dans.cli import parsing as cli
    from dans.data.graph import KnowledgeGraph
    from dans.models.decoders import DistMult
    from dans.objectives.losses import Logistic
    from dans.samplers import Bernoulli

    parser = cli.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=3, help="times through the triples")
    epochs = parser.parse_args().epochs
    kg = KnowledgeGraph.load("umls")
    m, known, k = kg.num_relations, kg.known(("train",)), 10
    bernoulli = Bernoulli(k, triples=kg.train, num_relations=m, filter="resample", known=known)
    sampler = dgl.dataloading.as_edge_prediction_sampler(
        dgl.dataloading.NeighborSampler([10]), "self", negative_sampler=NegativeEdges(bernoulli)
    )
    graph, every = dgl.to_homogeneous(kg.heterograph()), torch.arange(len(kg.train))
    loader = dgl.dataloading.DataLoader(graph, every, sampler, batch_size=512, shuffle=True)
    table, decoder, loss = torch.nn.Embedding(kg.num_entities, 64), DistMult(m, 64), Logistic()
    optimizer = torch.optim.Adam([*table.parameters(), *decoder.parameters()], lr=0.01)
    for epoch in range(1, epochs + 1):
        for nodes, triples, negatives, (block,) in loader:
            block.srcdata["x"] = table(nodes)
            block.update_all(dgl.function.copy_u("x", "sent"), dgl.function.mean("sent", "mean"))
            x = block.dstdata["mean"] + block.srcdata["x"][: block.num_dst_nodes()]
            (heads, tails), (others, ends) = triples.edges(), negatives.edges()
            r = decoder.relation(triples.edata[dgl.ETYPE])
            scores = decoder.score(x[heads], r, x[tails]).unsqueeze(1)
            corrupted = decoder.score(x[others], r.repeat_interleave(k, 0), x[ends])
            total = loss(scores, corrupted.view(-1, k))
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss of its last batch {total.item():.4f}")


if __name__ == "__main__":
    run_main(main)
