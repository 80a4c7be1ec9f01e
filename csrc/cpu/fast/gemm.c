#include "cpu/fast/gemm_tile.h"

/* C is cut into even parts: rows into tiles, tiles into tasks; columns into vectors, vectors into panels, panels into
 * tasks. A task's rows of A stay in the second-level cache while the panels of B pass by; sums over earlier K-blocks
 * are kept in its worker's scratch. */
enum {
    BLOCK_K = 1024,             /* rows of a packed panel, at most */
    SLICE_K = 64,               /* rows of B packed by a task, at most */
    TASK_PANELS = 8,            /* panels of a task, at most */
    TASK_FLOPS = 4 << 20,       /* tasks are not cut smaller than about this ... */
    TASKS = 32,                 /* ... nor once there are as many as this */
};

typedef struct plan {
    int tiles, vecs, panels, blocks; /* of m, of n, of vecs, of k */
    int row_tasks, col_tasks;        /* of tiles, of panels */
    int slices;                      /* of a K-block: tasks of packing */
    int rows, cols, k;               /* of the largest task, columns in whole vectors; of the longest K-block */
} plan;

static plan make_plan(int m, int n, int k)
{
    plan p = {.tiles = vt_ceil_div(m, VT_TILE_ROWS), .vecs = vt_ceil_div(n, VT_LANES)};
    p.panels = vt_ceil_div(p.vecs, VT_TILE_VECS);
    p.blocks = k > BLOCK_K ? vt_ceil_div(k, BLOCK_K) : 1;
    int tiles = p.tiles < VT_TASK_TILES ? p.tiles : VT_TASK_TILES;
    int panels = p.panels < TASK_PANELS ? p.panels : TASK_PANELS;
    for (;;) {
        p.row_tasks = vt_ceil_div(p.tiles, tiles);
        p.col_tasks = vt_ceil_div(p.panels, panels);
        double flops = 2.0 * tiles * VT_TILE_ROWS * panels * VT_TILE_COLS * k;
        if ((int64_t)p.row_tasks * p.col_tasks >= TASKS || flops < 2.0 * TASK_FLOPS || tiles * panels == 1) break;
        if (tiles > panels) tiles = vt_ceil_div(tiles, 2);
        else panels = vt_ceil_div(panels, 2);
    }
    p.rows = vt_ceil_div(p.tiles, p.row_tasks) * VT_TILE_ROWS;
    p.cols = vt_ceil_div(p.panels, p.col_tasks) * VT_TILE_COLS;
    p.k = vt_ceil_div(k, p.blocks);
    p.slices = vt_ceil_div(p.k, SLICE_K);
    return p;
}

typedef struct job {
    const vt_gemm *g;
    plan p;
    float *b;                   /* packed: K-blocks of panels of rows of whole vectors */
    char *workers;              /* packed A and the sums of a task, for each worker */
    size_t worker_bytes;
} job;

