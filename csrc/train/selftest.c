#include "train/selftest.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/exec.h"
#include "ops/cases.h"

/* A case's graph on a device, with its data. */
typedef struct side {
    vt_device *device;
    vt_workspace workspace;
    vt_case_graph c;
    vt_exec *exec;
    void *inputs[VT_CASE_INPUTS];
    uint64_t seed;
} side;

typedef struct check {
    vt_selftest_result *result;
    side spec, dev;
    double tolerance;
} check;

/* ---- data ------------------------------------------------------------------------------------------------------ */

/* Puts value v as element e of a host array of this dtype. */
static void put(void *data, vt_dtype dtype, int64_t e, double v)
{
    switch (dtype) {
    case VT_F64: ((double *)data)[e] = v; break;
    case VT_F32: ((float *)data)[e] = (float)v; break;
    case VT_I32: ((int32_t *)data)[e] = (int32_t)floor(v); break;
    default: ((uint8_t *)data)[e] = (uint8_t)v; break;
    }
}

static double get(const void *data, vt_dtype dtype, int64_t e)
{
    union { uint32_t bits; float f; } half;
    switch (dtype) {
    case VT_F64: return ((const double *)data)[e];
    case VT_F32: return ((const float *)data)[e];
    default: half.bits = (uint32_t)((const uint16_t *)data)[e] << 16; return half.f;
    }
}

static void *entry_data(const side *s, int entry)
{
    const vt_store *store = &s->c.store;
    return (char *)store->data + (size_t)store->entries[entry].offset * vt_dtype_bytes(store->dtype);
}

/* A NaN in every dtype. */
static vt_status poison(vt_device *d, void *data, size_t bytes)
{
    unsigned char *nan = vt_alloc_raw(bytes);
    if (!nan) return vt_fail_memory("case");
    memset(nan, 0xff, bytes);
    d->backend->write(d, data, nan, bytes);
    vt_free(nan);
    return VT_OK;
}

/* The state before a run: the same numbers on either side, NaN where a body must write before it reads. */
static vt_status reset(side *s)
{
    vt_status st = poison(s->device, s->workspace.data, s->workspace.bytes);
    if (st == VT_OK) st = poison(s->device, s->workspace.scratch, s->workspace.scratch_bytes);
    if (st) return st;
    for (int i = 0; i < s->c.store.count; i++) {
        const vt_entry *e = &s->c.store.entries[i];
        size_t bytes = (size_t)e->count * vt_dtype_bytes(s->c.store.dtype);
        void *values = vt_alloc_raw(bytes);
        if (!values) return vt_fail_memory("case");
        for (int64_t k = 0; k < e->count; k++)
            put(values, s->c.store.dtype, k, vt_case_value(s->seed, e->name, k, s->c.low[i], s->c.high[i]));
        vt_store_write(&s->c.store, s->device, i, 0, values, e->count);
        vt_free(values);
    }
    for (int i = 0; i < s->c.n_inputs; i++) {
        const vt_case_input *in = &s->c.inputs[i];
        int64_t n = vt_tensor_count(in->tensor);
        for (int64_t k = 0; k < n; k++)
            put(s->inputs[i], in->tensor->dtype, k,
                in->values ? in->values[k] : vt_case_value(s->seed, in->tensor->name, k, in->low, in->high));
    }
    return VT_OK;
}

static void close_side(side *s)
{
    for (int i = 0; i < s->c.n_inputs; i++) vt_free(s->inputs[i]);
    vt_exec_destroy(s->exec);
    if (s->device) vt_store_unbind(&s->c.store, s->device);
    vt_workspace_free(&s->workspace);
    vt_case_close(&s->c);
    *s = (side){.device = s->device};
}

