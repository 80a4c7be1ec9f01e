#include "test.h"

#include "base/alloc.h"
#include "graph/store.h"

static vt_status add(vt_store *s, const char *name, int ndim, const int64_t *shape, const int *file_axis)
{
    vt_entry e = {.name = name, .ndim = ndim};
    for (int i = 0; i < ndim; i++) {
        e.shape[i] = shape[i];
        if (file_axis) e.file_axis[i] = file_axis[i];
    }
    int index;
    return vt_store_add(s, &e, &index);
}

TEST(entries_are_found_and_aligned)
{
    vt_store s;
    vt_store_init(&s, "param", VT_F32);
    char name[16];
    for (int64_t i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%c.%d", (int)('a' + i / 10), (int)(i % 10));
        CHECK_OK(add(&s, name, 2, (int64_t[]){i + 1, 3}, NULL));
    }
    CHECK_EQ(s.count, 200);
    CHECK_EQ(vt_store_parameters(&s), 3 * 200 * 201 / 2);
    CHECK_EQ(vt_store_find(&s, "c.7"), 27);
    CHECK_EQ(vt_store_find(&s, "c"), -1);
    for (int i = 0; i < s.count; i++) {
        const vt_entry *e = &s.entries[i];
        CHECK_EQ(e->offset * 4 % VT_ALIGN, 0);
        CHECK(i == 0 || e->offset >= s.entries[i - 1].offset + s.entries[i - 1].count);
    }
    const vt_entry *end = &s.entries[199];
    CHECK((size_t)(end->offset + end->count) * 4 <= vt_store_bytes(&s));
    vt_store_free(&s);
}

TEST(a_store_like_another)
{
    vt_store s, m;
    vt_store_init(&s, "param", VT_F64);
    CHECK_OK(add(&s, "w", 2, (int64_t[]){3, 5}, NULL));
    CHECK_OK(add(&s, "b", 1, (int64_t[]){3}, NULL));
    vt_store_like(&m, "exp_avg", &s);
    CHECK_EQ(vt_store_bytes(&m), vt_store_bytes(&s));
    CHECK_EQ(m.entries[vt_store_find(&m, "b")].offset, s.entries[1].offset);
    CHECK(m.like == &s);
    vt_store_free(&m); /* the entries are the first store's */
    CHECK_STR(s.entries[1].name, "b");
    vt_store_free(&s);
}

TEST(a_low_store)
{
    vt_store s;
    int index;
    vt_store_init(&s, "param", VT_F32);
    CHECK_OK(vt_store_add(&s, &(vt_entry){.name = "w", .ndim = 2, .shape = {3, 5}, .gemm = true}, &index));
    CHECK_OK(vt_store_add(&s, &(vt_entry){.name = "norm", .ndim = 1, .shape = {700}}, &index));
    CHECK_OK(vt_store_add(&s, &(vt_entry){.name = "b", .ndim = 1, .shape = {3}, .gemm = true}, &index));
    CHECK_OK(vt_store_lower(&s, VT_BF16));
    CHECK_EQ(s.low->count, 3);
    CHECK_EQ(vt_store_parameters(s.low), 3 * 5 + 3);
    CHECK_EQ(vt_store_find(s.low, "b"), 2);
    CHECK_EQ(vt_store_bytes(s.low), 2 * VT_ALIGN);
    CHECK_EQ(vt_store_low_bytes(&s, VT_BF16), 2 * VT_ALIGN);
    CHECK_EQ(vt_store_low_bytes(&s, VT_F32), 0);
    vt_store_free(&s);
}

/* A patch embedding: [D, C, ph, pw] in the file, [D, ph, pw, C] in memory. */
TEST(layouts)
{
    enum { D = 3, H = 2, W = 4, C = 5, N = D * H * W * C };
    vt_store s;
    vt_store_init(&s, "param", VT_F32);
    CHECK_OK(add(&s, "proj", 4, (int64_t[]){D, H, W, C}, (int[]){0, 2, 3, 1}));
    const vt_entry *e = &s.entries[0];
    int64_t shape[VT_MAX_DIMS];
    vt_entry_file_shape(e, shape);
    CHECK(shape[0] == D && shape[1] == C && shape[2] == H && shape[3] == W);
    float memory[N], file[N], back[N];
    for (int i = 0; i < N; i++) memory[i] = (float)i;
    vt_entry_to_file(e, memory, file, sizeof *file);
    for (int d = 0; d < D; d++)
        for (int c = 0; c < C; c++)
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++)
                    CHECK(file[((d * C + c) * H + y) * W + x] == memory[((d * H + y) * W + x) * C + c]);
    vt_entry_from_file(e, file, back, sizeof *back);
    CHECK(memcmp(memory, back, sizeof back) == 0);
    vt_store_free(&s);
}

TEST(the_identity_is_the_default)
{
    vt_store s;
    vt_store_init(&s, "param", VT_F32);
    CHECK_OK(add(&s, "w", 3, (int64_t[]){2, 3, 4}, NULL));
    for (int i = 0; i < 3; i++) CHECK_EQ(s.entries[0].file_axis[i], i);
    double memory[24], file[24];
    for (int i = 0; i < 24; i++) memory[i] = i;
    vt_entry_to_file(&s.entries[0], memory, file, sizeof *file);
    CHECK(memcmp(memory, file, sizeof file) == 0);
    vt_store_free(&s);
}

TEST(initial_values)
{
    enum { N = 20000 };
    static float a[N], b[N];
    vt_entry e = {.name = "w", .ndim = 1, .shape = {N}, .count = N, .init = VT_INIT_NORMAL, .init_value = 0.02f};
    vt_entry_initialise(&e, 1, a);
    vt_entry_initialise(&e, 1, b);
    CHECK(memcmp(a, b, sizeof a) == 0);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        sum += a[i];
        squares += (double)a[i] * a[i];
    }
    CHECK_NEAR(sum / N, 0, 4 * 0.02 / sqrt(N)); /* four standard errors */
    CHECK_NEAR(sqrt(squares / N), 0.02, 4 * 0.02 / sqrt(2.0 * N));
    vt_entry_initialise(&e, 2, b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    e.name = "v";
    vt_entry_initialise(&e, 1, b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    e.init = VT_INIT_UNIFORM;
    e.init_value = 0.5f;
    vt_entry_initialise(&e, 1, a);
    float most = 0;
    for (int i = 0; i < N; i++) most = fmaxf(most, fabsf(a[i]));
    CHECK(most < 0.5f && most > 0.499f);
    e.init = VT_INIT_CONSTANT;
    vt_entry_initialise(&e, 1, a);
    CHECK(a[0] == 0.5f && a[N - 1] == 0.5f);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long before = vt_alloc_live(), n = 0;
    vt_status st;
    do {
        vt_store s;
        vt_store_init(&s, "param", VT_F32);
        vt_alloc_fail_at(++n, 0);
        st = VT_OK;
        for (int i = 0; i < 100 && st == VT_OK; i++) st = add(&s, "w", 1, (int64_t[]){1}, NULL);
        vt_alloc_fail_at(0, 0);
        CHECK(st == VT_OK || st == VT_NO_MEMORY);
        vt_store_free(&s);
        CHECK_EQ(vt_alloc_live(), before);
    } while (st != VT_OK && n < 100);
    CHECK(n > 2);
#endif
}

int main(void)
{
    RUN(entries_are_found_and_aligned);
    RUN(a_store_like_another);
    RUN(a_low_store);
    RUN(layouts);
    RUN(the_identity_is_the_default);
    RUN(initial_values);
    RUN(memory_running_out);
    TEST_END();
}
