/* attention_hopper.cuh - what the attention kernels for sm_90a share: where a head is, tiles of it, products, stores.
 *
 * Head width 64, bf16. A head's matrices are tiles of ROWS rows, those from N on zeros. Products take M in steps of 64
 * rows and K in steps of 16, so they run over a tile's end into what lies behind it: there M only makes rows that
 * nobody stores, and K meets zeros in the other operand.
 *
 * Copies are cp.async of 16 bytes rather than TMA: see ptx_hopper.cuh. Not run on hardware yet: the simulator's twins
 * follow the PTX ISA's text, and do not see time. */
#ifndef VT_ATTENTION_HOPPER_CUH
#define VT_ATTENTION_HOPPER_CUH

#include "attention.cuh"
#include "ptx_hopper.cuh"
#include "ptx_mma.cuh"

enum { DIM = 64, M_TILE = 64, K_STEP = 16 };
enum { ROW_BYTES = TILE_WIDTH * 2, COLS_STEP = K_STEP * 2, ROWS_STEP = K_STEP * ROW_BYTES }; /* in bytes */

static constexpr float LOG2E = 1.4426950408889634f;

/* Where a head is: q, k and v begin at qkv, qkv + width, qkv + 2 * width, their rows `stride` apart; out's rows
 * are `width` apart. */
typedef struct head_place {
    int64_t qkv, out, lse; /* offsets, in elements */
    int stride, width;     /* 3*H*D, H*D */
} head_place;

VT_DEVICE head_place place_of(int head, int tokens, int heads) /* head h of sample b is number b * heads + h */
{
    const int b = head / heads, h = head % heads, width = heads * DIM;
    const int64_t token = (int64_t)b * tokens;
    head_place p = {token * 3 * width + h * DIM, token * width + h * DIM, (int64_t)head * tokens, 3 * width, width};
    return p;
}

/* Which warpgroup this is, in a register that all threads of a warp are known to share. */
VT_DEVICE int this_group() { return shfl(FULL_WARP, (int)threadIdx.x / WARPGROUP, 0); }

/* Rows of this thread's fragments in a tile of 64: this one and this + 8. Columns: 8n + fragment_col() and the next. */
VT_DEVICE int fragment_row() { return (int)(threadIdx.x % WARPGROUP / WARP * 16 + threadIdx.x % WARP / 4); }
VT_DEVICE int fragment_col() { return (int)(threadIdx.x % 4 * 2); }

/* Begins to copy from [tokens, 64], rows `stride` apart, into a tile of ROWS; those from `tokens` on become zeros. By
 * THREADS, the block's or a warpgroup's; thread t copies chunk t % 8 of rows t / 8 + i * THREADS / 8. */
template <int ROWS, int THREADS = WARPGROUP>
VT_DEVICE void load_tile(bf16 *tile, const bf16 *from, int tokens, int stride)
{
    constexpr int STEP = THREADS / TILE_CHUNKS; /* rows a turn: a multiple of 8, the swizzle stays the same */
    const unsigned thread = (unsigned)thread_again() % THREADS;
    const int chunk = (int)(thread % TILE_CHUNKS), first = (int)(thread / TILE_CHUNKS);
    bf16 *to = tile + tile_at(first, chunk);
    from += first * stride + chunk * VECTOR<bf16>;
#pragma unroll
    for (int i = 0; i < (ROWS + STEP - 1) / STEP; i++, from += STEP * stride)
        if ((i + 1) * STEP <= ROWS || first + i * STEP < ROWS)
            copy_async(to + i * STEP * TILE_WIDTH, from, first + i * STEP < tokens);
}

/* All threads' copies but the PENDING last groups are in shared memory, for wgmma and for everyone. */
template <int PENDING> VT_DEVICE void tiles_arrive()
{
    copy_wait<PENDING>();
    fence_proxy_async();
    block_sync();
}

/* d [64, 2 * R] = a b^T with a [64, 64] and b [2 * R, 64] in tiles; begins, as one group. */
template <int R> VT_DEVICE void begin_scores(float (&d)[R], uint64_t a, uint64_t b)
{
    wgmma<false, K_MAJOR, K_MAJOR>(d, a, b);
#pragma unroll
    for (int step = 1; step < DIM / K_STEP; step++)
        wgmma<true, K_MAJOR, K_MAJOR>(d, tile_matrix_at(a, step * COLS_STEP),
                                      tile_matrix_at(b, step * COLS_STEP));
    wgmma_commit();
}

