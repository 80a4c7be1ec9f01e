/* attention_mma.cuh - what attention's tensor-core kernels are written with: tiles in shared memory, products of them.
 *
 * A block of four warps owns OWN_ROWS rows of one head, 16 a warp, and streams the other rows past them. A kernel's D
 * is the head's width, zero-filled to the next instance: 32, 64, 96 or 128.
 *
 * Tiles are [rows][D + 8] bf16. The 8 put row r at 16 * odd * r bytes (mod 128), so the 8 rows that a quarter of
 * ldmatrix reads, 16 bytes each, lie in 8 different groups of banks.
 *
 * Fragments of 16 rows and N columns are float [N / 8][4]: element e of [n] is at row g + e / 2 * 8 and column
 * n * 8 + t + e % 2, with g = lane / 4 and t = lane % 4 * 2. Two neighbouring [n] packed to bf16 are the A operand of
 * the next product: probabilities never leave the registers. */
#ifndef VT_ATTENTION_MMA_CUH
#define VT_ATTENTION_MMA_CUH

#include "attention.cuh"
#include "ptx_mma.cuh"

enum { OWN_WARPS = 4, OWN_THREADS = OWN_WARPS * WARP, OWN_ROWS = 16 * OWN_WARPS };

template <int D> constexpr int TILE_STRIDE = D + 8;

static const float LOG2_E = 1.4426950408889634f;

/* Which (sample, head, tile) a block works on; neighbours share a head and so its rows in L2. */
typedef struct block_place {
    int b, h, first;   /* first: of the block's own rows */
} block_place;

VT_DEVICE block_place place_of(const attention_problem &p)
{
    int tiles = (p.tokens + OWN_ROWS - 1) / OWN_ROWS, bh = (int)blockIdx.x / tiles;
    block_place at = {bh / p.heads, bh % p.heads, (int)blockIdx.x % tiles * OWN_ROWS};
    return at;
}

static inline dim3 own_grid(const attention_problem *p)
{
    return dim3((unsigned)(ceil_div(p->tokens, OWN_ROWS) * p->heads * p->batch));
}

VT_DEVICE int own_warp() { return (int)threadIdx.x / WARP; }
VT_DEVICE int fragment_row() { return lane_id() / 4; }
VT_DEVICE int fragment_column() { return lane_id() % 4 * 2; }

/* Starts the copy of rows first .. first + ROWS - 1; rows from N on and columns from p.dim on become zeros. */
template <int D, int ROWS>
VT_DEVICE void copy_tile(const attention_problem &p, bf16 *tile, // [ROWS, D + 8]
                         const bf16 *from, int64_t stride, int first)
{
    static_assert(ROWS * D / 8 % OWN_THREADS == 0, "as many copies for every thread");
#pragma unroll
    for (int part = 0; part < ROWS * D / 8; part += OWN_THREADS) {
        int at = part + (int)threadIdx.x, row = at / (D / 8), column = at % (D / 8) * 8;
        bool valid = first + row < p.tokens && column < p.dim;
        copy_async(tile + row * TILE_STRIDE<D> + column, from + (valid ? (first + row) * stride + column : 0), valid);
    }
}

/* acc [16, N] += a [16, D] b [N, D]^T, both tiles. Columns from `live` on may be left out. The loads of a step of 32
 * columns and 32 of D come before its products: six in flight. */
template <int D, int N>
VT_DEVICE void multiply_tiles(float (&acc)[N / 8][4], const bf16 *a, const bf16 *b, int live)
{
    int lane = lane_id();
    a += lane % 16 * TILE_STRIDE<D> + lane / 16 * 8;
    b += (lane % 8 + lane / 16 * 8) * TILE_STRIDE<D> + lane / 8 % 2 * 8;
#pragma unroll
    for (int n = 0; n < N; n += 32) {
        if (n >= live) break;
#pragma unroll
        for (int k = 0; k < D; k += 32) {
            uint32_t left[2][4], right[2][2][4];
#pragma unroll
            for (int x = 0; x < 2; x++) {
                load_matrix4(left[x], a + k + x * 16);
#pragma unroll
                for (int y = 0; y < 2; y++) load_matrix4(right[x][y], b + (n + y * 16) * TILE_STRIDE<D> + k + x * 16);
            }
#pragma unroll
            for (int x = 0; x < 2; x++) {
#pragma unroll
                for (int y = 0; y < 2; y++) {
                    mma_bf16(acc[n / 8 + y * 2], left[x], {right[x][y][0], right[x][y][1]});
                    mma_bf16(acc[n / 8 + y * 2 + 1], left[x], {right[x][y][2], right[x][y][3]});
                }
            }
        }
    }
}

