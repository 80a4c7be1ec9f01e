#include "graph/small.h"

#include <time.h>

static bool overlap(const vt_tensor *a, const vt_tensor *b)
{
    return a->offset < b->offset + vt_tensor_bytes(b) && b->offset < a->offset + vt_tensor_bytes(a);
}

static bool may_overwrite(const vt_node *n, const vt_tensor *in, const vt_tensor *out)
{
    for (int k = 0; k < 2 && k < n->n_out; k++)
        if (n->out[k] == out && n->op->in_place[k] && n->in[n->op->in_place[k] - 1] == in) return true;
    return false;
}

/* Executes the plan on paper, without the planner's idea of lives: every byte has an owner, a node's outputs take
 * theirs, and whatever is read, at any time, or kept, at the end, must still own all of its bytes. */
static int check_by_owners(const vt_graph *g)
{
    int *owner = calloc(g->workspace_bytes + 1, sizeof *owner), in_place = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const vt_node *n = g->nodes[i];
        for (int k = 0; k < n->n_in; k++) {
            const vt_tensor *t = n->in[k];
            for (size_t b = 0; t && t->memory == VT_WORKSPACE && b < vt_tensor_bytes(t); b++)
                if (owner[t->offset + b] != t->id + 1) {
                    CHECK_MSG(false, "%s reads %s, overwritten by %s", n->name, t->name,
                              g->tensors[owner[t->offset + b] - 1]->name);
                    break;
                }
        }
        for (int k = 0; k < n->n_out; k++) {
            const vt_tensor *t = n->out[k];
            if (!t) continue;
            CHECK_EQ(t->offset % VT_ALIGN, 0);
            CHECK(t->offset + vt_tensor_bytes(t) <= g->workspace_bytes);
            for (int j = 0; j < n->n_in; j++) {
                if (!n->in[j] || n->in[j]->memory != VT_WORKSPACE || !overlap(n->in[j], t)) continue;
                CHECK_MSG(may_overwrite(n, n->in[j], t) && n->in[j]->offset == t->offset, "%s over %s", t->name,
                          n->in[j]->name);
                in_place++;
            }
            for (int j = 0; j < k; j++) CHECK_MSG(!n->out[j] || !overlap(n->out[j], t), "%s: outputs overlap", n->name);
            for (size_t b = 0; b < vt_tensor_bytes(t); b++) owner[t->offset + b] = t->id + 1;
        }
    }
    for (int i = 0; i < g->n_tensors; i++) {
        const vt_tensor *t = g->tensors[i];
        if (t->keep && t->memory == VT_WORKSPACE)
            CHECK_MSG(owner[t->offset] == t->id + 1, "%s was to be kept", t->name);
    }
    free(owner);
    return in_place;
}

TEST(nothing_alive_is_overwritten)
{
    for (int variant = 0; variant < 16; variant++) {
        small_options o = {.batch = 1 + variant % 2 * 2, .micro_batches = 1 + variant / 8, .recompute = variant & 2,
                           .no_fold = variant & 4, .drop = variant % 3 ? 0.2f : 0};
        small s;
        CHECK_OK(small_build(&s, variant % 2 ? VT_F32 : VT_F64, &o));
        CHECK(check_by_owners(s.g) > 0);
        size_t planned = s.g->workspace_bytes;
        small_plan_apart(s.g);
        CHECK_MSG(planned < s.g->workspace_bytes * 2 / 3, "%zu of %zu bytes", planned, s.g->workspace_bytes);
        CHECK_OK(vt_graph_plan(s.g)); /* again, and the same */
        CHECK_EQ(s.g->workspace_bytes, planned);
        small_close(&s);
    }
}

/* The workspace is full of NaN before each run, so a tensor read too early would show as well. */
TEST(sharing_changes_no_bit)
{
    small_options shared = {.batch = 2, .micro_batches = 2, .drop = 0.3f}, apart = shared;
    apart.apart = true;
    small_compare(VT_F32, "auto", &shared, &apart, 0);
    small_compare(VT_F64, "reference", &shared, &apart, 0);
    shared.recompute = apart.recompute = true;
    small_compare(VT_F32, "auto", &shared, &apart, 0);
}

/* a -> b -> c in one buffer; d reads b, which then may not be overwritten; a kept tensor never is. */
TEST(in_place_only_at_the_last_reader)
{
    for (int variant = 0; variant < 3; variant++) {
        vt_graph *g;
        CHECK_OK(vt_graph_create(&g, VT_F32));
        vt_tensor *a = vt_fill(g, "a", 1), *b = vt_add_scaled(g, "b", 2, a, 0, NULL, NULL);
        vt_tensor *c = vt_add_scaled(g, "c", 2, b, 0, NULL, NULL), *d = NULL;
        c->keep = true;
        if (variant == 1) (d = vt_add(g, "d", b, c))->keep = true;
        if (variant == 2) b->keep = true;
        CHECK_OK(vt_graph_plan(g));
        CHECK_EQ(a->offset, b->offset);
        CHECK_EQ(b->offset == c->offset, variant == 0);
        CHECK_EQ(g->workspace_bytes, variant == 0 ? VT_ALIGN : 2 * VT_ALIGN); /* d takes b's place */
        vt_graph_destroy(g);
    }
}

/* The same tensor read twice by one node: an output over it would be read after it is written. */
TEST(not_in_place_when_read_twice)
{
    vt_graph *g;
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *a = vt_fill(g, "a", 1), *b = vt_add(g, "b", a, a);
    b->keep = true;
    CHECK_OK(vt_graph_plan(g));
    CHECK(a->offset != b->offset);
    vt_graph_destroy(g);
}

/* A step of many micro-batches: planning is about linear in them, and none needs more room than the ones before. The
 * bound is over ten times what it takes; a scan of all placed buffers for each would take it several times over. */
TEST(micro_batches_take_linear_time)
{
    enum { MANY = 2048 };
    small few, many;
    CHECK_OK(small_build(&few, VT_F32, &(small_options){.batch = 1, .micro_batches = 8}));
    clock_t start = clock();
    CHECK_OK(small_build(&many, VT_F32, &(small_options){.batch = 1, .micro_batches = MANY}));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECK_MSG(seconds < 15, "%.1f s for %d nodes", seconds, many.g->n_nodes);
    CHECK_EQ(many.g->workspace_bytes, few.g->workspace_bytes);
    CHECK(check_by_owners(many.g) > MANY);
    small_close(&few);
    small_close(&many);
}

int main(void)
{
    RUN(nothing_alive_is_overwritten);
    RUN(sharing_changes_no_bit);
    RUN(in_place_only_at_the_last_reader);
    RUN(not_in_place_when_read_twice);
    RUN(micro_batches_take_linear_time);
    TEST_END();
}
