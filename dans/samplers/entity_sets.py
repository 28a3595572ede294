"""Sets of entities to draw from, and draws without repeats."""

import torch
from torch import Tensor, nn

from dans.samplers.corruption import any_other

#: Entities in one word of a set, one for each bit of an int64.
WORD = 64


class EntitySets(nn.Module):
    """Sets of entities as bit vectors, whose members are found by their position.

    Beside the bits stands how many members there are up to the end of each word of 64 entities, so
    the member at a position is found by bisection, and drawn without rejection.
    """

    #: (room, words) int64
    bits: Tensor
    #: (room, words) int32
    counts: Tensor

    def __init__(self, num_entities: int) -> None:
        super().__init__()
        self.num_entities = num_entities
        self.words = -(-num_entities // WORD)
        self.filled = 0
        for name, dtype in (("bits", torch.int64), ("counts", torch.int32)):
            self.register_buffer(name, torch.zeros(0, self.words, dtype=dtype), persistent=False)

    def __len__(self) -> int:
        """The number of sets."""
        return self.filled

    @property
    def bytes_each(self) -> int:
        """Bytes of one set."""
        return 12 * self.words

    def append(self, members: Tensor) -> Tensor:
        """Add sets: (q,) their numbers, from (q, n) bool."""
        start, stop = self.filled, self.filled + len(members)
        if stop > len(self.bits):
            room = max(stop, len(self.bits) * 5 // 4) - len(self.bits)
            self.bits = torch.cat((self.bits, self.bits.new_zeros(room, self.words)))
            self.counts = torch.cat((self.counts, self.counts.new_zeros(room, self.words)))
        whole = nn.functional.pad(members, (0, self.words * WORD - self.num_entities))
        whole = whole.to(torch.uint8).view(len(members), self.words, 8, 8)
        shifts = torch.arange(8, device=members.device, dtype=torch.uint8)
        # Eight bytes are one int64, the first of them its lowest bits.
        packed = (whole << shifts).sum(-1, dtype=torch.uint8).view(torch.int64)
        self.bits[start:stop] = packed.squeeze(-1)
        self.counts[start:stop] = whole.sum((-1, -2), dtype=torch.int32).cumsum(-1)
        self.filled = stop
        return torch.arange(start, stop, device=members.device)

    def size(self, sets: Tensor) -> Tensor:
        """How many members: (...) from (...) numbers of sets."""
        return self.counts[sets, -1].long()

    def position(self, sets: Tensor, entities: Tensor) -> tuple[Tensor, Tensor]:
        """How many members have a smaller id than an entity, and is it one itself: (...) each."""
        words, bit = entities // WORD, entities % WORD
        held = self.bits[sets, words]
        return self._before(sets, words) + ones(held & ((1 << bit) - 1)), (held >> bit & 1).bool()

    def member(self, sets: Tensor, positions: Tensor) -> Tensor:
        """The members at positions from 0 to the size of the set: (...); no entity of an empty set.

        Bisection, over the words first, then within one.
        """
        words = torch.zeros_like(positions)
        for power in reversed(range(self.words.bit_length())):
            further = words + (1 << power)
            here = self.counts[sets, (further - 1).clamp(max=self.words - 1)]
            words = torch.where((further < self.words) & (here <= positions), further, words)
        left = positions - self._before(sets, words)
        held, entities = self.bits[sets, words], words * WORD
        for width in (32, 16, 8, 4, 2, 1):
            lower = ones(held & ((1 << width) - 1))
            upper = (lower <= left).long()
            left = left - lower * upper
            held = held >> width * upper
            entities = entities + width * upper
        return entities

    def _before(self, sets: Tensor, words: Tensor) -> Tensor:
        """How many members lie before a word: (...)."""
        return torch.where(words > 0, self.counts[sets, (words - 1).clamp(min=0)].long(), 0)

    def num_others(self, sets: Tensor, true: Tensor) -> Tensor:
        """How many members there are beside an entity, which need not be one: (...)."""
        return self.size(sets) - self.position(sets, true)[1].long()

    def other(self, sets: Tensor, true: Tensor, positions: Tensor) -> Tensor:
        """The members at some positions, an entity left out of the count: (...)."""
        at, inside = self.position(sets, true)
        return self.member(sets, positions + (inside & (positions >= at)).long())

    def draw(self, sets: Tensor, true: Tensor) -> Tensor:
        """Members but the true one, uniformly; any other entity where there is none: (...)."""
        count = self.num_others(sets, true)
        ids = self.other(sets, true, below(count.clamp(min=1)))
        return torch.where(count > 0, ids, any_other(true, self.num_entities))


def ones(words: Tensor) -> Tensor:
    """How many bits of int64s are set: (...), by adding neighbours, pairs, nibbles and bytes."""
    pairs = words - (words >> 1 & 0x5555555555555555)
    nibbles = (pairs & 0x3333333333333333) + (pairs >> 2 & 0x3333333333333333)
    return (nibbles + (nibbles >> 4) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56


def below(limits: Tensor) -> Tensor:
    """A whole number from 0 to below each limit, with equal probability: (...)."""
    point = torch.rand(limits.shape, dtype=torch.float64, device=limits.device)
    # Rounding may carry a point to the limit itself.
    return torch.minimum((point * limits).long(), limits - 1)


def distinct(sizes: Tensor, side: Tensor) -> Tensor:
    """Positions of members, without repeats among a triple's negatives of the same side.

    Robert Floyd's algorithm: the i-th of j out of N, i from 1, is drawn from the first N − j + i,
    or is the last of these where that one was drawn before. Each set of positions is as likely as
    any other, in an order that is not random.

    Args:
        sizes: (b, k) how many members there are; the same for negatives of one triple and side.
        side: (b, k) bool.

    Returns:
        (b, k) positions below the size; −1 for negatives for which no member is left.
    """
    before = torch.where(side, side.cumsum(1), (~side).cumsum(1)) - 1
    negatives = torch.where(side, side.sum(1, keepdim=True), (~side).sum(1, keepdim=True))
    last = sizes - torch.minimum(negatives, sizes) + before
    drawn = below((last + 1).clamp(min=1))
    positions = torch.full_like(sizes, -1)
    for j in range(sizes.shape[1]):
        same = side[:, :j] == side[:, j : j + 1]
        taken = ((positions[:, :j] == drawn[:, j : j + 1]) & same).any(1)
        position = torch.where(taken, last[:, j], drawn[:, j])
        positions[:, j] = torch.where(before[:, j] < sizes[:, j], position, -1)
    return positions