static size_t round_bytes(size_t floats)
{
    return (floats * sizeof(float) + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
}

/* Rows of B that are whole vectors are read where they lie; anything else is copied into panels. */
static int packs_b(const vt_gemm *g)
{
    return g->b_col != 1 || g->n % VT_LANES != 0;
}

static size_t packed_b_bytes(const vt_gemm *g, const plan *p)
{
    return packs_b(g) ? round_bytes((size_t)g->k * p->vecs * VT_LANES) : 0;
}

/* A is read in place, but where its columns are contiguous and such a distance apart that all fall into the same few
 * lines of the first-level cache. */
static size_t packed_a_bytes(const vt_gemm *g, const plan *p)
{
    return g->a_row == 1 && g->a_col % 1024 == 0 ? round_bytes((size_t)p->rows * p->k) : 0;
}

static size_t part_bytes(const plan *p)
{
    return p->blocks > 1 ? round_bytes((size_t)p->rows * p->cols) : 0;
}

size_t vt_gemm_scratch(const vt_gemm *g, int threads)
{
    plan p = make_plan(g->m, g->n, g->k);
    return packed_b_bytes(g, &p) + (packed_a_bytes(g, &p) + part_bytes(&p)) * threads;
}

/* The first vector of a panel and its width in vectors. */
static void cut_panel(const plan *p, int panel, int *vec, int *vecs)
{
    *vec = vt_cut(p->vecs, p->panels, panel);
    *vecs = vt_cut(p->vecs, p->panels, panel + 1) - *vec;
}

/* Where the panel that begins with vector `vec` is packed, of K-block `block`. */
static float *find_panel(const job *j, int block, int vec)
{
    int k0 = vt_cut(j->g->k, j->p.blocks, block), k = vt_cut(j->g->k, j->p.blocks, block + 1) - k0;
    return j->b + ((size_t)k0 * j->p.vecs + (size_t)k * vec) * VT_LANES;
}

/* B with contiguous columns: a task is a panel. */
static void pack_panel(void *arg, int task, int worker)
{
    const job *j = arg;
    int block = task / j->p.panels, vec, vecs;
    cut_panel(&j->p, task % j->p.panels, &vec, &vecs);
    int k0 = vt_cut(j->g->k, j->p.blocks, block), k1 = vt_cut(j->g->k, j->p.blocks, block + 1);
    vt_gemm_pack_b(j->g, k0, k1 - k0, vec * VT_LANES, vecs, find_panel(j, block, vec));
}

/* B with contiguous rows: a task is some rows, read from end to end a few at a time, as the hardware fetches ahead. */
static void pack_slice(void *arg, int task, int worker)
{
    const job *j = arg;
    int block = task / j->p.slices, slice = task % j->p.slices;
    int k0 = vt_cut(j->g->k, j->p.blocks, block), k = vt_cut(j->g->k, j->p.blocks, block + 1) - k0;
    int end = vt_cut(k, j->p.slices, slice + 1);
    for (int i = vt_cut(k, j->p.slices, slice), n; i < end; i += n) {
        n = end - i < 8 ? end - i : 8;
        for (int panel = 0; panel < j->p.panels; panel++) {
            int vec, vecs;
            cut_panel(&j->p, panel, &vec, &vecs);
            vt_gemm_pack_b(j->g, k0 + i, n, vec * VT_LANES, vecs, find_panel(j, block, vec) + i * vecs * VT_LANES);
        }
    }
}

/* A task's share of C, and where its worker keeps things. */
typedef struct share {
    int tile0, tile1, panel0, panel1, row0, row1, col0;
    float *packed_a, *part;
} share;

static share find_share(const job *j, int task, int worker)
{
    const plan *p = &j->p;
    int row_task = task % p->row_tasks, col_task = task / p->row_tasks; /* neighbours in time share panels of B */
    share s = {.tile0 = vt_cut(p->tiles, p->row_tasks, row_task), .tile1 = vt_cut(p->tiles, p->row_tasks, row_task + 1),
               .panel0 = vt_cut(p->panels, p->col_tasks, col_task),
               .panel1 = vt_cut(p->panels, p->col_tasks, col_task + 1)};
    s.row0 = vt_cut(j->g->m, p->tiles, s.tile0);
    s.row1 = vt_cut(j->g->m, p->tiles, s.tile1);
    s.col0 = vt_cut(p->vecs, p->panels, s.panel0) * VT_LANES;
    s.packed_a = (float *)(j->workers + j->worker_bytes * worker);
    s.part = s.packed_a + packed_a_bytes(j->g, p) / sizeof(float);
    return s;
}

/* The task's tiles times one K-block; t->a is at the share's first row. */
static void multiply_block(const job *j, const share *s, int block, vt_tile *t, ptrdiff_t tile_step)
{
    const vt_gemm *g = j->g;
    const plan *p = &j->p;
    const float *a = t->a;
    int last_block = block == p->blocks - 1;
    for (int panel = s->panel0; panel < s->panel1; panel++) {
        int vec, vecs;
        cut_panel(p, panel, &vec, &vecs);
        int col = vec * VT_LANES, cols = g->n - col < vecs * VT_LANES ? g->n - col : vecs * VT_LANES;
        int packed = packs_b(g);
        t->b = packed ? find_panel(j, block, vec) : g->b + vt_cut(g->k, p->blocks, block) * g->b_row + col;
        t->b_row = packed ? vecs * VT_LANES : g->b_row;
        t->bias = last_block && g->bias ? g->bias + col : NULL;
        t->last = last_block ? cols - (vecs - 1) * VT_LANES : VT_LANES;
        t->accumulate = last_block ? g->accumulate : block > 0;
        t->ldc = last_block ? g->ldc : p->cols;
        for (int tile = s->tile0; tile < s->tile1; tile++) {
            int row = vt_cut(g->m, p->tiles, tile), rows = vt_cut(g->m, p->tiles, tile + 1) - row;
            float *part = s->part + (ptrdiff_t)(row - s->row0) * p->cols + (col - s->col0);
            t->a = tile_step ? a + (tile - s->tile0) * tile_step : a + (row - s->row0) * g->a_row;
            t->part = last_block && block > 0 ? part : NULL;
            t->c = last_block ? g->c + row * g->ldc + col : part;
            vt_gemm_tiles[rows - 1][vecs - 1](t);
            if (last_block && g->hook) g->hook(g->hook_arg, row, col, rows, cols, t->c, t->ldc);
        }
    }
}

static void multiply_task(void *arg, int task, int worker)
{
    const job *j = arg;
    const vt_gemm *g = j->g;
    share s = find_share(j, task, worker);
    float sums[VT_TASK_TILES * VT_TILE_ROWS + VT_LANES] = {0};
    int sum = g->a_sum && s.panel0 == 0, pack = packed_a_bytes(g, &j->p) > 0;
    for (int block = 0; block < j->p.blocks; block++) {
        int k0 = vt_cut(g->k, j->p.blocks, block), k = vt_cut(g->k, j->p.blocks, block + 1) - k0;
        vt_tile t = {.a = g->a + s.row0 * g->a_row + k0 * g->a_col, .a_row = g->a_row, .a_col = g->a_col, .k = k,
                     .part_row = j->p.cols};
        if (pack) {
            vt_gemm_pack_a(g, k0, k, s.tile0, s.tile1, j->p.tiles, s.packed_a);
            t.a = s.packed_a;
            t.a_col = VT_TILE_ROWS;
        }
        multiply_block(j, &s, block, &t, pack ? (ptrdiff_t)VT_TILE_ROWS * k : 0);
        if (sum) vt_gemm_sum_a(g, k0, k, s.row0, s.row1 - s.row0, sums); /* now that A is near */
    }
    for (int i = s.row0; sum && i < s.row1; i++) g->a_sum[i] = (g->accumulate ? g->a_sum[i] : 0) + sums[i - s.row0];
}

void vt_gemm_run(const vt_gemm *g, vt_pool *pool, void *scratch)
{
    if (g->m <= 0 || g->n <= 0) return;
    job j = {.g = g, .p = make_plan(g->m, g->n, g->k), .b = scratch};
    j.workers = (char *)scratch + packed_b_bytes(g, &j.p);
    j.worker_bytes = packed_a_bytes(g, &j.p) + part_bytes(&j.p);
    if (packs_b(g) && g->b_col == 1) vt_pool_run(pool, j.p.blocks * j.p.slices, pack_slice, &j);
    else if (packs_b(g)) vt_pool_run(pool, j.p.blocks * j.p.panels, pack_panel, &j);
    vt_pool_run(pool, j.p.row_tasks * j.p.col_tasks, multiply_task, &j);
}

const vt_gemm_path VT_ISA_NAME(vt_gemm_path) = {vt_gemm_scratch, vt_gemm_run};
