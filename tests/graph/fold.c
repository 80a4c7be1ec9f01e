#include "graph/small.h"

static int count_op(const vt_graph *g, const vt_op *op)
{
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) n += g->nodes[i]->op == op;
    return n;
}

/* The reference's arithmetic is the same either way; a fast body may round its epilogue otherwise. */
TEST(folding_changes_no_bit_of_the_reference)
{
    small_options folded = {.batch = 2, .micro_batches = 2, .drop = 0.2f}, plain = folded;
    plain.no_fold = true;
    small_compare(VT_F64, "reference", &folded, &plain, 0);
    small_compare(VT_F32, "reference", &folded, &plain, 0);
    small_compare(VT_F32, "auto", &folded, &plain, 1e-5);
    folded.recompute = plain.recompute = true;
    small_compare(VT_F64, "reference", &folded, &plain, 0);
}

TEST(every_epilogue_is_folded)
{
    small_options o = {.batch = 2, .micro_batches = 3};
    small s;
    CHECK_OK(small_build(&s, VT_F32, &o));
    CHECK_EQ(count_op(s.g, &vt_op_activation), 0);
    CHECK_EQ(count_op(s.g, &vt_op_activation_grad), 0);
    int into = 0;
    for (int i = 0; i < s.g->n_nodes; i++) {
        const vt_node *n = s.g->nodes[i];
        CHECK_EQ(n->index, i);
        bool adds = n->op == &vt_op_linear_dw && n->in[2] && n->in[3];
        CHECK(!adds || n->out[0]->offset == n->in[2]->offset); /* in place */
        CHECK(!adds || n->out[1]->offset == n->in[3]->offset);
        into += adds;
        for (int k = 0; k < n->n_out; k++) CHECK(!n->out[k] || n->out[k]->producer == n);
        for (int k = 0; k < n->n_in && n->op == &vt_op_add; k++) {
            const vt_node *from = n->in[k] ? n->in[k]->producer : NULL;
            CHECK(!from || from->op != &vt_op_layernorm_grad || n->in[k] != from->out[0]);
        }
    }
    CHECK_EQ(into, 2 * (SMALL_BLOCKS * 4 + 2)); /* all but the first micro-batch's, weights and biases at once */
    small_close(&s);
}

/* x -> linear -> activation with what is between them kept for a trace: it must be made, so nothing is folded. */
TEST(a_kept_tensor_is_not_folded_away)
{
    vt_graph *g;
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *x = vt_graph_input(g, "x", VT_F32, SHAPE(2, 3)), *w = vt_graph_input(g, "w", VT_F32, SHAPE(4, 3));
    vt_tensor *h = vt_linear(g, "h", x, w, NULL), *y = vt_activation(g, "y", h, VT_GELU);
    h->keep = y->keep = true;
    CHECK_OK(vt_graph_fold(g, vt_folds));
    CHECK_EQ(g->n_nodes, 2);
    vt_graph_destroy(g);
}

/* Both readers of h: y by the epilogue, z by output 1, the value before the activation. */
TEST(a_second_reader_reads_output_1)
{
    vt_graph *g;
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *x = vt_graph_input(g, "x", VT_F32, SHAPE(2, 3)), *w = vt_graph_input(g, "w", VT_F32, SHAPE(4, 3));
    vt_tensor *h = vt_linear(g, "h", x, w, NULL), *y = vt_activation(g, "y", h, VT_RELU);
    vt_tensor *z = vt_add_scaled(g, "z", 2, h, 0, NULL, NULL);
    y->keep = z->keep = true;
    CHECK_OK(vt_graph_fold(g, vt_folds));
    CHECK_EQ(g->n_nodes, 2);
    CHECK(g->nodes[0]->out[0] == y && g->nodes[0]->out[1] == h && g->nodes[1]->in[0] == h);
    vt_graph_destroy(g);
}

static vt_tensor *weight_gradient(vt_graph *g, const char *name)
{
    vt_tensor *dy = vt_graph_input(g, "dy", VT_F32, SHAPE(5, 2)), *x = vt_graph_input(g, "x", VT_F32, SHAPE(5, 3));
    vt_node *n = vt_node_add(g, &vt_op_linear_dw, name, NULL, (vt_tensor *[]){dy, x, NULL, NULL}, 4);
    return n ? n->out[0] : NULL;
}

