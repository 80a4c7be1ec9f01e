/* Every op over the case list: gradients against finite differences, each code path of the CPU against the
 * specification, and the same bits for any number of threads. */
#include "test.h"

#include "base/alloc.h"
#include "graph/backend.h"
#include "ops/cases.h"
#include "train/selftest.h"

enum { MAX_CASES = 256 };

typedef struct record {
    const char *path;
    uint64_t digest[MAX_CASES];
    double gradient, device;
    int count;
} record;

static void note(void *arg, const vt_selftest_result *r)
{
    record *rec = arg;
    CHECK_MSG(r->status == VT_OK, "%s: %s (%s): %s", rec->path, r->op, r->name, r->message);
    if (rec->count < MAX_CASES) rec->digest[rec->count++] = r->digest;
    if (r->gradient > rec->gradient) rec->gradient = r->gradient;
    if (r->device > rec->device) rec->device = r->device;
}

static bool can_open(const char *path)
{
    vt_device *device;
    vt_device_options o = {.name = "cpu", .cpu = path, .threads = 1};
    if (vt_device_open(&device, &o)) return false;
    vt_device_close(device);
    return true;
}

TEST(every_path)
{
    static const char *const paths[] = {"reference", "plain", "avx2", "avx512"};
    static const uint64_t seed = 1;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!can_open(paths[i])) continue;
        record one = {.path = paths[i]}, three = {.path = paths[i]};
        vt_device_options o = {.name = "cpu", .cpu = paths[i], .threads = 1};
        CHECK_OK(vt_selftest(&o, NULL, seed, note, &one));
        o.threads = 3;
        CHECK_OK(vt_selftest(&o, NULL, seed, note, &three));
        CHECK_EQ(one.count, vt_case_count);
        for (int k = 0; k < one.count && k < three.count; k++)
            CHECK_MSG(one.digest[k] == three.digest[k], "%s: %s (%s): other bits with 3 threads than with 1",
                      paths[i], vt_cases[k].op, vt_cases[k].name);
        printf("     %s: worst gradient %.2g, worst device %.2g of what is allowed\n", paths[i], one.gradient,
               one.device);
    }
}

/* No op, and no op's gradient, is without a case. */
TEST(every_op)
{
    bool seen[VT_OP_COUNT] = {false};
    for (int i = 0; i < vt_case_count; i++) {
        vt_case_graph c;
        bool itself = false;
        CHECK_OK(vt_case_open(&c, &vt_cases[i], VT_F32, (vt_precision){VT_F32, VT_F32}, true));
        for (int k = 0; c.g && k < c.g->n_nodes; k++) {
            seen[vt_op_index(c.g->nodes[k]->op)] = true;
            itself |= strcmp(c.g->nodes[k]->op->name, vt_cases[i].op) == 0;
        }
        CHECK_MSG(itself, "case %s (%s) does not use its op", vt_cases[i].op, vt_cases[i].name);
        vt_case_close(&c);
    }
    for (int i = 0; i < VT_OP_COUNT; i++) CHECK_MSG(seen[i], "op %s has no case", vt_ops[i]->name);
}

/* Building any op's graph and gradient with every allocation failing in turn. */
TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long before = vt_alloc_live();
    for (int i = 0; i < vt_case_count; i++) {
        vt_case_graph c;
        vt_status st;
        long n = 0;
        do {
            vt_alloc_fail_at(++n, 0);
            st = vt_case_open(&c, &vt_cases[i], VT_F32, (vt_precision){VT_F32, VT_F32}, true);
            vt_alloc_fail_at(0, 0);
            CHECK_MSG(st == VT_OK || st == VT_NO_MEMORY, "%s (%s), allocation %ld: %s", vt_cases[i].op,
                      vt_cases[i].name, n, vt_error());
            vt_case_close(&c);
            CHECK_EQ(vt_alloc_live(), before);
        } while (st && n < 1000);
        CHECK(n > 3);
    }
#endif
}

TEST(an_unknown_op)
{
    record none = {.path = "reference"};
    vt_device_options o = {.name = "cpu", .cpu = "reference", .threads = 1};
    CHECK_FAILS(vt_selftest(&o, "no_such_op", 1, note, &none), VT_INVALID, "no_such_op");
    CHECK_EQ(none.count, 0);
}

int main(void)
{
    RUN(every_op);
    RUN(every_path);
    RUN(memory_running_out);
    RUN(an_unknown_op);
    TEST_END();
}
