#include "train/bench_kernels.h"

#include "base/alloc.h"
#include "train/progress.h"

/* seconds [n_nodes] of `runs` steps; the subject stays open. */
static vt_status time_nodes(vt_bench_subject *s, const vt_bench_options *o, int warm_up, int runs, double **seconds)
{
    vt_status st = vt_bench_open(s, o);
    if (st) return st;
    *seconds = vt_alloc(((size_t)s->trainer->step.graph->n_nodes + 1) * sizeof **seconds);
    if (!*seconds) return vt_fail_memory("times");
    for (int i = 0; i < warm_up && st == VT_OK; i++) st = vt_bench_take_step(s);
    vt_exec_time(s->trainer->exec, vt_seconds, *seconds);
    for (int i = 0; i < runs && st == VT_OK; i++) st = vt_bench_take_step(s);
    return st;
}

vt_status vt_bench_kernels_run(vt_bench_ops *ops, const vt_bench_options *o, int runs, bool reference)
{
    vt_status st;
    vt_bench_subject fast = {0}, plain = {0};
    vt_bench_options by_reference = *o;
    double *seconds = NULL, *slow = NULL;
    vt_roofline roof = {0};
    by_reference.device.cpu = "reference";
    *ops = (vt_bench_ops){0};
    VT_TRY(vt_bench_roofline(&roof, o));
    VT_TRY(time_nodes(&fast, o, 1, runs, &seconds));
    if (reference && !roof.side) VT_TRY(time_nodes(&plain, &by_reference, 0, 1, &slow));
    st = vt_bench_ops_sum(ops, fast.trainer->step.graph, seconds, runs, slow, roof.side ? &roof : NULL,
                          true); /* the same graph both times */
fail:
    vt_bench_close(&fast);
    vt_bench_close(&plain);
    vt_free(seconds);
    vt_free(slow);
    return st;
}