static vt_status open_side(side *s, const vt_case *which, vt_dtype real, vt_precision precision, uint64_t seed,
                           bool gradient)
{
    vt_status st = vt_case_open(&s->c, which, real, precision, gradient);
    if (st) return st;
    s->workspace.device = s->device;
    s->seed = seed;
    if (real == VT_F32) VT_TRY(vt_graph_fold(s->c.g, vt_folds));
    VT_TRY(vt_graph_plan(s->c.g));
    VT_TRY(vt_store_bind(&s->c.store, s->device));
    VT_TRY(vt_exec_create(&s->exec, s->c.g, &s->workspace));
    for (int i = 0; i < s->c.n_inputs; i++) {
        const vt_tensor *t = s->c.inputs[i].tensor;
        s->inputs[i] = vt_alloc(vt_tensor_bytes(t));
        if (!s->inputs[i]) VT_TRY(vt_fail_memory("case"));
        vt_exec_bind(s->exec, t->name, s->inputs[i]);
    }
    return VT_OK;
fail:
    close_side(s);
    return st;
}

/* ---- gradients against finite differences: on the CPU, whose memory is the host's -------------------------------- */

/* The sum of the seeded outputs' elements times the seeds; *size, where wanted: of their absolute values. */
static double scalar(side *s, double *size)
{
    double sum = 0;
    for (int i = 0; i < s->c.n_seeds; i++) {
        const vt_tensor *t = s->c.seeds[i].of, *g = s->c.seeds[i].grad->producer->in[0]; /* what it is a copy of */
        int64_t n = vt_tensor_count(t);
        for (int64_t k = 0; k < n; k++) {
            double term = get(vt_exec_data(s->exec, t), t->dtype, k) * get(vt_exec_data(s->exec, g), g->dtype, k);
            sum += term;
            if (size) *size += fabs(term);
        }
    }
    return sum;
}

/* Five points at a step of 2e-4. Their truncation error, step^4 / 30 times the fifth derivative, is near 1e-16;
 * rounding of the outputs, about 1e-16 of their size over the step, is near 1e-12 of it. 1e-10 leaves room for steep
 * cases. */
static const double fd_step = 2e-4, fd_tolerance = 1e-10;
enum { FD_ELEMENTS = 24 }; /* of each tensor, evenly spread */

static vt_status difference(side *s, int entry, int64_t e, double *slope)
{
    static const double at[] = {-2, -1, 1, 2}, weight[] = {1.0 / 12, -8.0 / 12, 8.0 / 12, -1.0 / 12};
    double x = get(entry_data(s, entry), VT_F64, e);
    *slope = 0;
    for (int i = 0; i < 4; i++) {
        put(entry_data(s, entry), VT_F64, e, x + at[i] * fd_step);
        vt_status st = vt_exec_run(s->exec);
        if (st) return st;
        *slope += weight[i] * scalar(s, NULL) / fd_step;
    }
    put(entry_data(s, entry), VT_F64, e, x);
    return vt_exec_run(s->exec); /* gradients are those at x again */
}

static vt_status check_gradient(check *c, int entry)
{
    side *s = &c->spec;
    const vt_tensor *grad = s->c.grad[entry];
    const vt_entry *e = &s->c.store.entries[entry];
    double size = 0, most = 0;
    vt_status st = vt_exec_run(s->exec);
    if (st) return st;
    scalar(s, &size);
    for (int64_t k = 0; k < e->count; k++) {
        double g = fabs(get(vt_exec_data(s->exec, grad), VT_F64, k));
        if (!(g <= most)) most = g;
    }
    int64_t stride = e->count / FD_ELEMENTS + 1;
    for (int64_t k = 0; k < e->count; k += stride) {
        double g, slope;
        st = difference(s, entry, k, &slope);
        if (st) return st;
        g = get(vt_exec_data(s->exec, grad), VT_F64, k);
        double error = fabs(g - slope) / (fd_tolerance * (size + most + fd_tolerance));
        if (error > c->result->gradient) c->result->gradient = error;
        char shape[96];
        if (!(error <= 1))
            return vt_fail(VT_FAILED, "gradient of %s %s, element %lld: %.12g, by finite differences %.12g", e->name,
                           vt_shape_text(grad, shape, sizeof shape), (long long)k, g, slope);
    }
    return VT_OK;
}