/* acc [16, D] += w [16, N] b [N, D], w a fragment that is rounded to bf16. Rows of b from `live` on may be left out. */
template <int D, int N>
VT_DEVICE void multiply_fragment(float (&acc)[D / 8][4], const float (&w)[N / 8][4], const bf16 *b, int live)
{
    int lane = lane_id();
    b += lane % 16 * TILE_STRIDE<D> + lane / 16 * 8;
#pragma unroll
    for (int n = 0; n < N; n += 16) {
        if (n >= live) break;
        const float (&v)[4] = w[n / 8], (&u)[4] = w[n / 8 + 1];
        uint32_t left[4] = {pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(u[0], u[1]), pack_bf16(u[2], u[3])};
#pragma unroll
        for (int k = 0; k < D; k += 32) {
            uint32_t right[2][4];
#pragma unroll
            for (int x = 0; x < 2; x++) load_matrix4_transposed(right[x], b + n * TILE_STRIDE<D> + k + x * 16);
#pragma unroll
            for (int x = 0; x < 2; x++) {
                mma_bf16(acc[k / 8 + x * 2], left, {right[x][0], right[x][1]});
                mma_bf16(acc[k / 8 + x * 2 + 1], left, {right[x][2], right[x][3]});
            }
        }
    }
}

/* What biases and masks do to scores in units of q . k. The fragment's element (0, 0) of this lane is (row, column);
 * rows are queries and columns keys or, TRANSPOSED, the other way round. Keys from N on get -inf. */
template <int N, bool TRANSPOSED>
VT_DEVICE void finish_scores(float (&s)[N / 8][4], const attention_problem &p, const attention_head &head, int row,
                             int column)
{
    float per_unit = 1 / p.scale;
    int last = p.tokens - 1;
#pragma unroll
    for (int n = 0; n < N / 8; n++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int r = row + e / 2 * 8, c = column + n * 8 + e % 2, i = TRANSPOSED ? c : r, j = TRANSPOSED ? r : c;
            if (head.bias && i <= last && j <= last) s[n][e] += head.bias[(int64_t)i * p.tokens + j] * per_unit;
            if (j > last) s[n][e] = -INFINITY;
        }
    }
}

/* Which elements of the fragment dropout keeps: bit n * 4 + e. Not unrolled: a draw is some 80 instructions. */
template <int N, bool TRANSPOSED>
VT_DEVICE uint32_t kept_elements(const attention_problem &p, const attention_head &head, int row, int column)
{
    static_assert(N / 8 * 4 <= 32, "a bit an element");
    uint32_t kept = 0;
#pragma unroll 1
    for (int at = 0; at < N / 8 * 4; at++) {
        int r = row + at / 2 % 2 * 8, c = column + at / 4 * 8 + at % 2;
        kept |= (uint32_t)is_kept(p, head, TRANSPOSED ? c : r, TRANSPOSED ? r : c) << at;
    }
    return kept;
}

/* Writes a warp's 16 rows, row g of the fragment times factor[0], row g + 8 times factor[1]. They pass through the rows
 * that the warp owns in a tile, and that no other warp reads, for 16-byte stores. */
template <int D>
VT_DEVICE void store_rows(const attention_problem &p, bf16 *rows, // [16, D + 8]
                          const float (&acc)[D / 8][4], const float (&factor)[2], bf16 *to, int64_t stride, int first)
{
    warp_sync(); /* other lanes' reads of the rows are over */
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            bf16 *at = rows + (fragment_row() + half * 8) * TILE_STRIDE<D> + n * 8 + fragment_column();
            *(uint32_t *)at = pack_bf16(acc[n][half * 2] * factor[half], acc[n][half * 2 + 1] * factor[half]);
        }
    }
    warp_sync();
#pragma unroll
    for (int part = 0; part < 16 * D / 8; part += WARP) {
        int at = part + lane_id(), row = at / (D / 8), column = at % (D / 8) * 8;
        if (first + row < p.tokens && column < p.dim)
            store_words(to + (first + row) * stride + column, *(const word4 *)(rows + row * TILE_STRIDE<D> + column));
    }
}

/* `call` with D the instance that holds p's width. */
#define VT_DISPATCH_WIDTH(p, call)                                   \
    do {                                                             \
        if ((p)->dim <= 32) { constexpr int D = 32; call; }          \
        else if ((p)->dim <= 64) { constexpr int D = 64; call; }     \
        else if ((p)->dim <= 96) { constexpr int D = 96; call; }     \
        else { constexpr int D = 128; call; }                        \
    } while (0)

#endif
