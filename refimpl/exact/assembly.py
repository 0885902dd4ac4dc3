"""The dense Gauss-Newton Hessian from its layers' inputs and gradients, as few large matrix products.

For blocks l and l', with s the pre-activations, a the inputs, R_n a root of H_n and B_nr = df_n / ds_r,

    G_ll' = (1/N) sum_n sum_rr' (B_nr^T H_n B'_nr') (x) (a_nr a'_nr'^T)   (Martens & Grosse 2015, sec. 3,
                                                                          before any approximation).

Entry ((o, i), (o', i')) pairs what depends on (o, o') with what depends on (i, i'): one product of a
matrix [(o, o'), n r r'] with a matrix [n r r', (i, i')]. Over the directions k, where positions are many,
it is the product of u_nk = sum_r g_nkr a_nr^T with itself, of inner dimension N K.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from refimpl import rows
from refimpl.problem import memory
from refimpl.problem.layout import Block
from refimpl.problem.problem import Problem
from refimpl.rows.matrices import gradient_matrices
from refimpl.rows.sizes import Sizes
from refimpl.rows.sweeps import LayerRows, layer_rows

__all__ = ["assemble", "by_positions", "mirror", "tiles"]

# Pairs (o, o'), pairs (i, i'), columns of u: the sides of one matrix product, which stays below the
# 32 MiB from which on glibc asks the system for every tensor anew.
TILE = 3 * 2**9
INNER = 2**12  # examples times positions or directions that one pass over the matrix adds


def assemble(problem: Problem) -> Float[Tensor, "P P"]:
    """G [P, P], every entry of its upper half summed once and mirrored.

    Memory is that of the matrix, plus about 512 MiB of rows and 100 MiB of tiles.

    Raises:
        ValueError: A model whose gradients the layers do not give.
    """
    blocks = problem.layout.blocks
    total = problem.parameters.new_zeros(problem.num_parameters, problem.num_parameters)
    size = rows.of(problem)
    for some in layer_rows(problem, _examples_per_pass(problem, size)):
        directions = _Directions(some)
        for at, one in enumerate(blocks):
            for other in blocks[at:]:
                view = total[one.slice, other.slice]
                positions = size.positions[one.name], size.positions[other.name]
                if by_positions(*positions, size.directions):
                    _add_by_positions(view, some, one, other, problem.num_examples)
                else:
                    _add_by_directions(view, directions, one, other, problem.num_examples)
    mirror(total)
    return total


def by_positions(positions: int, others: int, directions: int) -> bool:
    """Whether pairs of positions are fewer than the directions, and so the smaller inner dimension."""
    return positions * others <= directions


def _examples_per_pass(problem: Problem, size: Sizes) -> int:
    """The number of examples that makes good use of a pass over the matrix, and whose rows fit."""
    largest, numbers = 1, 0
    for block in problem.layout.blocks:
        positions, directions = size.positions[block.name], size.directions
        pairs = min(positions**2, directions)
        largest = max(largest, pairs)
        numbers += positions * (block.inputs + directions * block.outputs)
        if pairs == directions:  # u itself
            numbers += directions * block.inputs * block.outputs
    return max(1, min(INNER // largest, memory.ASSEMBLY // numbers))


class _Directions:
    """u_nk of some examples, [K N, O I] of each block, computed when first needed."""

    def __init__(self, rows: LayerRows) -> None:
        self.rows = rows
        self.by_block: dict[str, Tensor] = {}

    def of(self, block: Block) -> Float[Tensor, "M B"]:
        """The rows of one block."""
        if block.name not in self.by_block:
            u = gradient_matrices(self.rows.gradients[block.name], self.rows.inputs[block.name])
            self.by_block[block.name] = u.flatten(0, 1).flatten(1)
        return self.by_block[block.name]


def _add_by_directions(
    total: Float[Tensor, "B C"], directions: _Directions, one: Block, other: Block, examples: int
) -> None:
    """Add u^T u', of a block with itself only the tiles that reach above the diagonal."""
    u, v = directions.of(one), directions.of(other)
    for start in range(0, v.shape[1], TILE // 4):
        stop = min(start + TILE // 4, v.shape[1])
        above = stop if one is other else u.shape[1]
        total[:above, start:stop].addmm_(u[:, :above].T, v[:, start:stop], alpha=1 / examples)


def _add_by_positions(
    total: Float[Tensor, "B C"], rows: LayerRows, one: Block, other: Block, examples: int
) -> None:
    """Add sum_n,r,r' M[o, o'] a[i] a'[i'], with M = sum_k g_k g'_k^T.

    Of a block with itself only o <= o'; with one position also only i <= i', since M and a a^T are
    then symmetric each by itself: a quarter of the work.
    """
    g, h = rows.gradients[one.name] / examples, rows.gradients[other.name]
    a = rows.inputs[one.name].permute(2, 0, 1)  # [I, N, R]
    b = rows.inputs[other.name].permute(2, 0, 1)
    same = one is other
    halved = same and a.shape[2] == 1
    inner = a.shape[1] * a.shape[2] * b.shape[2]
    matrix = total.unflatten(1, (other.outputs, other.inputs))
    matrix = matrix.unflatten(0, (one.outputs, one.inputs))  # [O, I, O', I']
    side = max(1, min(TILE, memory.ASSEMBLY // (8 * inner)))
    columns = tiles(one.inputs, side // other.inputs)
    for o in tiles(one.outputs, side // other.outputs):
        M = _moments(g[..., o], h[..., o.start :] if same else h)
        M = [m[:, p if same else 0 :] for p, m in enumerate(M.unbind(1))]
        # [(o, o'), N R R'], in that order: a product of two transposes takes half as long again.
        left = torch.cat(M, dim=1).T.contiguous()
        for i in columns:
            lowest = i.start if halved else 0
            first, second = a[i, :, :, None], b[lowest:, :, None, :]
            right = _upper(first, second) if halved else first[:, None] * second
            product = left @ right.reshape(-1, inner).T
            if halved:
                product = product.index_select(1, _square(len(first), len(second), a.device))
            product = product.unflatten(1, (len(first), len(second)))
            row = 0
            for p, m in enumerate(M):
                at = o.start + p
                part = product[row : row + m.shape[1]]  # [O', I, I'] of this o
                row += m.shape[1]
                from_ = at if same else 0
                matrix[at, i, from_:, lowest:] += part.transpose(0, 1)
                if halved:
                    beyond = part[:, :, len(first) :]
                    matrix[at, i.stop :, from_:, i] += beyond.permute(2, 0, 1)


def _moments(g: Float[Tensor, "K N R O"], h: Float[Tensor, "K N S Q"]) -> Float[Tensor, "NRS O Q"]:
    """sum_k g_k h_k^T for every example and pair of positions."""
    _, n, r, o = g.shape
    s, q = h.shape[2:]
    products = g.permute(1, 2, 3, 0).flatten(1, 2) @ h.permute(1, 0, 2, 3).flatten(2)  # [N, RO, SQ]
    return products.view(n, r, o, s, q).transpose(2, 3).reshape(n * r * s, o, q)


def _upper(
    first: Float[Tensor, "I N 1 1"], second: Float[Tensor, "J N 1 1"]
) -> Float[Tensor, "pairs N 1 1"]:
    """Products of first[i] and second[i'] for all i <= i'."""
    rows, columns = len(first), len(second)
    pairs = first.new_empty(rows * columns - rows * (rows - 1) // 2, *first.shape[1:])
    start = 0
    for i in range(rows):
        stop = start + columns - i
        torch.mul(first[i], second[i:], out=pairs[start:stop])
        start = stop
    return pairs


def _square(rows: int, columns: int, device: torch.device) -> Tensor:
    """The index of the pair (i, i'), in any order, among the pairs i <= i' < columns with i < rows."""
    i = torch.arange(rows, device=device)
    starts = i * columns - i * (i - 1) // 2 - i  # of row i, less its first column
    low = torch.minimum(i[:, None], torch.arange(columns, device=device))
    high = torch.maximum(i[:, None], torch.arange(columns, device=device))
    return (starts[low] + high).flatten()


def tiles(length: int, size: int) -> list[slice]:
    """0 .. length in slices of about one size, at most `size`: products of a few left over are slow."""
    count = max(1, -(-length // max(1, size)))
    size = -(-length // count)
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def mirror(matrix: Float[Tensor, "P P"]) -> None:
    """Copy what stands above the diagonal below it, in place."""
    for band in tiles(len(matrix), TILE // 8):
        matrix[band.stop :, band] = matrix[band, band.stop :].T
        corner = matrix[band, band]
        corner.copy_(corner.triu() + corner.triu(1).T)
