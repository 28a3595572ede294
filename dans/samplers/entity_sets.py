"""Sets of entities to draw from."""

import torch
from torch import Tensor, nn

from dans.samplers.corruption import any_other
from dans.samplers.draws import below

#: Entities in one word of a pool.
WORD = 64


class Pools(nn.Module):
    """Sets of entities, a bit for each entity, whose members can be counted off.

    Beside the bits stands how many members there are up to the end of each word of 64 entities, so
    the member at a place is found by halving, and drawn without a rejection. State: 3n/16 bytes for
    each pool, however full, and up to a quarter of spare room; nothing of it in checkpoints. A draw
    holds about 150 bytes for each entity drawn.

    Args:
        num_entities: n.

    Example:
        >>> pools = Pools(4)
        >>> pools.append(torch.tensor([[True, False, True, True]]))
        tensor([0])
        >>> pools.member(torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2]))
        tensor([0, 2, 3])
    """

    #: (room, words, 8) uint8
    bits: Tensor
    #: (room, words) int32
    counts: Tensor

    def __init__(self, num_entities: int) -> None:
        super().__init__()
        self.num_entities = num_entities
        self.words = -(-num_entities // WORD)
        self.filled = 0
        self.register_buffer(
            "bits", torch.zeros(0, self.words, 8, dtype=torch.uint8), persistent=False
        )
        self.register_buffer(
            "counts", torch.zeros(0, self.words, dtype=torch.int32), persistent=False
        )

    def __len__(self) -> int:
        """How many pools."""
        return self.filled

    @property
    def bytes_each(self) -> int:
        """What a pool takes."""
        return 12 * self.words

    def clear(self) -> None:
        """Forget all pools; the next gets number 0."""
        self.filled = 0

    def append(self, members: Tensor) -> Tensor:
        """Add pools: (q,) their numbers, from (q, n) bool."""
        start, stop = self.filled, self.filled + len(members)
        if stop > len(self.bits):
            room = max(stop, len(self.bits) * 5 // 4) - len(self.bits)
            self.bits = torch.cat((self.bits, self.bits.new_zeros(room, *self.bits.shape[1:])))
            self.counts = torch.cat((self.counts, self.counts.new_zeros(room, self.words)))
        spare = self.words * WORD - self.num_entities
        whole = nn.functional.pad(members, (0, spare)).to(torch.uint8)
        whole = whole.view(len(members), self.words, 8, 8)
        shifts = torch.arange(8, device=members.device, dtype=torch.uint8)
        self.bits[start:stop] = (whole << shifts).sum(-1, dtype=torch.uint8)
        self.counts[start:stop] = whole.sum((-1, -2), dtype=torch.int32).cumsum(-1)
        self.filled = stop
        return torch.arange(start, stop, device=members.device)

    def size(self, pools: Tensor) -> Tensor:
        """How many members: (...) from (...) numbers of pools."""
        return self.counts[pools, -1].long()

    def byte(self, pools: Tensor, words: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """A byte of a word, and how many members there are up to its end: (..., 1) uint8 each."""
        held = self.bits[pools, words]
        upto = ones(held).cumsum(-1, dtype=torch.uint8)
        return held.gather(-1, at), upto.gather(-1, at)

    def before(self, pools: Tensor, words: Tensor) -> Tensor:
        """How many members lie before a word: (...)."""
        return torch.where(words > 0, self.counts[pools, (words - 1).clamp(min=0)].long(), 0)

    def place(self, pools: Tensor, entities: Tensor) -> tuple[Tensor, Tensor]:
        """Where an entity stands: how many members come before it, and is it one; (...) each."""
        words, at = entities // WORD, (entities % WORD).unsqueeze(-1)
        bit = (at & 7).to(torch.uint8)
        byte, upto = self.byte(pools, words, at >> 3)
        before = upto - ones(byte) + ones(byte & ((1 << bit) - 1))
        mine = byte >> bit & 1
        return self.before(pools, words) + before.squeeze(-1), mine.squeeze(-1).bool()

    def member(self, pools: Tensor, places: Tensor) -> Tensor:
        """The members at some places: (...) entities; a place is at least 0 and below the size."""
        words = torch.zeros_like(places)
        for power in reversed(range(self.words.bit_length())):
            further = words + (1 << power)
            here = self.counts[pools, (further - 1).clamp(max=self.words - 1)]
            words = torch.where((further < self.words) & (here <= places), further, words)
        left = (places - self.before(pools, words)).to(torch.uint8).unsqueeze(-1)
        upto = ones(self.bits[pools, words]).cumsum(-1, dtype=torch.uint8)
        # An empty pool has no member at any place; whoever asks for one does not look at it.
        at = (upto <= left).sum(-1, keepdim=True).clamp_(max=7)
        byte, upto = self.byte(pools, words, at)
        shifts = torch.arange(8, device=places.device, dtype=torch.uint8)
        passed = (byte >> shifts & 1).cumsum(-1, dtype=torch.uint8) <= left - (upto - ones(byte))
        return words * WORD + 8 * at.squeeze(-1) + passed.sum(-1)

    def others(self, pools: Tensor, true: Tensor) -> Tensor:
        """How many members there are beside an entity, member or not: (...)."""
        return self.size(pools) - self.place(pools, true)[1].long()

    def other(self, pools: Tensor, true: Tensor, places: Tensor) -> Tensor:
        """The members at some places, an entity left out of the count: (...)."""
        at, mine = self.place(pools, true)
        return self.member(pools, places + (mine & (places >= at)).long())

    def draw(self, pools: Tensor, true: Tensor) -> Tensor:
        """Members but one, each with equal probability; any other entity where there is none.

        Args:
            pools: (...) numbers of pools.
            true: (...) the entities left out.
        """
        count = self.others(pools, true)
        ids = self.other(pools, true, below(count.clamp(min=1)))
        return torch.where(count > 0, ids, any_other(true, self.num_entities))


def ones(held: Tensor) -> Tensor:
    """How many bits are set in each byte: (...) uint8 from (...) uint8.

    Neighbouring bits are added, then neighbouring pairs, then the two halves.

    Example:
        >>> ones(torch.tensor([0, 5, 255], dtype=torch.uint8))
        tensor([0, 2, 8], dtype=torch.uint8)
    """
    pairs = held - (held >> 1 & 0x55)
    fours = (pairs & 0x33) + (pairs >> 2 & 0x33)
    return fours + (fours >> 4) & 0x0F
