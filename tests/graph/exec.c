#include "graph/small.h"

static double *param_f64(small *s, const char *name)
{
    return (double *)s->params.data + s->params.entries[vt_store_find(&s->params, name)].offset;
}

TEST(a_check_names_op_and_tensor)
{
    small_options o = {.batch = 2, .micro_batches = 1};
    small s;
    CHECK_OK(small_open(&s, VT_F64, &o, "reference"));
    CHECK_OK(small_run(&s, &o, true));
    param_f64(&s, "blocks.1.fc2.bias")[5] = INFINITY; /* an infinity first, NaN only further on */
    CHECK_FAILS(small_run(&s, &o, true), VT_FAILED, "op blocks.1.fc2 (linear)");
    CHECK(strstr(vt_error(), "[2, 7, 8], element 5"));
    CHECK_OK(small_run(&s, &o, false)); /* a plain run does not look */
    CHECK(!isfinite(small_at(&s, s.loss, 0)));
    small_close(&s);
}

TEST(a_missing_input_is_named)
{
    small_options o = {.batch = 1, .micro_batches = 1};
    small s;
    CHECK_OK(small_open(&s, VT_F32, &o, "auto"));
    CHECK_FAILS(vt_exec_run(s.exec), VT_INVALID, "step");
    CHECK_FAILS(vt_exec_run_checked(s.exec, 0), VT_INVALID, "was not given");
    vt_exec_bind(s.exec, "no such input", &s); /* ignored */
    CHECK_OK(small_run(&s, &o, false));
    small_close(&s);
}

/* Two graphs of different size over one workspace, run in turn: the second makes it grow, the first still fits. */
TEST(graphs_share_a_workspace)
{
    small_options little = {.batch = 1, .micro_batches = 1}, big = {.batch = 4, .micro_batches = 1};
    small a, b;
    CHECK_OK(small_open(&a, VT_F32, &little, "auto"));
    CHECK_OK(small_run(&a, &little, false));
    double alone = small_at(&a, a.loss, 0);
    CHECK_OK(small_build(&b, VT_F32, &big));
    CHECK_OK(vt_store_bind(&b.params, a.device));
    small_fill_params(&b);
    size_t before = a.workspace.bytes;
    CHECK_OK(vt_exec_create(&b.exec, b.g, &a.workspace));
    CHECK(a.workspace.bytes > before);
    b.workspace = a.workspace;
    CHECK_OK(small_run(&b, &big, false));
    CHECK_OK(small_run(&a, &little, false));
    CHECK(small_at(&a, a.loss, 0) == alone);
    vt_exec_destroy(b.exec);
    vt_store_unbind(&b.params, a.device);
    vt_graph_destroy(b.g);
    vt_store_free(&b.params);
    small_close(&a);
}

TEST(values_are_read_as_float)
{
    small_options o = {.batch = 3, .micro_batches = 1};
    for (int real = 0; real < 2; real++) {
        small s;
        float pos[SMALL_TOKENS * SMALL_WIDTH];
        CHECK_OK(small_open(&s, real ? VT_F64 : VT_F32, &o, "auto"));
        CHECK_OK(small_run(&s, &o, false));
        int at = vt_store_find(&s.params, "pos_embed");
        vt_exec_read(s.exec, s.grads[at], pos);
        for (int i = 0; i < SMALL_TOKENS * SMALL_WIDTH; i++) CHECK(pos[i] == (float)small_at(&s, s.grads[at], i));
        small_close(&s);
    }
}

static double tick(void) /* a clock that takes one second from one look to the next */
{
    static double now;
    return now += 1;
}

TEST(a_run_is_repeated_and_timed)
{
    small_options o = {.batch = 1, .micro_batches = 1};
    small s;
    double seconds[3] = {0};
    CHECK_OK(small_open(&s, VT_F32, &o, "auto"));
    CHECK_FAILS(vt_exec_replay(s.exec, 3, tick, seconds), VT_INVALID, "was not given");
    CHECK_OK(small_run(&s, &o, false));
    CHECK_OK(vt_exec_replay(s.exec, 3, tick, seconds));
    for (int i = 0; i < 3; i++) CHECK(seconds[i] == 1);
    small_close(&s);
}

TEST(nodes_are_timed)
{
    small_options o = {.batch = 1, .micro_batches = 1};
    small s;
    CHECK_OK(small_open(&s, VT_F32, &o, "auto"));
    double *seconds = calloc((size_t)s.g->n_nodes, sizeof *seconds);
    vt_exec_time(s.exec, tick, seconds);
    CHECK_OK(small_run(&s, &o, false));
    CHECK_OK(small_run(&s, &o, false));
    vt_exec_time(s.exec, NULL, NULL);
    CHECK_OK(small_run(&s, &o, false));
    for (int i = 0; i < s.g->n_nodes; i++) CHECK(seconds[i] == 2);
    free(seconds);
    small_close(&s);
}

TEST(an_unknown_device)
{
    vt_device *device;
    CHECK_FAILS(vt_device_open(&device, &(vt_device_options){.name = "abacus", .threads = 1}), VT_INVALID, "abacus");
    CHECK_FAILS(vt_device_open(&device, &(vt_device_options){.name = "cpu", .cpu = "mmx", .threads = 1}), VT_INVALID,
                "mmx");
    CHECK(!device);
}

/* Every allocation failing in turn, once and for good, from the graph's creation to the executor's. */
TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    small_options o = {.batch = 2, .micro_batches = 2, .recompute = true, .drop = 0.1f};
    long before = vt_alloc_live();
    for (int sticky = 0; sticky < 2; sticky++) {
        long n = 0;
        vt_status st;
        do {
            small s;
            vt_alloc_fail_at(++n, sticky);
            st = small_open(&s, VT_F32, &o, "reference");
            vt_alloc_fail_at(0, 0);
            CHECK_MSG(st == VT_OK || st == VT_NO_MEMORY, "allocation %ld: status %d, %s", n, (int)st, vt_error());
            small_close(&s);
            CHECK_MSG(vt_alloc_live() == before, "allocation %ld: %ld blocks leak", n, vt_alloc_live() - before);
        } while (st != VT_OK && n < 10000);
        CHECK(n > 15);
    }
#endif
}

/* Whatever else allocates, running does not. */
TEST(running_allocates_nothing)
{
#ifdef VT_TEST_ALLOC
    small_options o = {.batch = 2, .micro_batches = 1, .drop = 0.1f};
    small s;
    CHECK_OK(small_open(&s, VT_F32, &o, "auto"));
    vt_alloc_fail_at(1, 1);
    CHECK_OK(small_run(&s, &o, false));
    vt_alloc_fail_at(0, 0);
    CHECK(isfinite(small_at(&s, s.loss, 0)));
    small_close(&s);
#endif
}

int main(void)
{
    RUN(a_check_names_op_and_tensor);
    RUN(a_missing_input_is_named);
    RUN(graphs_share_a_workspace);
    RUN(values_are_read_as_float);
    RUN(a_run_is_repeated_and_timed);
    RUN(nodes_are_timed);
    RUN(an_unknown_device);
    RUN(memory_running_out);
    RUN(running_allocates_nothing);
    TEST_END();
}
