#include "graph/small.h"

TEST(recomputation_changes_no_bit)
{
    small_options keep = {.batch = 2, .micro_batches = 2, .drop = 0.3f}, again = keep;
    again.recompute = true;
    small_compare(VT_F64, "reference", &keep, &again, 0);
    small_compare(VT_F32, "auto", &keep, &again, 0);
}

/* It does run twice: more nodes, whose copies carry the originals' names, and less memory. */
TEST(recomputation_copies_segments)
{
    small_options keep = {.batch = 4, .micro_batches = 1}, again = keep;
    again.recompute = true;
    small a, b;
    CHECK_OK(small_build(&a, VT_F32, &keep));
    CHECK_OK(small_build(&b, VT_F32, &again));
    int attentions = 0;
    for (int i = 0; i < b.g->n_nodes; i++) attentions += strcmp(b.g->nodes[i]->name, "blocks.1.attn") == 0;
    CHECK_EQ(attentions, 2);
    CHECK(b.g->n_nodes > a.g->n_nodes);
    CHECK(b.g->workspace_bytes < a.g->workspace_bytes);
    small_close(&a);
    small_close(&b);
}

static int last_reader(const vt_graph *g, const vt_tensor *t)
{
    int last = -1;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            if (g->nodes[i]->in[k] == t) last = i;
    return last;
}

/* What a segment makes dies in the forward pass, but for the one tensor that the next segment begins with. */
TEST(recomputation_keeps_what_segments_hand_on_alone)
{
    small_options o = {.batch = 2, .micro_batches = 1, .recompute = true, .drop = 0.1f};
    small s;
    int loss = -1, outlive = 0;
    CHECK_OK(small_build(&s, VT_F32, &o));
    for (int i = 0; i < s.g->n_nodes && loss < 0; i++)
        if (s.g->nodes[i]->op == &vt_op_cross_entropy) loss = i;
    for (int i = 0; i < loss; i++)
        for (int k = 0; s.g->nodes[i]->segment && k < s.g->nodes[i]->n_out; k++) {
            const vt_tensor *t = s.g->nodes[i]->out[k];
            if (!t || last_reader(s.g, t) < loss) continue;
            CHECK_MSG(strstr(t->name, ".add"), "%s lives on into the backward pass", t->name);
            outlive++;
        }
    CHECK_EQ(outlive, SMALL_BLOCKS);
    small_close(&s);
}

/* Gradients of one batch of 4, and summed over micro-batches of 2 and of 1: the masks of dropout go with the slots. */
TEST(micro_batches_add_up)
{
    small_options whole = {.batch = 4, .micro_batches = 1, .drop = 0.3f};
    small_options halves = {.batch = 2, .micro_batches = 2, .drop = 0.3f};
    small_options ones = {.batch = 1, .micro_batches = 4, .drop = 0.3f};
    small_compare(VT_F64, "reference", &whole, &halves, 1e-14);
    small_compare(VT_F64, "reference", &whole, &ones, 1e-14);
    small_compare(VT_F32, "auto", &whole, &halves, 1e-5);
}

