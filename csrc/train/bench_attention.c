#include "train/bench_attention.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

const char *const vt_bench_directions[] = {"fwd", "bwd", "both"};
enum { DIRECTIONS = 3, NUMBERS = 4, RUNS = 20 };

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

/* The shapes in the text; `shapes` NULL: counts them. */
static vt_status parse_shapes(const char *text, vt_attention_case *shapes, int *count)
{
    int64_t number[NUMBERS];
    int n = 0;
    for (const char *at = text;; n++) {
        size_t size = strcspn(at, ",");
        if (!vt_parse_int(at, size, &number[n % NUMBERS]) || number[n % NUMBERS] < 1 || number[n % NUMBERS] > 65536)
            return vt_fail(VT_INVALID, "--shapes %s: \"%.*s\" is not a number from 1 to 65536", text, (int)size, at);
        if (n % NUMBERS == NUMBERS - 1 && shapes)
            shapes[n / NUMBERS] = (vt_attention_case){.batch = (int)number[0], .heads = (int)number[1],
                                                      .tokens = (int)number[2], .dim = (int)number[3]};
        if (!at[size]) break;
        at += size + 1;
    }
    *count = (n + 1) / NUMBERS;
    return (n + 1) % NUMBERS == 0
               ? VT_OK
               : vt_fail(VT_INVALID, "--shapes %s: wants four numbers a shape, B,H,N,D; these are %d", text, n + 1);
}

static const char *default_shapes(const vt_device *d)
{
    bool cuda = strcmp(d->backend->name, "cuda") == 0;
    return cuda ? "256,3,197,64,256,6,197,64,256,12,197,64,256,6,50,64,64,16,577,64" : "8,3,197,64";
}

static vt_status make_rows(vt_bench_attention *b, const vt_bench_attention_options *o, const vt_device *d)
{
    const char *text = o->shapes ? o->shapes : default_shapes(d);
    int n;
    vt_status st = parse_shapes(text, NULL, &n);
    if (st) return st;
    vt_attention_case *shapes = vt_alloc((size_t)n * sizeof *shapes);
    b->rows = vt_alloc((size_t)n * (size_t)o->impls.count * (size_t)o->directions.count * sizeof *b->rows + 1);
    st = shapes && b->rows ? parse_shapes(text, shapes, &n) : vt_fail_memory("table of attention");
    for (int i = 0; i < n && st == VT_OK; i++) {
        for (int k = 0; k < o->directions.count; k++) {
            int direction = 0;
            while (strcmp(vt_bench_directions[direction], o->directions.items[k]) != 0) direction++;
            for (int j = 0; j < o->impls.count; j++) {
                vt_attention_case *c = &b->rows[b->count++].what;
                *c = shapes[i];
                c->impl = o->impls.items[j];
                c->direction = direction;
                c->runs = o->runs ? o->runs : RUNS;
                c->sets = o->sets;
            }
        }
    }
    vt_free(shapes);
    return st;
}

vt_status vt_bench_attention_run(vt_bench_attention *b, const vt_bench_attention_options *o)
{
    enum { CPU_SIDE = 2048, CUDA_SIDE = 8192 };
    vt_device *d;
    *b = (vt_bench_attention){0};
    vt_status st = vt_device_open(&d, &o->device);
    if (st) return st;
    snprintf(b->device, sizeof b->device, "%s", d->about);
    b->cache_bytes = d->cache_bytes;
    VT_TRY(make_rows(b, o, d));
    VT_TRY(vt_roofline_measure(&b->roof, d, o->side ? o->side : d->backend->record ? CUDA_SIDE : CPU_SIDE));
    for (int i = 0; i < b->count; i++) vt_attention_measure(&b->rows[i], d, &b->roof);
fail:
    vt_device_close(d);
    if (st) vt_bench_attention_free(b);
    return st;
}

void vt_bench_attention_free(vt_bench_attention *b)
{
    vt_free(b->rows);
    *b = (vt_bench_attention){0};
}

bool vt_bench_attention_failed(const vt_bench_attention *b)
{
    for (int i = 0; i < b->count; i++)
        if (strcmp(b->rows[i].what.impl, "vitc") == 0 && strcmp(b->rows[i].status, "ok") != 0) return true;
    return false;
}

/* ---- what is told ------------------------------------------------------------------------------------------------ */

