/* gemm_hopper.cu - products whose GELU, or its derivative, is their own epilogue, for sm_90a and bf16:
 * y = f(x w^T + b), and dx = (dy w) f'(pre) with the pre-activation read where the result goes.
 *
 * Such a product moves more bytes than it computes: DeiT-S's two at batch 256 take 116 us for 348 MB, 74 us for their
 * FLOPs. So the weights stay: a block keeps SLAB of their columns in shared memory, by all of the depth (DEEPEST at
 * most), and its two warpgroups walk over x by themselves, TILE_ROWS at a time. One multiplies while the other is in
 * its epilogue: the first product of the second waits for the first one's, from then on they stay apart.
 *
 * Blocks of different columns go over the rows at the same pace: x comes from memory once, from L2 once a slab. */
#include "activation.cuh"
#include "gemm_choice.cuh"
#include "ptx_hopper.cuh"
#include "ptx_mma.cuh"

enum { SLAB = 128, TILE_ROWS = 64, GROUPS = 2, DEEPEST = 384 };
enum { K_STEP = 16 };                                  /* of an instruction */
enum { X_TILE = TILE_ROWS * TILE_WIDTH, W_TILE = SLAB * TILE_WIDTH, STAGE = TILE_ROWS * SLAB }; /* elements */
enum { WARP_ROWS = 16, ROW_CHUNKS = SLAB * TILE_CHUNKS / TILE_WIDTH };
enum { STAGGER = 1, FIRST_GROUP };                     /* barriers */

typedef struct hopper_product {
    int64_t rows;
    int columns, depth, stride; /* stride: of w's rows */
} hopper_product;

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* Begins to copy columns `column` and on of w, by all of its depth; zeros where there are none. K-major: w is
 * [columns, depth], a tile [SLAB, 64]; MN-major: w is [depth, columns], a tile two of [64, 64], of 64 columns each. */
template <int W_MAJOR> VT_DEVICE void load_slab(bf16 *slab, const hopper_product &p, const bf16 *w, int column)
{
    const int chunk = (int)threadIdx.x % TILE_CHUNKS, along = chunk * VECTOR<bf16>;
    for (int row = (int)threadIdx.x / TILE_CHUNKS; row < (p.depth + TILE_WIDTH - 1) / TILE_WIDTH * SLAB;
         row += GROUPS * WARPGROUP / TILE_CHUNKS) {
        const int tile = row / SLAB, in_tile = row % SLAB;
        int n = column + in_tile, k = tile * TILE_WIDTH + along;
        if (W_MAJOR == MN_MAJOR) {
            n = column + in_tile / TILE_WIDTH * TILE_WIDTH + along;
            k = tile * TILE_WIDTH + in_tile % TILE_WIDTH;
        }
        copy_async(slab + tile_at(row, chunk), w + (W_MAJOR == MN_MAJOR ? (int64_t)k * p.stride + n
                                                                       : (int64_t)n * p.stride + k),
                   n < p.columns && k < p.depth);
    }
}

/* Begins to copy rows `first` and on of x into this warpgroup's tiles, zeros behind its rows and its depth. */
VT_DEVICE void load_x(bf16 *tiles, const hopper_product &p, const bf16 *x, int64_t first)
{
    constexpr int STEP = WARPGROUP / TILE_CHUNKS;
    const int thread = (int)threadIdx.x % WARPGROUP, chunk = thread % TILE_CHUNKS, row = thread / TILE_CHUNKS;
    const bf16 *from = x + (first + row) * p.depth + chunk * VECTOR<bf16>;
    for (int k = chunk * VECTOR<bf16>; k < (p.depth + TILE_WIDTH - 1) / TILE_WIDTH * TILE_WIDTH;
         k += TILE_WIDTH, from += TILE_WIDTH, tiles += X_TILE) {
#pragma unroll
        for (int i = 0; i < TILE_ROWS / STEP; i++)
            copy_async(tiles + tile_at(row + i * STEP, chunk), from + (int64_t)i * STEP * p.depth,
                       k < p.depth && first + row + i * STEP < p.rows);
    }
}

