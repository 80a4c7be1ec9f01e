#include "train/bench_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

static void describe_shape(const vt_node *n, char *text, size_t bytes)
{
    char in[64] = "", out[64] = "";
    for (int k = 0; k < n->n_in && !*in; k++)
        if (n->in[k]) vt_shape_text(n->in[k], in, sizeof in);
    for (int k = 0; k < n->n_out && !*out; k++)
        if (n->out[k]) vt_shape_text(n->out[k], out, sizeof out);
    snprintf(text, bytes, "%s%s%s", in, *in && *out ? " -> " : "", out);
}

static vt_bench_op *row_of(vt_bench_ops *ops, const vt_node *n, bool by_shape)
{
    vt_bench_op row = {.op = n->op->name};
    if (by_shape) describe_shape(n, row.shape, sizeof row.shape);
    for (int i = 0; i < ops->count; i++)
        if (ops->rows[i].op == row.op && strcmp(ops->rows[i].shape, row.shape) == 0) return &ops->rows[i];
    ops->rows[ops->count] = row;
    return &ops->rows[ops->count++];
}

static int slower(const void *a, const void *b)
{
    double x = ((const vt_bench_op *)a)->seconds, y = ((const vt_bench_op *)b)->seconds;
    return (x < y) - (x > y);
}

static double floor_of(const vt_node *n, const vt_roofline *roof)
{
    vt_cost cost;
    if (!roof) return 0;
    vt_node_cost(n, &cost);
    double memory = cost.bytes / roof->bytes_per_second, arithmetic = cost.flops / roof->flops_per_second;
    return memory > arithmetic ? memory : arithmetic;
}

double vt_bench_ops_floor(const vt_graph *g, const vt_roofline *roof)
{
    double sum = 0;
    for (int i = 0; i < g->n_nodes; i++) sum += floor_of(g->nodes[i], roof);
    return sum;
}

vt_status vt_bench_ops_sum(vt_bench_ops *ops, const vt_graph *g, const double *seconds, int runs,
                           const double *reference, const vt_roofline *roof, bool by_shape)
{
    *ops = (vt_bench_ops){.rows = vt_alloc(((size_t)g->n_nodes + 1) * sizeof *ops->rows),
                          .floor = vt_bench_ops_floor(g, roof), .bandwidth = roof ? roof->bytes_per_second : 0};
    if (!ops->rows) return vt_fail_memory("table of ops");
    for (int i = 0; i < g->n_nodes; i++) {
        vt_bench_op *row = row_of(ops, g->nodes[i], by_shape);
        vt_cost cost;
        vt_node_cost(g->nodes[i], &cost);
        row->calls++;
        row->seconds += seconds[i] / runs;
        row->flops += cost.flops;
        row->bytes += cost.bytes;
        row->floor += floor_of(g->nodes[i], roof);
        if (reference) row->reference += reference[i];
        ops->seconds += seconds[i] / runs;
    }
    qsort(ops->rows, (size_t)ops->count, sizeof *ops->rows, slower);
    return VT_OK;
}

void vt_bench_ops_free(vt_bench_ops *ops)
{
    vt_free(ops->rows);
    *ops = (vt_bench_ops){0};
}

static double per_second(double amount, double seconds)
{
    return seconds > 0 ? 1e-9 * amount / seconds : 0;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

void vt_bench_ops_table(vt_text *t, const vt_bench_ops *ops)
{
    int width = 0;
    bool reference = false;
    for (int i = 0; i < ops->count; i++) {
        int length = (int)strlen(ops->rows[i].shape);
        width = length > width ? length : width;
        reference |= ops->rows[i].reference > 0;
    }
    const char *beside = reference ? "  reference ms   faster" : ops->floor > 0 ? "  of copy   floor ms  of floor" : "";
    vt_text_printf(t, "%-18s %-*s %6s %10s %7s %10s %8s%s\n", "op", width, width ? "shape" : "", "calls", "ms", "share",
                   "GFLOP/s", "GB/s", beside);
    for (int i = 0; i < ops->count; i++) {
        const vt_bench_op *r = &ops->rows[i];
        vt_text_printf(t, "%-18s %-*s %6d %10.3f %6.1f%% %10.1f %8.1f", r->op, width, r->shape, r->calls,
                       1e3 * r->seconds, ops->seconds > 0 ? 100 * r->seconds / ops->seconds : 0,
                       per_second(r->flops, r->seconds), per_second(r->bytes, r->seconds));
        if (r->reference > 0 && r->seconds > 0)
            vt_text_printf(t, "  %12.3f %7.1fx", 1e3 * r->reference, r->reference / r->seconds);
        if (ops->floor > 0)
            vt_text_printf(t, " %7.1f%% %10.3f %8.1f%%", 100 * ratio(r->bytes, r->seconds * ops->bandwidth),
                           1e3 * r->floor, 100 * ratio(r->floor, r->seconds));
        vt_text_add(t, "\n");
    }
    if (ops->floor > 0)
        vt_text_printf(t, "%-18s %-*s %6s %10.3f %7s %10s %8s %8s %10.3f %8.1f%%\n", "all", width, "", "",
                       1e3 * ops->seconds, "", "", "", "", 1e3 * ops->floor, 100 * ratio(ops->floor, ops->seconds));
}

void vt_bench_ops_json(vt_text *t, const vt_bench_ops *ops)
{
    vt_json_open(t, '[');
    for (int i = 0; i < ops->count; i++) {
        const vt_bench_op *r = &ops->rows[i];
        const struct { const char *key; double value; bool told;
        } numbers[] = {{"calls", r->calls, true},
                       {"ms", 1e3 * r->seconds, true},
                       {"flops", r->flops, true},
                       {"bytes", r->bytes, true},
                       {"gflops", per_second(r->flops, r->seconds), true},
                       {"gbytes_per_second", per_second(r->bytes, r->seconds), true},
                       {"reference_ms", 1e3 * r->reference, r->reference > 0},
                       {"bandwidth_share", ratio(r->bytes, r->seconds * ops->bandwidth), ops->floor > 0},
                       {"floor_ms", 1e3 * r->floor, ops->floor > 0},
                       {"roofline_share", ratio(r->floor, r->seconds), ops->floor > 0}};
        vt_json_open(t, '{');
        vt_json_key(t, "op");
        vt_json_string(t, r->op);
        if (*r->shape) vt_json_key(t, "shape");
        if (*r->shape) vt_json_string(t, r->shape);
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            if (!numbers[k].told) continue;
            vt_json_key(t, numbers[k].key);
            vt_json_number(t, numbers[k].value);
        }
        vt_json_close(t, '}');
    }
    vt_json_close(t, ']');
}