void vt_bench_attention_table(vt_text *t, const vt_bench_attention *b)
{
    vt_text_printf(t, "attention on %s\n", b->device);
    vt_text_printf(t, "ceilings: copy %.4g GB/s, product of %d^3 %.4g TFLOP/s\n", 1e-9 * b->roof.bytes_per_second,
                   b->roof.side, 1e-12 * b->roof.flops_per_second);
    vt_text_printf(t, "%-20s %-4s %-8s %10s %9s %9s %9s %10s %9s\n", "B,H,N,D", "", "", "ms", "TFLOP/s", "GB/s",
                   "roofline", "bound", "error");
    for (int i = 0; i < b->count; i++) {
        const vt_attention_row *r = &b->rows[i];
        const vt_attention_case *c = &r->what;
        char shape[64];
        snprintf(shape, sizeof shape, "%d,%d,%d,%d", c->batch, c->heads, c->tokens, c->dim);
        vt_text_printf(t, "%-20s %-4s %-8s ", shape, vt_bench_directions[c->direction], c->impl);
        if (strcmp(r->status, "ok") != 0) {
            vt_text_printf(t, "%s: %s\n", r->status, r->reason);
            continue;
        }
        double s = r->time.median;
        vt_text_printf(t, "%10.4f %9.4g %9.4g %7.1f %% %10s %9.2e%s\n", 1e3 * s, 1e-12 * r->flops / s,
                       1e-9 * r->bytes / s, 100 * r->floor / s, r->memory_bound ? "memory" : "arithmetic", r->error,
                       r->cold ? "" : "  (in cache)");
    }
}

static void add_errors(vt_text *t, const vt_attention_row *r)
{
    static const char *const of[] = {"out", "dq", "dk", "dv"};
    vt_json_key(t, "errors");
    vt_json_open(t, '{');
    for (int i = 0; i < VT_ERRORS; i++) {
        if (r->errors[i] < 0) continue;
        vt_json_key(t, of[i]);
        vt_json_number(t, r->errors[i]);
    }
    vt_json_close(t, '}');
}

static void add_measured(vt_text *t, const vt_attention_row *r)
{
    double s = r->time.median;
    const struct { const char *key; double value; } numbers[] = {
        {"ms", 1e3 * s}, {"fastest_ms", 1e3 * r->time.least}, {"runs", r->what.runs}, {"sets", r->what.sets},
        {"flops", r->flops}, {"bytes", r->bytes}, {"tflops", 1e-12 * r->flops / s}, {"gbps", 1e-9 * r->bytes / s},
        {"floor_ms", 1e3 * r->floor}, {"roofline_share", r->floor / s}, {"error", r->error}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        vt_json_key(t, numbers[i].key);
        vt_json_number(t, numbers[i].value);
    }
    vt_json_key(t, "cold");
    vt_json_bool(t, r->cold);
    vt_json_key(t, "bound");
    vt_json_string(t, r->memory_bound ? "memory" : "arithmetic");
    add_errors(t, r);
}

static void add_row(vt_text *t, const vt_attention_row *r)
{
    const vt_attention_case *c = &r->what;
    const struct { const char *key; int value; } shape[] = {
        {"batch", c->batch}, {"heads", c->heads}, {"tokens", c->tokens}, {"dim", c->dim}};
    vt_json_open(t, '{');
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        vt_json_key(t, shape[i].key);
        vt_json_int(t, shape[i].value);
    }
    const char *const words[][2] = {{"impl", c->impl}, {"direction", vt_bench_directions[c->direction]},
                                    {"status", r->status}, {"reason", r->reason[0] ? r->reason : NULL}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        vt_json_key(t, words[i][0]);
        vt_json_string(t, words[i][1]);
    }
    if (strcmp(r->status, "ok") == 0) add_measured(t, r);
    vt_json_close(t, '}');
}

void vt_bench_attention_json(vt_text *t, const vt_bench_attention *b)
{
    vt_json_open(t, '{');
    vt_json_key(t, "device");
    vt_json_string(t, b->device);
    const struct { const char *key; double value; } ceilings[] = {
        {"cache_bytes", (double)b->cache_bytes}, {"copy_gbps", 1e-9 * b->roof.bytes_per_second},
        {"gemm_side", b->roof.side}, {"gemm_tflops", 1e-12 * b->roof.flops_per_second}};
    for (size_t i = 0; i < sizeof ceilings / sizeof *ceilings; i++) {
        vt_json_key(t, ceilings[i].key);
        vt_json_number(t, ceilings[i].value);
    }
    vt_json_key(t, "rows");
    vt_json_open(t, '[');
    for (int i = 0; i < b->count; i++) add_row(t, &b->rows[i]);
    vt_json_close(t, ']');
    vt_json_close(t, '}');
}
