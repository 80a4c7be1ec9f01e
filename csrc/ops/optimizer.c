/* The optimizers: their table, and the builder and shape rule that they share. */
#include "ops/optimizer.h"

#if VT_REAL == 32
#include "base/text.h"

#define ROLES(...) (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *)), {__VA_ARGS__}
#define VT_OPTIMIZER(name, op, beta1, beta2, nesterov, ...) \
    {#name, &vt_op_##op, beta1, beta2, nesterov, ROLES(__VA_ARGS__)},
const vt_optimizer vt_optimizers[] = {
#include "ops/optimizers.def"
};
#undef VT_OPTIMIZER
enum { COUNT = sizeof vt_optimizers / sizeof *vt_optimizers };

#define VT_OPTIMIZER(name, ...) "|" #name
const char vt_optimizer_names[] =
#include "ops/optimizers.def"
    ;
#undef VT_OPTIMIZER

vt_status vt_optimizer_find(const vt_optimizer **found, const char *name)
{
    const char *names[COUNT];
    for (int i = 0; i < COUNT; i++) {
        *found = &vt_optimizers[i];
        names[i] = vt_optimizers[i].name;
        if (strcmp(names[i], name) == 0) return VT_OK;
    }
    const char *near = vt_suggest(name, names, COUNT);
    return vt_fail(VT_INVALID, "optimizer %s: unknown%s%s; there are %s", name, near ? ": did you mean " : "",
                   near ? near : "", vt_optimizer_names + 1);
}

static vt_status check_group(vt_graph *g, vt_node *n, int i, int inputs)
{
    vt_tensor *const *in = n->in + VT_UPDATE_GROUPS + i * inputs;
    for (int k = 0; k < inputs; k++) {
        bool copy = k == VT_UPDATE_COPY;
        if ((copy || k == VT_UPDATE_EMA) && !in[k]) continue;
        vt_dtype dtype = copy ? g->precision.act : g->real;
        VT_EXPECT(in[k] && in[k]->dtype == dtype, "input %d of parameter %d is missing or not %s", k, i,
                  vt_dtype_name(dtype));
        VT_EXPECT(!copy || dtype != g->real, "GEMMs read %s itself: there is nothing to copy", in[0]->name);
        VT_EXPECT(k == VT_UPDATE_GRAD || in[k]->memory == VT_STORED, "%s is not in a store", in[k]->name);
        VT_EXPECT(vt_tensor_count(in[0]) == vt_tensor_count(in[k]), "%s is %s, %s is %s", in[0]->name,
                  VT_SHAPE(in[0]), in[k]->name, VT_SHAPE(in[k]));
    }
    return VT_OK;
}

vt_status vt_optimizer_infer(vt_graph *g, vt_node *n, int moments)
{
    const vt_tensor *flag = n->in[VT_UPDATE_FLAG], *control = n->in[VT_UPDATE_CONTROL];
    const vt_tensor *step = n->in[VT_UPDATE_STEP], *norm = n->in[VT_UPDATE_NORM];
    vt_status st = VT_OK;
    VT_EXPECT(vt_is_real(g, flag) && vt_tensor_count(flag) == 1, "the flag is not %s [1]", vt_dtype_name(g->real));
    VT_EXPECT(control && control->dtype == VT_F32 && vt_tensor_count(control) == VT_CONTROL_COUNT,
              "the step block is not F32 [%d]", VT_CONTROL_COUNT);
    VT_EXPECT(step && step->dtype == VT_I32 && vt_tensor_count(step) == 1, "the step is not I32 [1]");
    VT_EXPECT(vt_is_real(g, norm) && vt_tensor_count(norm) == 1, "the norm is not %s [1]", vt_dtype_name(g->real));
    for (int i = 0; i < vt_group_count(n, moments) && st == VT_OK; i++)
        st = check_group(g, n, i, VT_UPDATE_MOMENT + moments);
    return st;
}

void vt_optimizer_cost(const vt_node *n, vt_cost *cost)
{
    *cost = (vt_cost){0};
    for (int i = VT_UPDATE_GROUPS; i < n->n_in; i++) {
        const vt_tensor *t = n->in[i];
        if (!t) continue;
        bool copy = t->dtype != n->in[VT_UPDATE_GROUPS]->dtype;
        cost->bytes += (t->memory == VT_STORED && !copy ? 2.0 : 1.0) * (double)vt_tensor_bytes(t);
    }
}

void vt_optimizer_step(vt_graph *g, const char *name, const vt_optimizer *kind, const vt_update_attrs *attrs,
                       const vt_update_inputs *inputs, const vt_update_param *params, int n)
{
    int each = VT_UPDATE_MOMENT + kind->moments, count = VT_UPDATE_GROUPS + each * n;
    vt_tensor **in = vt_op_take(g, (size_t)count * sizeof *in);
    float *rate = vt_op_take(g, (size_t)(n + 1) * sizeof *rate);
    bool *decay = vt_op_take(g, (size_t)(n + 1) * sizeof *decay);
    if (!in || !rate || !decay) return;
    in[VT_UPDATE_FLAG] = inputs->flag;
    in[VT_UPDATE_CONTROL] = inputs->control;
    in[VT_UPDATE_STEP] = inputs->step;
    in[VT_UPDATE_NORM] = inputs->norm;
    for (int i = 0; i < n; i++) {
        vt_tensor **group = in + VT_UPDATE_GROUPS + each * i;
        group[VT_UPDATE_PARAM] = params[i].param;
        group[VT_UPDATE_GRAD] = params[i].grad;
        group[VT_UPDATE_EMA] = params[i].ema;
        group[VT_UPDATE_COPY] = params[i].copy;
        for (int k = 0; k < kind->moments; k++) group[VT_UPDATE_MOMENT + k] = params[i].moment[k];
        rate[i] = params[i].rate;
        decay[i] = params[i].decay;
    }
    vt_update_attrs a = *attrs;
    a.nesterov = kind->nesterov;
    a.rate = rate;
    a.decay = decay;
    vt_node_add(g, kind->op, name, &a, in, count);
}
#endif
