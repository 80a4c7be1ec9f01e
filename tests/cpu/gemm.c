/* Every code path's GEMM against double: odd shapes, all strides, accumulation, the hook, any number of threads. */
#include "cpu/gemm.h"
#include "base/alloc.h"
#include "base/philox.h"
#include "test.h"

typedef struct path {
    const char *name;
    const vt_gemm_path *gemm;
} path;

static int find_paths(path *paths)
{
    int n = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        paths[n++] = (path){"avx512", &vt_gemm_path_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        paths[n++] = (path){"avx2", &vt_gemm_path_avx2};
#endif
    paths[n++] = (path){"plain", &vt_gemm_path_plain};
    return n;
}

/* A matrix among NaNs. */
typedef struct matrix {
    float *block, *at;
    size_t count;
    ptrdiff_t row, col;
    int rows, cols;
} matrix;

enum { MARGIN = 37 };

static matrix make(int rows, int cols, int by_column, int pad)
{
    matrix m = {.rows = rows, .cols = cols, .row = by_column ? 1 : cols + pad, .col = by_column ? rows + pad : 1};
    int lines = by_column ? cols : rows, length = by_column ? rows : cols;
    m.count = MARGIN + (lines ? (size_t)(lines - 1) * (length + pad) + length : 0);
    m.block = malloc(m.count * sizeof(float)); /* ends with the matrix: AddressSanitizer sees a read beyond it */
    for (size_t i = 0; i < m.count; i++) m.block[i] = NAN;
    m.at = m.block + MARGIN;
    return m;
}

static void fill(matrix *m, vt_rng *rng)
{
    for (int i = 0; i < m->rows; i++)
        for (int j = 0; j < m->cols; j++) m->at[i * m->row + j * m->col] = 2 * vt_rng_uniform(rng) - 1;
}

static double get(const matrix *m, int i, int j)
{
    return m->at[i * m->row + j * m->col];
}

typedef struct test_case {
    int m, n, k, a_by_column, b_by_column, accumulate, bias, a_sum, hook, pad;
} test_case;

/* The hook doubles C once an element and counts. */
static void double_tile(void *arg, int row0, int col0, int rows, int cols, float *c, ptrdiff_t ldc)
{
    unsigned char *seen = arg;
    const int *size = arg; /* m and n, then a byte an element */
    seen += 2 * sizeof(int);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            seen[(size_t)(row0 + i) * size[1] + col0 + j]++;
            c[i * ldc + j] *= 2;
        }
}

typedef struct operands {
    matrix a, b, c0, c;
    float *bias, *sum0, *sum;
    int *seen;
} operands;

static operands make_operands(const test_case *t)
{
    vt_rng rng = vt_rng_data(7, VT_PURPOSE_INIT, (uint32_t)t->m, (uint32_t)t->n, (uint32_t)t->k);
    operands o = {.a = make(t->m, t->k, t->a_by_column, t->pad), .b = make(t->k, t->n, t->b_by_column, t->pad),
                  .c0 = make(t->m, t->n, 0, t->pad), .c = make(t->m, t->n, 0, t->pad)};
    fill(&o.a, &rng);
    fill(&o.b, &rng);
    if (t->accumulate) fill(&o.c0, &rng); /* else C is NaN */
    o.bias = vt_alloc(sizeof(float) * t->n);
    o.sum0 = vt_alloc(sizeof(float) * t->m);
    o.sum = vt_alloc(sizeof(float) * t->m);
    for (int i = 0; i < t->n; i++) o.bias[i] = vt_rng_uniform(&rng);
    for (int i = 0; i < t->m; i++) o.sum0[i] = t->accumulate ? vt_rng_uniform(&rng) : NAN;
    o.seen = vt_alloc(2 * sizeof(int) + (size_t)t->m * t->n);
    return o;
}

static void free_operands(operands *o)
{
    free(o->a.block);
    free(o->b.block);
    free(o->c0.block);
    free(o->c.block);
    vt_free(o->bias);
    vt_free(o->sum0);
    vt_free(o->sum);
    vt_free(o->seen);
}