/* y = 2a + b read twice, by y + y and with c unused: d/da = 4 * seed, d/db = 2 * seed, none for c. */
TEST(several_readers)
{
    vt_graph *g;
    vt_store params;
    int index;
    vt_store_init(&params, "param", VT_F32);
    vt_entry entries[] = {{.name = "a", .ndim = 1, .shape = {1}}, {.name = "b", .ndim = 1, .shape = {1}},
                          {.name = "c", .ndim = 1, .shape = {1}}};
    for (int i = 0; i < 3; i++) CHECK_OK(vt_store_add(&params, &entries[i], &index));
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *t[3], *grads[3];
    for (int i = 0; i < 3; i++) t[i] = vt_graph_stored(g, &params, i, true);
    vt_tensor *y = vt_add_scaled(g, "y", 2, t[0], 1, t[1], NULL), *loss = vt_add(g, "loss", y, y);
    vt_autodiff with = {vt_fill, vt_add, false};
    CHECK_OK(vt_graph_backward(g, &with, 0, g->n_nodes, loss, 0.5, &params, grads));
    CHECK(grads[0] && grads[1] && !grads[2]);
    grads[0]->keep = grads[1]->keep = true;
    CHECK_OK(vt_graph_plan(g));
    vt_device *device;
    vt_exec *exec;
    CHECK_OK(vt_device_open(&device, &(vt_device_options){.name = "cpu", .cpu = "auto", .threads = 1}));
    vt_workspace workspace = {.device = device};
    CHECK_OK(vt_store_bind(&params, device));
    CHECK_OK(vt_exec_create(&exec, g, &workspace));
    CHECK_OK(vt_exec_run(exec));
    float da = 0, db = 0;
    vt_exec_read(exec, grads[0], &da);
    vt_exec_read(exec, grads[1], &db);
    CHECK_EQ(da, 2);
    CHECK_EQ(db, 1);
    vt_exec_destroy(exec);
    vt_workspace_free(&workspace);
    vt_store_unbind(&params, device);
    vt_device_close(device);
    vt_graph_destroy(g);
    vt_store_free(&params);
}

/* A parameter that takes no part in the loss of a trained model, and a frozen one, cost nothing. */
TEST(frozen_parameters_have_no_gradient_nodes)
{
    vt_graph *g;
    vt_store params;
    int index;
    vt_store_init(&params, "param", VT_F32);
    CHECK_OK(vt_store_add(&params, &(vt_entry){.name = "w", .ndim = 2, .shape = {3, 3}}, &index));
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *w = vt_graph_stored(g, &params, 0, false), *grads[1];
    vt_tensor *y = vt_linear(g, "y", w, w, NULL);
    CHECK(y && !y->wants_grad);
    vt_autodiff with = {vt_fill, vt_add, false};
    CHECK_OK(vt_graph_backward_from(g, &with, 0, 1, &(vt_seed){y, w}, 1, &params, grads));
    CHECK(!grads[0]);
    CHECK_EQ(g->n_nodes, 1);
    vt_graph_destroy(g);
    vt_store_free(&params);
}

/* A walk begins afresh, whatever an earlier one over the same tensors, or with the same parameters, has left. */
TEST(walks_do_not_see_each_other)
{
    vt_graph *g;
    vt_store params;
    vt_tensor *grads[2], *x[2];
    int index;
    vt_store_init(&params, "param", VT_F32);
    CHECK_OK(vt_graph_create(&g, VT_F32));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(vt_store_add(&params, &(vt_entry){.name = i ? "b" : "a", .ndim = 1, .shape = {1}}, &index));
        x[i] = vt_graph_stored(g, &params, i, true);
    }
    vt_autodiff with = {vt_fill, vt_add, false};
    vt_tensor *y = vt_add_scaled(g, "y", 2, x[0], 0, NULL, NULL), *z = vt_add_scaled(g, "z", 2, x[1], 0, NULL, NULL);
    int forward = g->n_nodes;
    for (int i = 0; i < 3; i++) { /* y, z, y */
        int before = g->n_nodes;
        CHECK_OK(vt_graph_backward(g, &with, 0, forward, i % 2 ? z : y, 1, &params, grads));
        CHECK(grads[i % 2] && !grads[1 - i % 2]);
        CHECK(grads[i % 2]->producer->index >= before);
        CHECK_EQ(g->n_nodes - before, 2); /* the seed and the gradient: nothing to add it to */
    }
    CHECK_OK(vt_graph_backward(g, &with, forward - 1, forward, y, 1, &params, grads));
    CHECK(!grads[0] && !grads[1]); /* y is not among those nodes */
    vt_graph_destroy(g);
    vt_store_free(&params);
}

int main(void)
{
    RUN(recomputation_changes_no_bit);
    RUN(recomputation_copies_segments);
    RUN(recomputation_keeps_what_segments_hand_on_alone);
    RUN(micro_batches_add_up);
    RUN(several_readers);
    RUN(frozen_parameters_have_no_gradient_nodes);
    RUN(walks_do_not_see_each_other);
    TEST_END();
}
