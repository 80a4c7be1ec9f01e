/* The CPU backend: picks a code path at run time and hands out bodies; host memory is device memory. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "cpu/cpu.h"
#include "ops/ops.h"

typedef struct path {
    const char *name;
    const vt_fast *table;  /* NULL: reference bodies alone */
    bool (*runs_here)(void);
} path;

static bool always(void)
{
    return true;
}

#ifdef VT_HAS_AVX512
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif
#ifdef VT_HAS_AVX2
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

/* Best first. */
static const path paths[] = {
#ifdef VT_HAS_AVX512
    {"avx512", vt_fast_avx512, has_avx512},
#endif
#ifdef VT_HAS_AVX2
    {"avx2", vt_fast_avx2, has_avx2},
#endif
#ifdef VT_HAS_PLAIN
    {"plain", vt_fast_plain, always},
#endif
    {"reference", NULL, always},
};

static vt_status cpu_answers(void)
{
    return VT_OK;
}

static vt_status cpu_open(vt_device *d, const vt_device_options *o)
{
    if (o->precision && strcmp(o->precision, "fp32") != 0)
        return vt_fail(VT_INVALID, "--precision %s: the CPU computes in fp32 alone; leave the flag away", o->precision);
    if (o->residual && strcmp(o->residual, "fp32") != 0)
        return vt_fail(VT_INVALID, "--residual %s: the CPU computes in fp32 alone; leave the flag away", o->residual);
    const char *wanted = o->cpu ? o->cpu : "auto";
    const path *found = NULL;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && !found; i++)
        if (strcmp(wanted, "auto") == 0 ? paths[i].runs_here() : strcmp(wanted, paths[i].name) == 0) found = &paths[i];
    if (!found) return vt_fail(VT_INVALID, "--cpu %s: not a code path of this build; use auto", wanted);
    if (!found->runs_here()) return vt_fail(VT_INVALID, "--cpu %s: this processor lacks it; use auto", wanted);
    d->precision = (vt_precision){VT_F32, VT_F32};
    d->path = found->name;
    d->state = found->table;
    vt_status st = vt_pool_create(&d->pool, o->threads);
    if (st) return st;
    d->threads = vt_pool_threads(d->pool);
    snprintf(d->about, sizeof d->about, "cpu (%s, %d threads)", d->path, d->threads);
    return VT_OK;
}

static void cpu_close(vt_device *d)
{
    vt_pool_destroy(d->pool);
}

static vt_status cpu_alloc(vt_device *d, size_t bytes, void **data)
{
    *data = vt_alloc(bytes);
    if (*data) return VT_OK;
    return vt_fail(VT_NO_MEMORY,
                   "out of memory: %.1f MiB for the model; lower --batch-size (vitc plan tells what fits)",
                   (double)bytes / 1048576.0);
}

static void cpu_free(vt_device *d, void *data)
{
    vt_free(data);
}

static void cpu_write(vt_device *d, void *data, const void *host, size_t bytes)
{
    memcpy(data, host, bytes);
}

static void cpu_read(vt_device *d, const void *data, void *host, size_t bytes)
{
    memcpy(host, data, bytes);
}

static bool is_double(const vt_node *n)
{
    for (int k = 0; k < n->n_in + n->n_out; k++) {
        const vt_tensor *t = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
        if (t && t->dtype == VT_F64) return true;
    }
    return false;
}

/* The fast bodies are fp32; an fp64 graph is the specification. */
static const vt_fast *fast_of(const vt_device *d, const vt_node *n)
{
    static const vt_fast none = {NULL, NULL};
    const vt_fast *table = d->state;
    return table && !is_double(n) ? &table[vt_op_index(n->op)] : &none;
}

static vt_body cpu_body(const vt_device *d, const vt_node *n)
{
    const vt_fast *fast = fast_of(d, n);
    return fast->body ? fast->body : n->op->reference[is_double(n)];
}

static size_t cpu_scratch(const vt_device *d, const vt_node *n)
{
    const vt_fast *fast = fast_of(d, n);
    return fast->scratch ? fast->scratch(n, vt_pool_threads(d->pool)) : 0;
}

const vt_backend vt_cpu_backend = {.name = "cpu", .answers = cpu_answers, .open = cpu_open, .close = cpu_close,
                                   .alloc = cpu_alloc, .free = cpu_free, .write = cpu_write, .read = cpu_read,
                                   .body = cpu_body, .scratch = cpu_scratch};