/* ---- the device against the specification ---------------------------------------------------------------------- */

/* Relative L2 error of a whole tensor. fp32: a sum of K products in random order errs by about sqrt(K) * 6e-8 of its
 * terms, in plain order by up to twice that; K is at most 3072: 4e-6, and cancellation within softmax and LayerNorm
 * costs a digit at most on these cases. bf16: inputs are bf16 numbers, so what errs is the rounding of intermediate
 * tensors and of the output, at most 2^-9 = 2e-3 each; three of them in a row are within 6e-3. tf32: as fp32, but the
 * operands of a linear's product lose all but 11 bits, 2^-11 = 5e-4 at most where rounded, twice that where cut: 1e-3
 * each, two products in a row. Where the truth is near zero the terms' size, not theirs, sets the scale: hence the
 * floor. */
static double tolerance(const char *precision, const char *op)
{
    if (strcmp(precision, "bf16") == 0) return 6e-3;
    return strcmp(precision, "tf32") == 0 && strcmp(op, "linear") == 0 ? 4e-3 : 1e-5;
}
static const double device_floor = 1e-6;

static void add_digest(check *c, const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) c->result->digest = (c->result->digest ^ data[i]) * 0x100000001B3ull;
}

/* spec: host memory; dev: the device's copy of it. */
static vt_status compare(check *c, const char *what, const vt_tensor *t, const void *spec, const void *dev)
{
    double error = 0, size = 0, worst = -1, a = 0, b = 0;
    int64_t n = vt_tensor_count(t), where = 0;
    unsigned char *made = vt_alloc_raw(vt_tensor_bytes(t));
    if (!made) return vt_fail_memory("case");
    c->dev.device->backend->read(c->dev.device, dev, made, vt_tensor_bytes(t));
    for (int64_t k = 0; k < n; k++) {
        double x = get(spec, VT_F64, k), y = get(made, t->dtype, k), d = fabs(x - y);
        if (x == y) d = 0; /* infinite both */
        error += d * d;
        size += d == 0 && isinf(x) ? 0 : x * x;
        if (d > worst || isnan(d)) {
            worst = isnan(d) ? INFINITY : d;
            where = k;
            a = x;
            b = y;
        }
    }
    double floor = device_floor * sqrt((double)n), share = sqrt(error) / (c->tolerance * (sqrt(size) + floor));
    if (!(share <= c->result->device)) c->result->device = share;
    add_digest(c, made, vt_tensor_bytes(t));
    vt_free(made);
    char shape[96];
    if (share <= 1) return VT_OK;
    return vt_fail(VT_FAILED, "%s %s %s: relative error %.3g; worst at element %lld: %.9g, should be %.9g", what,
                   t->name, vt_shape_text(t, shape, sizeof shape), sqrt(error / (size > 0 ? size : 1)),
                   (long long)where, b, a);
}

/* What GEMMs read of a store is its values rounded, to the bit. */
static vt_status check_low(const side *s, int entry)
{
    const vt_store *low = s->c.store.low;
    size_t n = low && low->data ? (size_t)low->entries[entry].count : 0;
    if (!n) return VT_OK;
    float *values = vt_alloc_raw(n * (sizeof *values + sizeof(uint16_t)));
    if (!values) return vt_fail_memory("case");
    uint16_t *made = (uint16_t *)(values + n);
    vt_status st = VT_OK;
    s->device->backend->read(s->device, entry_data(s, entry), values, n * sizeof *values);
    s->device->backend->read(s->device, (uint16_t *)low->data + low->entries[entry].offset, made, n * sizeof *made);
    for (size_t k = 0; k < n && st == VT_OK; k++)
        if (made[k] != vt_bf16(values[k]))
            st = vt_fail(VT_FAILED, "copy of %s: element %zu is %.9g, should be %.9g rounded", low->entries[entry].name,
                         k, get(made, VT_BF16, (int64_t)k), (double)values[k]);
    vt_free(values);
    return st;
}

