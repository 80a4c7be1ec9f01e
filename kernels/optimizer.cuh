/* optimizer.cuh - what the optimizers share: one launch over many parameters, in which a rule updates each element and
 * its average and its copy for GEMMs follow at once.
 *
 * One thread first makes the step's few numbers from device memory: nothing comes from the host, so that a captured
 * launch can be replayed. Then a block takes a chunk of a parameter, as many of them a launch as its own can name. */
#ifndef VT_OPTIMIZER_CUH
#define VT_OPTIMIZER_CUH

#include "tensor_list.cuh"

extern "C" {
#include "ops/update.h"
}

enum { UPDATE_CHUNK = 4096, UPDATE_THREADS = 256, UPDATE_W = 4 };

/* flag: decayed; number: its rate */
template <int MOMENTS> using update_list = tensor_list<VT_UPDATE_MOMENT + MOMENTS>;

static __global__ void update_numbers_kernel(const float *flag,     // [1]
                                             const float *control,  // [VT_CONTROL_COUNT]
                                             const int32_t *number, // [1]
                                             const float *norm,     // [1]
                                             double beta1, double beta2, double own_norm,
                                             vt_update *to)         // [1]
{
    *to = vt_update_numbers(*flag, control, *number, *norm, beta1, beta2, own_norm);
}

/* A chunk of a parameter, as the list's block has it. */
template <int MOMENTS> struct update_chunk {
    float *p, *ema, *moment[MOMENTS];
    const float *grad;
    bf16 *copy;
    int n, group;
    double lr, decay; /* the parameter's own */
};

template <int MOMENTS> VT_DEVICE update_chunk<MOMENTS> update_find(const update_list<MOMENTS> &list, const vt_update &u)
{
    list_chunk part = list_find(list, UPDATE_CHUNK);
    void *const *data = list.data[part.group];
    update_chunk<MOMENTS> c;
    c.p = (float *)data[VT_UPDATE_PARAM] + part.begin;
    c.grad = (const float *)data[VT_UPDATE_GRAD] + part.begin;
    c.ema = data[VT_UPDATE_EMA] ? (float *)data[VT_UPDATE_EMA] + part.begin : nullptr;
    c.copy = data[VT_UPDATE_COPY] ? (bf16 *)data[VT_UPDATE_COPY] + part.begin : nullptr;
#pragma unroll
    for (int k = 0; k < MOMENTS; k++) c.moment[k] = (float *)data[VT_UPDATE_MOMENT + k] + part.begin;
    c.n = (int)(part.end - part.begin);
    c.group = part.group;
    c.lr = u.lr * (double)list.number[part.group];
    c.decay = list.flag[part.group] ? u.decay : 0;
    return c;
}

struct __align__(8) copy_words { /* UPDATE_W elements of a copy */
    uint32_t w[UPDATE_W / 2];
};

VT_DEVICE copy_words copy_of(const floats<UPDATE_W> &p)
{
    return {{pack_bf16(p.v[0], p.v[1]), pack_bf16(p.v[2], p.v[3])}};
}

/* A rule has MOMENTS, of which it may write; whether it READS_GRAD; begin(u, chunk), which makes its factors; and
 * operator()(p, g, m), which updates one element. READS_GRAD false: g is 0, and moments are not written back. */
template <typename R>
__global__ void __launch_bounds__(UPDATE_THREADS)
update_kernel(const update_list<R::MOMENTS> list,
              const vt_update *of, // [1]
              R rule)
{
    enum { W = UPDATE_W };
    vt_update u = *of;
    if (!u.apply) return;
    update_chunk<R::MOMENTS> c = update_find<R::MOMENTS>(list, u);
    rule.begin(u, c);
    float old = (float)u.ema_old, fresh = (float)u.ema_new;
    int i = W * (int)threadIdx.x;
    for (; i + W <= c.n; i += W * UPDATE_THREADS) {
        floats<W> p = load<W>(c.p + i), g = {}, ema = {}, m[R::MOMENTS];
#pragma unroll
        for (int k = 0; k < R::MOMENTS; k++) m[k] = load<W>(c.moment[k] + i);
        if (R::READS_GRAD) g = unpack<float, W>(load_words_once(c.grad + i));
        if (c.ema) ema = load<W>(c.ema + i);
#pragma unroll
        for (int e = 0; e < W; e++) {
            float each[R::MOMENTS];
#pragma unroll
            for (int k = 0; k < R::MOMENTS; k++) each[k] = m[k].v[e];
            rule(p.v[e], g.v[e], each);
#pragma unroll
            for (int k = 0; k < R::MOMENTS; k++) m[k].v[e] = each[k];
            ema.v[e] = old * ema.v[e] + fresh * p.v[e];
        }
        store<W>(c.p + i, p);
#pragma unroll
        for (int k = 0; k < R::MOMENTS; k++)
            if (R::READS_GRAD) store<W>(c.moment[k] + i, m[k]);
        if (c.ema) store<W>(c.ema + i, ema);
        if (c.copy) *(copy_words *)(c.copy + i) = copy_of(p);
    }
    for (; i < c.n; i++) { /* fewer than W are left, one thread's */
        float each[R::MOMENTS], p = c.p[i];
        for (int k = 0; k < R::MOMENTS; k++) each[k] = c.moment[k][i];
        rule(p, R::READS_GRAD ? c.grad[i] : 0.0f, each);
        c.p[i] = p;
        for (int k = 0; k < R::MOMENTS; k++)
            if (R::READS_GRAD) c.moment[k][i] = each[k];
        if (c.ema) c.ema[i] = old * c.ema[i] + fresh * p;
        if (c.copy) c.copy[i] = from_float<bf16>(p);
    }
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static inline const vt_update_attrs *update_attrs(const vt_run *r)
{
    return (const vt_update_attrs *)r->node->attrs;
}

/* Queues the kernel that makes the step's numbers, at `to`. */
static inline void update_numbers(const vt_run *r, double own_norm, vt_update *to)
{
    const vt_update_attrs *a = update_attrs(r);
    launch(r, update_numbers_kernel, 1, 1, 0, in<float>(r, VT_UPDATE_FLAG), in<float>(r, VT_UPDATE_CONTROL),
           in<int32_t>(r, VT_UPDATE_STEP), in<float>(r, VT_UPDATE_NORM), a->beta1, a->beta2, own_norm, to);
}

/* f(list, first parameter of it), for lists that together name every parameter of the node. */
template <int MOMENTS, typename F> static inline void update_lists(const vt_run *r, F f)
{
    const vt_update_attrs *a = update_attrs(r);
    update_list<MOMENTS> list;
    for (int at = VT_UPDATE_GROUPS, first = 0; at < r->node->n_in; first += list.n) {
        at = list_inputs(&list, r, at, UPDATE_CHUNK);
        for (int i = 0; i < list.n; i++) {
            list.flag[i] = a->decay[first + i];
            list.number[i] = a->rate[first + i];
        }
        if (list.first[list.n]) f(list, first);
    }
}

static inline size_t update_scratch(const vt_device *device, const vt_node *n)
{
    (void)device, (void)n;
    return sizeof(vt_update);
}

/* The whole of an optimizer that looks at each element alone. */
template <typename R> static inline void update_all(const vt_run *r, const R &rule)
{
    vt_update *u = (vt_update *)r->scratch;
    update_numbers(r, 0, u);
    update_lists<R::MOMENTS>(r, [&](const update_list<R::MOMENTS> &list, int) {
        launch(r, update_kernel<R>, list.first[list.n], UPDATE_THREADS, 0, list, (const vt_update *)u, rule);
    });
}

#endif