/* Chunk c of row r of the stage: two tiles of [64, 64]. */
VT_DEVICE bf16 *stage_at(bf16 *stage, int r, int c)
{
    return stage + c / TILE_CHUNKS * X_TILE + tile_at(r, c % TILE_CHUNKS);
}

VT_DEVICE int warp_row() { return (int)threadIdx.x % WARPGROUP / WARP * WARP_ROWS; }

/* f(element in the tensor, place in the stage, there is such an element), for 16 bytes after the other of this warp's
 * rows of [rows, columns]: a warp's lanes have two rows at once. */
template <typename F>
VT_DEVICE void for_stage(const hopper_product &p, bf16 *stage, int64_t first, int column, F f)
{
    const int lane = lane_id(), chunk = lane % ROW_CHUNKS, top = warp_row() + lane / ROW_CHUNKS;
    const int64_t at = (first + top) * p.columns + column + chunk * VECTOR<bf16>;
#pragma unroll
    for (int i = 0; i < WARP_ROWS; i += WARP / ROW_CHUNKS)
        f(at + (int64_t)i * p.columns, stage_at(stage, top + i, chunk),
          first + top + i < p.rows && column + chunk * VECTOR<bf16> < p.columns);
}

VT_DEVICE void load_stage(const hopper_product &p, bf16 *stage, const bf16 *from, int64_t first, int column)
{
    for_stage(p, stage, first, column,
              [=](int64_t at, bf16 *place, bool there) { copy_async(place, from + at, there); });
}