static vt_status compare_sides(check *c)
{
    side *s = &c->spec, *d = &c->dev;
    vt_status st;
    VT_TRY(reset(s));
    VT_TRY(vt_exec_run(s->exec));
    for (int i = 0; i < s->c.n_out; i++) {
        const vt_tensor *a = s->c.out[i], *b = d->c.out[i];
        VT_TRY(compare(c, "output", b, vt_exec_data(s->exec, a), vt_exec_data(d->exec, b)));
    }
    for (int i = 0; i < s->c.store.count; i++) {
        const vt_tensor *a = s->c.grad[i], *b = d->c.grad[i];
        vt_tensor *stored = vt_graph_stored(d->c.g, &d->c.store, i, false);
        if (b) VT_TRY(compare(c, "gradient", b, vt_exec_data(s->exec, a), vt_exec_data(d->exec, b)));
        VT_TRY(compare(c, "stored", stored, entry_data(s, i), entry_data(d, i)));
        VT_TRY(check_low(d, i));
    }
fail:
    return st;
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

/* The device's graph, with its gradient or, as in evaluation, without: other epilogues, other tensors overwritten. */
static vt_status run_device(check *c, const vt_case *which, vt_precision precision, uint64_t seed, bool gradient)
{
    uint64_t before = c->result->digest, first = 0;
    vt_status st = open_side(&c->dev, which, VT_F32, precision, seed, gradient);
    if (st) return st;
    vt_device *d = c->dev.device;
    for (int again = 0; again < 2; again++) {
        first = c->result->digest;
        c->result->digest = before;
        VT_TRY(reset(&c->dev));
        VT_TRY(vt_exec_run(c->dev.exec));
        if (d->backend->finish) VT_TRY(d->backend->finish(d));
        VT_TRY(compare_sides(c));
    }
    if (first != c->result->digest) st = vt_fail(VT_FAILED, "a second run made other bits");
fail:
    close_side(&c->dev);
    return st;
}

static vt_status run_case(check *c, const vt_case *which, uint64_t seed)
{
    static const vt_precision spec = {VT_F64, VT_F64};
    vt_precision precision = c->dev.device->precision;
    vt_status st = open_side(&c->spec, which, VT_F64, spec, seed, true);
    if (st) return st;
    VT_TRY(reset(&c->spec));
    for (int i = 0; i < c->spec.c.store.count && !which->large; i++)
        if (c->spec.c.grad[i]) VT_TRY(check_gradient(c, i));
    VT_TRY(run_device(c, which, precision, seed, true));
    VT_TRY(run_device(c, which, precision, seed, false));
fail:
    close_side(&c->spec);
    return st;
}

vt_status vt_selftest(const vt_device_options *device, const char *filter, uint64_t seed, vt_selftest_report report,
                      void *arg)
{
    static const vt_device_options specification = {.name = "cpu", .cpu = "reference", .threads = 1};
    int ran = 0, failed = 0;
    const char *precision = device->precision ? device->precision : "fp32";
    check c = {0};
    vt_status st = vt_device_open(&c.spec.device, &specification);
    if (st == VT_OK) st = vt_device_open(&c.dev.device, device);
    for (int i = 0; st == VT_OK && i < vt_case_count; i++) {
        if (filter && strcmp(filter, vt_cases[i].op) != 0) continue;
        vt_selftest_result result = {.op = vt_cases[i].op, .name = vt_cases[i].name, .message = "",
                                     .digest = 0xCBF29CE484222325ull};
        c.result = &result;
        c.tolerance = tolerance(precision, result.op);
        result.status = run_case(&c, &vt_cases[i], seed);
        if (result.status) result.message = vt_error();
        failed += result.status != VT_OK;
        ran++;
        report(arg, &result);
    }
    vt_device_close(c.spec.device);
    vt_device_close(c.dev.device);
    if (st == VT_OK && ran == 0) return vt_fail(VT_INVALID, "no op %s has a case", filter);
    if (failed) return vt_fail(VT_FAILED, "%d of %d cases failed (seed %llu)", failed, ran, (unsigned long long)seed);
    return st;
}
