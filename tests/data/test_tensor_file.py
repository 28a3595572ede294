"""Files of tensors are written without a copy of them, and read by safetensors to the bit."""

import hashlib
import io
import json

import pytest
import torch
from safetensors import torch as safetensors

from dans.data.tensor_file import BLANK, PIECE, digest_field, write_tensors

TENSORS = {
    **{str(dtype): torch.tensor([1, 0, 2]).to(dtype) for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
    )},
    "one": torch.tensor(3.5),
    "none": torch.empty(0, 4),
    "turned": torch.arange(6.0).view(2, 3).T,
    "part": torch.arange(9)[2:5],
    'a "name"': torch.ones(2, requires_grad=True),
}  # fmt: skip


class Pieces(io.BytesIO):
    """A file that knows what was written into it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.places: list[int] = []

    def write(self, piece: object) -> int:
        whole = memoryview(piece)  # type: ignore[arg-type]
        self.sizes.append(whole.nbytes)
        if whole.nbytes:
            self.places.append(torch.frombuffer(whole, dtype=torch.uint8).data_ptr())
        return super().write(whole)


def test_every_type_and_layout_comes_back_with_the_text() -> None:
    file = io.BytesIO()
    write_tensors(file, TENSORS, {"kind": 'a "digest":"0"'})
    content = file.getvalue()
    found = safetensors.load(content)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = header["__metadata__"]
    assert metadata["kind"] == 'a "digest":"0"'
    blank = content.replace(digest_field(metadata["digest"]), digest_field(BLANK), 1)
    assert hashlib.sha256(blank).hexdigest() == metadata["digest"]


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_tensors_are_written_from_where_they_are_in_pieces() -> None:
    tensor = torch.arange(PIECE // 2, dtype=torch.float64)
    file = Pieces()
    write_tensors(file, {"w": tensor}, {})
    assert max(file.sizes) <= PIECE
    first = tensor.data_ptr()
    here = {place for place in file.places if first <= place < first + 8 * len(tensor)}
    assert here == {first + PIECE * i for i in range(4)}


@pytest.mark.parametrize(
    "tensor", [torch.eye(2).to_sparse(), torch.zeros(1, dtype=torch.complex128)]
)
def test_what_no_file_can_hold_is_refused_by_name(tensor: torch.Tensor) -> None:
    file = io.BytesIO()
    with pytest.raises(TypeError, match=r"^w: no file can hold"):
        write_tensors(file, {"w": tensor}, {})
    assert not file.getvalue()