VT_DEVICE void store_stage(const hopper_product &p, bf16 *stage, bf16 *to, int64_t first, int column)
{
    warp_sync();
    for_stage(p, stage, first, column, [=](int64_t at, bf16 *place, bool there) {
        if (there) store_words(to + at, *reinterpret_cast<const word4 *>(place));
    });
    warp_sync(); /* the stage is free again */
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* d [64, SLAB] += `deep` tiles times as many of the slab. */
template <int W_MAJOR> VT_DEVICE void multiply(float (&d)[SLAB / 2], const bf16 *tiles, const bf16 *slab, int deep)
{
    constexpr uint32_t X_STEP = K_STEP * sizeof(bf16), W_STEP = W_MAJOR == K_MAJOR ? X_STEP : X_STEP * TILE_WIDTH;
    uint64_t a = tile_matrix(tiles);
    uint64_t b = W_MAJOR == K_MAJOR ? tile_matrix(slab) : tile_matrix(slab, X_TILE * sizeof(bf16));
#pragma unroll 1
    for (int tile = 0; tile < deep; tile++) {
        wgmma_fence(d);
#pragma unroll
        for (int step = 0; step < TILE_WIDTH / K_STEP; step++)
            wgmma<true, K_MAJOR, W_MAJOR>(d, tile_matrix_at(a, step * X_STEP), tile_matrix_at(b, step * W_STEP));
        wgmma_commit();
        a = tile_matrix_at(a, X_TILE * sizeof(bf16));
        b = tile_matrix_at(b, W_TILE * sizeof(bf16));
    }
    wgmma_wait<0>(d);
}

/* Registers 8n to 8n+7 of d are columns 16n to 16n+15 of a warp's rows: four matrices of ldmatrix and stmatrix, whose
 * row for this lane is here. */
VT_DEVICE bf16 *matrices_at(bf16 *stage, int n)
{
    return stage_at(stage, warp_row() + lane_id() % WARP_ROWS, 2 * n + lane_id() / WARP_ROWS);
}

VT_DEVICE floats<8> eight(const uint32_t (&r)[4])
{
    const word4 words = {{r[0], r[1], r[2], r[3]}};
    return unpack<bf16, 8>(words);
}

/* r: its registers, as bf16 */
VT_DEVICE void store_eight(bf16 *stage, int n, const floats<8> &f, uint32_t *r)
{
    const uint32_t pairs[4] = {pack_bf16(f.v[0], f.v[1]), pack_bf16(f.v[2], f.v[3]), pack_bf16(f.v[4], f.v[5]),
                               pack_bf16(f.v[6], f.v[7])};
    store_matrix4(matrices_at(stage, n), pairs);
#pragma unroll
    for (int i = 0; i < 4; i++) r[i] = pairs[i];
}

/* b's values in this thread's columns, two a register: 8i + 2 (lane % 4) and the next. */
VT_DEVICE void load_bias(uint32_t (&bias)[SLAB / 8], const hopper_product &p, const bf16 *b, int column)
{
    column += lane_id() % 4 * 2;
#pragma unroll
    for (int i = 0; i < SLAB / 8; i++)
        bias[i] = b && column + 8 * i < p.columns ? *reinterpret_cast<const uint32_t *>(b + column + 8 * i) : 0;
}

/* pre = d + bias, to memory where it is wanted; y = f(pre), pre rounded as the gradient will read it. */
VT_DEVICE void finish(const hopper_product &p, const float (&d)[SLAB / 2], const uint32_t (&bias)[SLAB / 8],
                      bf16 *stage, bf16 *pre, bf16 *y, int64_t first, int column)
{
    uint32_t rounded[SLAB / 16][4];
#pragma unroll
    for (int n = 0; n < SLAB / 16; n++) {
        const uint32_t b[4] = {bias[2 * n], bias[2 * n], bias[2 * n + 1], bias[2 * n + 1]};
        floats<8> sum = eight(b);
#pragma unroll
        for (int i = 0; i < 8; i++) sum.v[i] += d[8 * n + i];
        store_eight(stage, n, sum, rounded[n]);
    }
    if (pre) store_stage(p, stage, pre, first, column);
#pragma unroll
    for (int n = 0; n < SLAB / 16; n++) store_eight(stage, n, activate(VT_GELU, eight(rounded[n])), rounded[n]);
    store_stage(p, stage, y, first, column);
}

/* dx = d f'(pre), over pre in the stage. */
VT_DEVICE void finish_gradient(const hopper_product &p, const float (&d)[SLAB / 2], bf16 *stage, bf16 *dx,
                               int64_t first, int column)
{
#pragma unroll
    for (int n = 0; n < SLAB / 16; n++) {
        uint32_t pre[4];
        floats<8> dy;
#pragma unroll
        for (int i = 0; i < 8; i++) dy.v[i] = d[8 * n + i];
        load_matrix4(pre, matrices_at(stage, n));
        store_eight(stage, n, activate_grad(VT_GELU, dy, eight(pre)), pre);
    }
    store_stage(p, stage, dx, first, column);
}

/* GRAD: x is dy, pre is read, y is dx; else pre is written, or NULL. */
template <bool GRAD>
__global__ void __launch_bounds__(GROUPS * WARPGROUP, 1)
gemm_hopper_kernel(hopper_product p,
                   const bf16 *x, // [rows, depth]
                   const bf16 *w, // [columns, depth]; GRAD: [depth, columns]
                   const bf16 *b, // [columns] or NULL
                   bf16 *pre,     // [rows, columns]
                   bf16 *y)       // [rows, columns]
{
    constexpr int W_MAJOR = GRAD ? MN_MAJOR : K_MAJOR;
    constexpr int LATE = GRAD ? 1 : 0; /* copies, those of pre, that may arrive after x */
    const int slabs = (p.columns + SLAB - 1) / SLAB, deep = (p.depth + TILE_WIDTH - 1) / TILE_WIDTH;
    const int group = (int)threadIdx.x / WARPGROUP, column = (int)blockIdx.x % slabs * SLAB;
    smem_cursor at = smem_open();
    bf16 *slab = smem_take<bf16>(at, deep * W_TILE, TILE_ALIGN);
    bf16 *tiles = smem_take<bf16>(at, GROUPS * deep * X_TILE, TILE_ALIGN) + group * deep * X_TILE;
    bf16 *stage = smem_take<bf16>(at, GROUPS * STAGE, TILE_ALIGN) + group * STAGE;
    int64_t first = (int64_t)((int)blockIdx.x / slabs * GROUPS + group) * TILE_ROWS;
    const int64_t step = (int64_t)((int)gridDim.x / slabs) * GROUPS * TILE_ROWS;

    load_slab<W_MAJOR>(slab, p, w, column);
    load_x(tiles, p, x, first);
    copy_commit();
    if (GRAD) load_stage(p, stage, pre, first, column);
    if (GRAD) copy_commit();
    uint32_t bias[SLAB / 8];
    load_bias(bias, p, b, column);
    copy_wait<LATE>();
    fence_proxy_async();
    block_sync(); /* the slab is everyone's */
    bool apart = group > 0;
    if (apart) group_sync(STAGGER, GROUPS * WARPGROUP);
    for (; first < p.rows; first += step) {
        copy_wait<LATE>();
        fence_proxy_async();
        group_sync(FIRST_GROUP + group, WARPGROUP);
        float d[SLAB / 2] = {};
        multiply<W_MAJOR>(d, tiles, slab, deep);
        group_sync(FIRST_GROUP + group, WARPGROUP); /* all four warps are done with the tiles */
        if (!apart) group_sync(STAGGER, GROUPS * WARPGROUP);
        apart = true;
        load_x(tiles, p, x, first + step);
        copy_commit();
        if (GRAD) {
            copy_wait<1>();
            warp_sync();
            finish_gradient(p, d, stage, y, first, column);
            load_stage(p, stage, pre, first + step, column);
            copy_commit();
        } else {
            finish(p, d, bias, stage, pre, y, first, column);
        }
    }
    copy_wait<0>();
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static size_t smem_of(const gemm_shape *s)
{
    size_t deep = (size_t)ceil_div(s->k, TILE_WIDTH);
    return smem_bytes<bf16>(deep * W_TILE) + smem_bytes<bf16>(GROUPS * deep * X_TILE) +
           smem_bytes<bf16>(GROUPS * STAGE);
}

bool gemm_hopper_fits(const vt_cuda *c, const gemm_shape *s)
{
    bool ours = c->arch == 90 && s->activation == VT_GELU && s->in == VT_BF16 && s->out == VT_BF16;
    bool whole_chunks = s->m % VECTOR<bf16> == 0 && s->k % VECTOR<bf16> == 0 && s->lda % VECTOR<bf16> == 0;
    bool plain = !s->accumulate && !s->batch && !s->tb && s->ta == !s->gradient && s->ldb == s->k && s->ldd == s->m;
    return ours && whole_chunks && plain && s->k <= DEEPEST && smem_of(s) <= c->smem_block;
}

cudaError_t gemm_hopper_queue(const vt_cuda *c, const gemm_shape *s, const gemm_operands *o)
{
    hopper_product p = {s->n, (int)s->m, (int)s->k, (int)s->lda};
    int64_t slabs = ceil_div(s->m, SLAB), each = c->sms / slabs, most = ceil_div(s->n, GROUPS * TILE_ROWS);
    each = each < 1 ? 1 : each > most ? most : each;
    return vt_launch(s->gradient ? gemm_hopper_kernel<true> : gemm_hopper_kernel<false>, dim3((unsigned)(slabs * each)),
                     dim3(GROUPS * WARPGROUP), smem_of(s), c->stream, p, (const bf16 *)o->b, (const bf16 *)o->a,
                     (const bf16 *)o->bias, (bf16 *)o->pre, (bf16 *)o->d);
}