static void run(const path *p, const test_case *t, operands *o, int threads)
{
    memcpy(o->c.block, o->c0.block, o->c.count * sizeof(float));
    memcpy(o->sum, o->sum0, sizeof(float) * t->m);
    memset(o->seen, 0, 2 * sizeof(int) + (size_t)t->m * t->n);
    o->seen[0] = t->m;
    o->seen[1] = t->n;
    vt_gemm g = {.m = t->m, .n = t->n, .k = t->k, .a = o->a.at, .a_row = o->a.row, .a_col = o->a.col, .b = o->b.at,
                 .b_row = o->b.row, .b_col = o->b.col, .c = o->c.at, .ldc = o->c.row, .accumulate = t->accumulate,
                 .bias = t->bias ? o->bias : NULL, .a_sum = t->a_sum && t->a_by_column ? o->sum : NULL,
                 .hook = t->hook ? double_tile : NULL, .hook_arg = o->seen};
    size_t bytes = p->gemm->scratch(&g, threads);
    char *scratch = vt_alloc_raw(bytes + 64); /* exact: a guard behind it, NaN within */
    memset(scratch, 0xFF, bytes + 64);
    vt_pool *pool;
    CHECK_OK(vt_pool_create(&pool, threads));
    p->gemm->run(&g, pool, scratch);
    vt_pool_destroy(pool);
    for (int i = 0; i < 64; i++) CHECK_MSG(scratch[bytes + i] == (char)0xFF, "%s: wrote beyond its scratch", p->name);
    vt_free(scratch);
}

/* Every element within the bound of a sum of k terms of size <= 1 in any order; nothing else in C's block changed. */
static void check(const path *p, const test_case *t, const operands *o, int threads)
{
    double tolerance = (t->k + 4) * 6e-8 * (2 + sqrt(t->k)), worst = 0;
    const unsigned char *seen = (const unsigned char *)(o->seen + 2);
    int hooked = t->hook, unseen = 0, touched = 0;
    for (int i = 0; i < t->m; i++)
        for (int j = 0; j < t->n; j++) {
            double want = (t->accumulate ? get(&o->c0, i, j) : 0) + (t->bias ? o->bias[j] : 0);
            for (int l = 0; l < t->k; l++) want += get(&o->a, i, l) * get(&o->b, l, j);
            double error = fabs(get(&o->c, i, j) - (hooked ? 2 * want : want));
            if (!(error <= worst)) worst = error;
            unseen += seen[(size_t)i * t->n + j] != hooked;
        }
    for (size_t i = 0; i < o->c.count; i++) {
        ptrdiff_t e = (ptrdiff_t)i - MARGIN;
        if ((e < 0 || e / o->c.row >= t->m || e % o->c.row >= t->n) && !isnan(o->c.block[i])) touched++;
    }
    const char *form = t->a_by_column ? t->b_by_column ? "TT" : "TN" : t->b_by_column ? "NT" : "NN";
    CHECK_MSG(worst <= tolerance && !unseen && !touched,
              "%s %s %dx%dx%d, %d threads: error %.3g over %.3g, hook missed %d elements, %d outside touched",
              p->name, form, t->m, t->n, t->k, threads, worst, tolerance, unseen, touched);
    if (!t->a_sum || !t->a_by_column) return;
    for (int i = 0; i < t->m; i++) {
        double want = t->accumulate ? o->sum0[i] : 0;
        for (int l = 0; l < t->k; l++) want += get(&o->a, i, l);
        CHECK_MSG(fabs(o->sum[i] - want) <= tolerance, "%s a_sum[%d]: %.9g and %.9g", p->name, i, o->sum[i], want);
    }
}

static void check_all_threads(const test_case *t)
{
    path paths[3];
    int n = find_paths(paths);
    operands o = make_operands(t);
    float *first = vt_alloc(o.c.count * sizeof(float)), *first_sum = vt_alloc(sizeof(float) * t->m);
    for (int p = 0; p < n; p++) {
        static const int threads[] = {1, 2, 3, 5};
        for (int i = 0; i < 4; i++) {
            run(&paths[p], t, &o, threads[i]);
            if (i == 0) {
                check(&paths[p], t, &o, threads[i]);
                memcpy(first, o.c.block, o.c.count * sizeof(float));
                memcpy(first_sum, o.sum, sizeof(float) * t->m);
            }
            if (i > 0)
                CHECK_MSG(memcmp(first, o.c.block, o.c.count * sizeof(float)) == 0 &&
                          memcmp(first_sum, o.sum, sizeof(float) * t->m) == 0,
                          "%s %dx%dx%d: %d threads give other bits", paths[p].name, t->m, t->n, t->k, threads[i]);
        }
    }
    vt_free(first);
    vt_free(first_sum);
    free_operands(&o);
}

