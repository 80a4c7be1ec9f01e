#include "test.h"

#include "base/alloc.h"
#include "graph/graph.h"

enum { STORES = 3, ENTRIES = 300 };

static vt_status fill(vt_store *s)
{
    vt_store_init(&s[0], "param", VT_F32);
    for (int i = 0, index; i < ENTRIES; i++) {
        char name[16];
        snprintf(name, sizeof name, "w.%d", i);
        vt_status st = vt_store_add(&s[0], &(vt_entry){.name = name, .ndim = 1, .shape = {i + 1}}, &index);
        if (st) return st;
    }
    vt_store_like(&s[1], "exp_avg", &s[0]);
    vt_store_like(&s[2], "exp_avg_sq", &s[0]);
    return VT_OK;
}

/* The tensors of every entry, as an optimizer's builder asks for them, into seen [ENTRIES][STORES]. */
static vt_status take_all(vt_graph *g, const vt_store *s, vt_tensor *(*seen)[STORES])
{
    for (int i = 0; i < ENTRIES; i++)
        for (int k = 0; k < STORES; k++) seen[i][k] = vt_graph_stored(g, &s[k], i, k == 0);
    return vt_graph_status(g);
}

TEST(an_entry_has_one_tensor)
{
    vt_store s[STORES];
    vt_graph *g;
    static vt_tensor *seen[ENTRIES][STORES], *again[ENTRIES][STORES];
    CHECK_OK(fill(s));
    CHECK_OK(vt_graph_create(&g, VT_F32));
    CHECK_OK(take_all(g, s, seen));
    for (int i = 0; i < ENTRIES; i++)
        for (int k = 0; k < STORES; k++) {
            const vt_tensor *t = seen[i][k];
            CHECK(t->store == &s[k] && t->entry == i && t->memory == VT_STORED);
            CHECK_EQ(t->id, STORES * i + k);
            CHECK_EQ(t->shape[0], i + 1);
            CHECK_EQ(t->wants_grad, k == 0);
        }
    CHECK_STR(seen[7][0]->name, "w.7");
    CHECK_STR(seen[7][2]->name, "exp_avg_sq.w.7");
    CHECK_OK(take_all(g, s, again));
    CHECK(memcmp(seen, again, sizeof seen) == 0);
    CHECK_EQ(g->n_tensors, STORES * ENTRIES);
    CHECK_EQ(g->n_stored, STORES * ENTRIES);
    vt_graph_destroy(g);
    vt_store_free(&s[0]);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    vt_store s[STORES];
    static vt_tensor *seen[ENTRIES][STORES];
    CHECK_OK(fill(s));
    long before = vt_alloc_live();
    for (int sticky = 0; sticky < 2; sticky++) {
        long n = 0;
        vt_status st;
        do {
            vt_graph *g;
            vt_alloc_fail_at(++n, sticky);
            st = vt_graph_create(&g, VT_F32);
            if (st == VT_OK) st = take_all(g, s, seen);
            vt_alloc_fail_at(0, 0);
            CHECK_MSG(st == VT_OK || st == VT_NO_MEMORY, "allocation %ld: status %d, %s", n, (int)st, vt_error());
            vt_graph_destroy(g);
            CHECK_MSG(vt_alloc_live() == before, "allocation %ld: %ld blocks leak", n, vt_alloc_live() - before);
        } while (st != VT_OK && n < 100);
        CHECK(n > 4);
    }
    vt_store_free(&s[0]);
#endif
}

int main(void)
{
    RUN(an_entry_has_one_tensor);
    RUN(memory_running_out);
    TEST_END();
}