/* d [64, 64] (+)= a b with a [64, 4 * R] in registers, b a tile of 4 * R rows; begins, as one group. */
template <bool ADD = false, int R> VT_DEVICE void begin_product(float (&d)[32], const uint32_t (&a)[R], uint64_t b)
{
    wgmma<ADD, MN_MAJOR>(d, a, b);
#pragma unroll
    for (int step = 1; step < R / 4; step++)
        wgmma<true, MN_MAJOR>(d, a + step * 4, tile_matrix_at(b, step * ROWS_STEP));
    wgmma_commit();
}

/* This thread's operand A of 64 rows of a tile. */
VT_DEVICE void load_rows(uint32_t (&a)[DIM / 4], const bf16 *tile)
{
    const int row = (int)(threadIdx.x % WARPGROUP) / WARP * 16 + lane_id() % 16;
#pragma unroll
    for (int step = 0; step < DIM / K_STEP; step++) {
        uint32_t r[4];
        load_matrix4(r, tile + tile_at(row, 2 * step + lane_id() / 16));
#pragma unroll
        for (int i = 0; i < 4; i++) a[step * 4 + i] = r[i];
    }
}

/* d [64, 64] = a b^T with a [64, 64] in registers and b a tile; begins, as one group. */
VT_DEVICE void begin_scores(float (&d)[32], const uint32_t (&a)[DIM / 4], uint64_t b)
{
    wgmma<false, K_MAJOR>(d, a, b);
#pragma unroll
    for (int step = 1; step < DIM / K_STEP; step++)
        wgmma<true, K_MAJOR>(d, a + step * 4, tile_matrix_at(b, step * COLS_STEP));
    wgmma_commit();
}

/* Registers of operand A made of accumulators [64, KEYS]: two a column group, the last step filled up with zeros. */
template <int KEYS> constexpr int PAIRS = (KEYS + K_STEP - 1) / K_STEP * 4;

template <int R, int A> VT_DEVICE void pack_pairs(uint32_t (&a)[A], const float (&d)[R])
{
#pragma unroll
    for (int i = 0; i < A; i++) a[i] = 2 * i + 1 < R ? pack_bf16(d[2 * i], d[2 * i + 1]) : 0;
}

VT_DEVICE float quad_sum(float v) /* over the four threads that share a row */
{
    v += shfl_xor(FULL_WARP, v, 1);
    return v + shfl_xor(FULL_WARP, v, 2);
}

VT_DEVICE float quad_max(float v)
{
    v = fmaxf(v, shfl_xor(FULL_WARP, v, 1));
    return fmaxf(v, shfl_xor(FULL_WARP, v, 2));
}

/* Stores d [64, 64], its rows times f0 (row) and f1 (row + 8), to rows `first` and on of `to` [tokens, 64], `stride`
 * apart, through `stage`: 64 rows of a tile, of which each warp uses its own 16. */
VT_DEVICE void store_rows(bf16 *to, int first, int tokens, int stride, const float (&d)[32], float f0, float f1,
                          bf16 *stage)
{
    const unsigned thread = thread_again(), lane = thread % WARP, mine = thread % WARPGROUP / WARP * 16;
    if (first + (int)mine >= tokens) return; /* the whole warp's rows */
#pragma unroll
    for (int n = 0; n < 4; n++) { /* 16 columns: matrices (rows 0-7, 8-15) x (columns 0-7, 8-15) */
        const float *v = d + 8 * n;
        const uint32_t r[4] = {pack_bf16(v[0] * f0, v[1] * f0), pack_bf16(v[2] * f1, v[3] * f1),
                               pack_bf16(v[4] * f0, v[5] * f0), pack_bf16(v[6] * f1, v[7] * f1)};
        store_matrix4(stage + tile_at(mine + lane % 16, 2 * n + lane / 16), r);
    }
    warp_sync();
    const int chunk = (int)(lane % TILE_CHUNKS);
    word4 words[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        words[i] = *reinterpret_cast<const word4 *>(stage + tile_at((int)(mine + i * 4 + lane / TILE_CHUNKS), chunk));
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = first + (int)(mine + i * 4 + lane / TILE_CHUNKS);
        if (row < tokens) store_words(to + row * stride + chunk * VECTOR<bf16>, words[i]);
    }
    warp_sync(); /* the stage is free again */
}

/* ---- backward: two kernels for the same problem ------------------------------------------------------------------ */

/* A: attention_hopper_grad.cu, up to SINGLE_TOKENS. B: attention_hopper_grad_pair.cu, up to PAIR_TOKENS. */
enum { SINGLE_TOKENS = 200, PAIR_TOKENS = 208 };

void attention_hopper_backward_single(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                                      const float *lse, bf16 *dqkv);
void attention_hopper_backward_pair(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv,
                                    const bf16 *out, const float *lse, bf16 *dqkv);

#endif
