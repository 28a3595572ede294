"""How many numbers decoders hold at most for queries and scores, for memory budgets."""

from dans.models.decoders.base import CHUNK, Decoder
from dans.models.decoders.distances import tile_shape
from dans.models.decoders.rescal import RESCAL, matrices_at_a_time
from dans.models.decoders.rotate import RotatE
from dans.models.decoders.transe import TransE
from dans.models.decoders.tucker import TuckER


def query_cost(decoder: Decoder, rows: int) -> int:
    """Numbers held to make query embeddings, these included, without gradients."""
    d, r = decoder.dim, decoder.relation
    if not isinstance(decoder, RESCAL):
        return rows * (6 * d + 2 * r.embedding_dim)
    shared = type(decoder).tail_queries is RESCAL.tail_queries
    matrices = min(rows, len(r.weight), matrices_at_a_time(d)) if shared else rows
    numbers = 8 * rows * d + 3 * matrices * d**2
    if isinstance(decoder, TuckER):
        core = 0 if decoder.bound is None else decoder.core.numel()
        numbers += 3 * matrices * decoder.relation_dim + core
    return numbers


def score_cost(decoder: Decoder, rows: int, entities: int) -> int:
    """Numbers held by ``score_all``, the scores included, without gradients."""
    how = type(decoder).score_all
    if how is RotatE.score_all:
        tall, wide = tile_shape(rows, on_cpu=decoder.relation.weight.device.type == "cpu")
        wide = min(wide, entities)
        return rows * entities + 4 * tall * wide + (tall + wide) * decoder.dim
    if isinstance(decoder, TransE) and how is TransE.score_all:
        norms = 2 * (rows + entities) * (decoder.dim + 2) if decoder.p == 2 else 0
        return 3 * rows * entities + norms
    if not decoder.dot:
        each = entities * decoder.dim
        return 2 * rows * entities + 3 * min(rows * each, max(CHUNK, each))
    return 2 * rows * entities