/* dw, late, late + dw: the sum may not move to where dw is made, because `late` does not exist there yet. */
TEST(a_fold_does_not_run_too_early)
{
    vt_graph *g;
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *dw = weight_gradient(g, "dw"), *late = weight_gradient(g, "late"), *sum = vt_add(g, "sum", late, dw);
    sum->keep = true;
    CHECK_OK(vt_graph_fold(g, vt_folds));
    CHECK_EQ(g->n_nodes, 3);
    vt_graph_destroy(g);
}

/* Two lanes: the second's sum folds into its last node, which then has no room for the first lane's. */
TEST(a_node_takes_one_sum)
{
    vt_graph *g;
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *left = weight_gradient(g, "left"), *r0 = weight_gradient(g, "r0"), *r1 = weight_gradient(g, "r1");
    vt_tensor *right = vt_add(g, "right", r0, r1), *sum = vt_add(g, "sum", left, right);
    sum->keep = true;
    CHECK_OK(vt_graph_fold(g, vt_folds));
    CHECK_EQ(g->n_nodes, 4);
    CHECK(g->nodes[2]->in[2] == r0 && g->nodes[3]->in[0] == left && g->nodes[3]->in[1] == right);
    vt_graph_destroy(g);
}

/* A residual's gradient is added by the first LayerNorm's own; one that has a sum's already takes no more. */
TEST(a_layernorm_takes_one_residual)
{
    for (int taken = 0; taken < 2; taken++) {
        vt_graph *g;
        CHECK_OK(vt_graph_create(&g, VT_F32));
        const char *names[] = {"dy", "dsum", "x", "residual"};
        vt_tensor *t[4], *w = vt_graph_input(g, "w", VT_F32, SHAPE(3));
        vt_tensor *mean = vt_graph_input(g, "mean", VT_F32, SHAPE(5));
        for (int i = 0; i < 4; i++) t[i] = vt_graph_input(g, names[i], VT_F32, SHAPE(5, 3));
        vt_tensor *in[] = {t[0], taken ? t[1] : NULL, t[2], w, mean, mean, NULL};
        vt_node *n = vt_node_add(g, &vt_op_layernorm_grad, "grad", NULL, in, 7);
        vt_tensor *sum = vt_add(g, "sum", t[3], n->out[0]);
        sum->keep = true;
        CHECK_OK(vt_graph_fold(g, vt_folds));
        CHECK_EQ(g->n_nodes, 1 + taken);
        CHECK(g->nodes[0]->in[1] == (taken ? t[1] : t[3]) && (taken || g->nodes[0]->out[0] == sum));
        vt_graph_destroy(g);
    }
}

TEST(what_nobody_reads_is_removed)
{
    vt_graph *g;
    vt_store state;
    int index;
    vt_store_init(&state, "state", VT_F32);
    CHECK_OK(vt_store_add(&state, &(vt_entry){.name = "flag", .ndim = 1, .shape = {1}}, &index));
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *a = vt_fill(g, "a", 1), *b = vt_add(g, "b", a, a), *c = vt_add(g, "c", a, a);
    vt_add(g, "of unused", b, b);
    vt_guard(g, "guard", vt_graph_stored(g, &state, 0, false), &c, 1);
    CHECK_OK(vt_graph_fold(g, vt_folds));
    CHECK_EQ(g->n_nodes, 3); /* a, c, and the guard, which writes a store */
    CHECK_STR(g->nodes[2]->name, "guard");
    CHECK_EQ(g->nodes[2]->index, 2);
    vt_graph_destroy(g);
    vt_store_free(&state);
}

int main(void)
{
    RUN(folding_changes_no_bit_of_the_reference);
    RUN(every_epilogue_is_folded);
    RUN(a_kept_tensor_is_not_folded_away);
    RUN(a_second_reader_reads_output_1);
    RUN(a_fold_does_not_run_too_early);
    RUN(a_node_takes_one_sum);
    RUN(a_layernorm_takes_one_residual);
    RUN(what_nobody_reads_is_removed);
    TEST_END();
}