/* All forms, with and without each extra, over a shape. */
static void check_shape(int m, int n, int k)
{
    for (int form = 0; form < 4; form++)
        for (int extra = 0; extra < 3; extra++) {
            test_case t = {m, n, k, form & 1, form >> 1, extra > 0, extra != 1, 1, extra == 2, extra};
            check_all_threads(&t);
        }
}

TEST(small_shapes)
{
    static const int sizes[] = {1, 2, 3, 5, 7, 8, 9, 16, 17, 18, 24, 33, 49, 50};
    enum { N = sizeof sizes / sizeof *sizes };
    for (int i = 0; i < N; i++)
        for (int j = 0; j < 5; j++) check_shape(sizes[i], sizes[(i * 3 + j * 5) % N], sizes[(i * 5 + j * 3 + 1) % N]);
}

TEST(model_shapes)
{
    check_shape(198, 198, 64);
    check_shape(198, 64, 198);
    check_shape(18, 18, 24);
    check_shape(128, 10, 96);
    check_shape(36, 96, 49);
    check_shape(198, 192, 192);
}

TEST(cuts_into_blocks_and_tasks)
{
    check_shape(97, 193, 1030);  /* two K-blocks */
    check_shape(65, 33, 2307);   /* three */
    test_case t = {1024, 170, 260, 1, 0, 1, 1, 1, 1, 0}; /* the distance between columns that makes A packed */
    check_all_threads(&t);
    t = (test_case){9, 20, 40, 1, 0, 0, 1, 1, 1, 1015}; /* the same for less than whole tiles */
    check_all_threads(&t);
    t = (test_case){1031, 769, 130, 0, 1, 0, 1, 0, 1, 3}; /* many tasks in both directions */
    check_all_threads(&t);
}

TEST(empty_shapes)
{
    check_shape(5, 20, 0); /* A B is 0: bias and C alone */
    path paths[3];
    for (int i = find_paths(paths) - 1; i >= 0; i--) {
        vt_gemm g = {.m = 0, .n = 3, .k = 3};
        vt_pool *pool;
        CHECK_OK(vt_pool_create(&pool, 2));
        paths[i].gemm->run(&g, pool, NULL);
        g.m = 3;
        g.n = 0;
        paths[i].gemm->run(&g, pool, NULL);
        vt_pool_destroy(pool);
    }
}

/* Strides neither of which is 1, and one row or column broadcast. */
TEST(general_strides)
{
    enum { M = 11, N = 21, K = 13 };
    float a[M * K * 2], b[N * K * 3], c[M * N];
    for (int i = 0; i < M * K * 2; i++) a[i] = (float)(i % 7 - 3);
    for (int i = 0; i < N * K * 3; i++) b[i] = (float)(i % 5 - 2);
    path paths[3];
    for (int p = find_paths(paths) - 1; p >= 0; p--)
        for (int broadcast = 0; broadcast < 2; broadcast++) {
            vt_gemm g = {.m = M, .n = N, .k = K, .a = a, .b = b, .c = c, .ldc = N, .a_row = broadcast ? 0 : 2 * K,
                         .a_col = 2, .b_row = 3, .b_col = 3 * K};
            void *scratch = vt_alloc(paths[p].gemm->scratch(&g, 1));
            vt_pool *pool;
            CHECK_OK(vt_pool_create(&pool, 1));
            memset(c, 0xFF, sizeof c);
            paths[p].gemm->run(&g, pool, scratch);
            int wrong = 0;
            for (int i = 0; i < M; i++)
                for (int j = 0; j < N; j++) {
                    float want = 0; /* small integers: exact */
                    for (int l = 0; l < K; l++) want += a[i * g.a_row + l * 2] * b[l * 3 + j * g.b_col];
                    wrong += c[i * N + j] != want;
                }
            CHECK_MSG(wrong == 0, "%s: %d of %d wrong", paths[p].name, wrong, M * N);
            vt_pool_destroy(pool);
            vt_free(scratch);
        }
}

int main(void)
{
    RUN(small_shapes);
    RUN(model_shapes);
    RUN(cuts_into_blocks_and_tasks);
    RUN(empty_shapes);
    RUN(general_strides);
    CHECK_EQ(vt_alloc_live(), 0);
    TEST_END();
}
