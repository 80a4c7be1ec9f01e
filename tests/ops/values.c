/* What the specification computes against what PyTorch does, in fp64: tests/ops/values.py prints the numbers expected
 * here. Each output [n] is summed up as sum of out[i] * cos(i). */
#include "ops/update.h"
#include "test.h"

#include "graph/exec.h"
#include "ops/ops.h"

#define SHAPE(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__}

enum { MOST_INPUTS = 8, MOST_ELEMENTS = 512 };
static const double tolerance = 1e-13; /* of sums of at most 72 terms near 1 */

typedef struct lab {
    vt_graph *g;
    vt_device *device;
    vt_workspace workspace;
    vt_exec *exec;
    const char *names[MOST_INPUTS];
    double data[MOST_INPUTS][MOST_ELEMENTS];
    int n;
} lab;

static double wave_at(double phase, int64_t i)
{
    return sin(0.7 * (double)i + phase);
}

static void open_lab(lab *l)
{
    memset(l, 0, sizeof *l);
    CHECK_OK(vt_graph_create(&l->g, VT_F64));
    CHECK_OK(vt_device_open(&l->device, &(vt_device_options){.name = "cpu", .cpu = "reference", .threads = 1}));
    l->workspace.device = l->device;
}

static void close_lab(lab *l)
{
    vt_exec_destroy(l->exec);
    vt_workspace_free(&l->workspace);
    vt_device_close(l->device);
    vt_graph_destroy(l->g);
}

/* An input of times * sin(0.7 i + phase) + plus. */
static vt_tensor *wave(lab *l, const char *name, double times, double phase, double plus, int ndim,
                       const int64_t *shape)
{
    vt_tensor *t = vt_graph_input(l->g, name, VT_F64, ndim, shape);
    for (int64_t i = 0; i < vt_tensor_count(t); i++) l->data[l->n][i] = times * wave_at(phase, i) + plus;
    l->names[l->n++] = name;
    return t;
}

static void start(lab *l)
{
    for (int i = 0; i < l->g->n_nodes; i++)
        for (int k = 0; k < l->g->nodes[i]->n_out; k++)
            if (l->g->nodes[i]->out[k]) l->g->nodes[i]->out[k]->keep = true;
    CHECK_OK(vt_graph_plan(l->g));
    CHECK_OK(vt_exec_create(&l->exec, l->g, &l->workspace));
    for (int i = 0; l->exec && i < l->n; i++) vt_exec_bind(l->exec, l->names[i], l->data[i]);
}

static double digest(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i] * cos((double)i);
    return sum;
}

static double of(const lab *l, const vt_tensor *t)
{
    return t && l->exec ? digest(vt_exec_data(l->exec, t), vt_tensor_count(t)) : NAN;
}

TEST(patchify)
{
    static const vt_patchify_attrs a = {2, 3, 2, 2, .mean = {0.4f, 0.5f, 0.6f}, .inv_std = {4, 5, 3}};
    unsigned char pixels[105];
    for (int i = 0; i < 105; i++) pixels[i] = (unsigned char)(i * 37);
    lab l;
    open_lab(&l);
    vt_tensor *y = vt_patchify(l.g, "patchify", vt_graph_input(l.g, "images", VT_U8, SHAPE(1, 5, 7, 3)), &a);
    start(&l);
    vt_exec_bind(l.exec, "images", pixels);
    CHECK_OK(vt_exec_run(l.exec));
    CHECK_EQ(y->shape[1], 6);
    CHECK_NEAR(of(&l, y), 0.52883933584577569, tolerance);
    close_lab(&l);
}

TEST(linear)
{
    lab l;
    open_lab(&l);
    vt_tensor *x = wave(&l, "x", 1, 0, 0, SHAPE(3, 4)), *w = wave(&l, "w", 1, 1, 0, SHAPE(5, 4));
    vt_tensor *y = vt_linear(l.g, "y", x, w, wave(&l, "b", 1, 2, 0, SHAPE(5))), *z = vt_linear(l.g, "z", x, w, NULL);
    start(&l);
    CHECK_OK(vt_exec_run(l.exec));
    CHECK_NEAR(of(&l, y), 3.7489379471002513, tolerance);
    CHECK_NEAR(of(&l, z), 1.3942951163558397, tolerance);
    close_lab(&l);
}

TEST(activation)
{
    lab l;
    open_lab(&l);
    vt_tensor *x = wave(&l, "x", 1, 0, 0, SHAPE(20)), *three = wave(&l, "3x", 3, 0, 0, SHAPE(20));
    vt_tensor *gelu = vt_activation(l.g, "gelu", three, VT_GELU), *relu = vt_activation(l.g, "relu", x, VT_RELU);
    vt_tensor *tan_h = vt_activation(l.g, "tanh", x, VT_TANH);
    start(&l);
    CHECK_OK(vt_exec_run(l.exec));
    CHECK_NEAR(of(&l, gelu), -0.13098831471684447, tolerance);
    CHECK_NEAR(of(&l, relu), -0.0028281890212463467, tolerance);
    CHECK_NEAR(of(&l, tan_h), 0.16402930586505027, tolerance);
    close_lab(&l);
}

TEST(tokens_and_pool)
{
    lab l;
    open_lab(&l);
    vt_tensor *x = wave(&l, "x", 1, 0, 0, SHAPE(2, 3, 4)), *dist = wave(&l, "dist", 1, 2, 0, SHAPE(1, 1, 4));
    vt_tensor *both = vt_tokens(l.g, "both", x, wave(&l, "cls", 1, 1, 0, SHAPE(1, 1, 4)), dist,
                                wave(&l, "pos", 1, 3, 0, SHAPE(1, 5, 4)));
    vt_tensor *one = vt_tokens(l.g, "one", x, NULL, dist, wave(&l, "pos4", 1, 3, 0, SHAPE(1, 4, 4)));
    vt_tensor *mean = vt_pool_tokens(l.g, "mean", x, 1, 2), *last = vt_pool_tokens(l.g, "last", x, 2, 1);
    start(&l);
    CHECK_OK(vt_exec_run(l.exec));
    CHECK_NEAR(of(&l, both), -2.9105042729936406, tolerance);
    CHECK_NEAR(of(&l, one), 0.31277780898214202, tolerance);
    CHECK_NEAR(of(&l, mean), 0.10204370347973678, tolerance);
    CHECK_NEAR(of(&l, last), -2.2784611279073981, tolerance);
    close_lab(&l);
}

TEST(layernorm)
{
    lab l;
    open_lab(&l);
    vt_tensor *x = wave(&l, "x", 1, 0, 0, SHAPE(2, 3, 4)), *branch = wave(&l, "branch", 1, 4, 0, SHAPE(2, 3, 4));
    vt_tensor *scale = wave(&l, "scale", 0, 0, 0, SHAPE(2)), *w = wave(&l, "w", 1, 5, 0, SHAPE(4));
    l.data[2][0] = 2;
    vt_normed n = vt_layernorm(l.g, "norm", x, branch, scale, w, wave(&l, "b", 1, 6, 0, SHAPE(4)), 1e-5f);
    start(&l);
    CHECK_OK(vt_exec_run(l.exec));
    CHECK_NEAR(of(&l, n.y), -2.4807974491688207, tolerance);
    CHECK_NEAR(of(&l, n.sum), 3.9583765187214128, tolerance);
    close_lab(&l);
}

TEST(attention)
{
    lab l;
    open_lab(&l);
    vt_tensor *qkv = wave(&l, "qkv", 1, 0, 0, SHAPE(2, 5, 36)), *bias = wave(&l, "bias", 1, 1, 0, SHAPE(3, 5, 5));
    vt_tensor *out = vt_attention(l.g, "attn", qkv, bias, 3, 0, NULL);
    start(&l);
    CHECK_OK(vt_exec_run(l.exec));
    CHECK_NEAR(of(&l, out), 1.2008796116660532, tolerance);
    CHECK_NEAR(of(&l, out ? out->producer->out[1] : NULL), -0.7741596563676123, tolerance);
    close_lab(&l);
}

TEST(losses)
{
    static const int32_t labels[] = {5, 0, 2, 2};
    lab l;
    open_lab(&l);
    vt_tensor *x = wave(&l, "logits", 3, 0, 0, SHAPE(4, 6)), *teacher = wave(&l, "teacher", 3, 2, 0, SHAPE(4, 6));
    vt_tensor *smooth = vt_smooth(l.g, "smooth", vt_graph_input(l.g, "labels", VT_I32, SHAPE(4)), 6, 0.25f);
    vt_tensor *ce = vt_cross_entropy(l.g, "ce", x, smooth, NULL);
    vt_tensor *t = wave(&l, "targets", 0.5, 1, 0.5, SHAPE(4, 6)), *w = wave(&l, "weights", 0.5, 3, 1, SHAPE(6));
    vt_tensor *bce = vt_bce(l.g, "bce", x, t, NULL, -1);
    vt_tensor *weighted_ce = vt_cross_entropy(l.g, "weighted_ce", x, t, w);
    vt_tensor *weighted_bce = vt_bce(l.g, "weighted_bce", x, t, w, 0.625f);
    vt_tensor *soft = vt_distill(l.g, "soft", x, teacher, VT_DISTILL_SOFT, 3);
    vt_tensor *hard = vt_distill(l.g, "hard", x, teacher, VT_DISTILL_HARD, 3);
    start(&l);
    vt_exec_bind(l.exec, "labels", labels);
    CHECK_OK(vt_exec_run(l.exec));
    CHECK_NEAR(of(&l, ce), 3.6752985860126919, tolerance);
    CHECK_NEAR(of(&l, bce), 0.72695140013285586, tolerance);
    CHECK_NEAR(of(&l, weighted_ce), 6.075382456212008, tolerance);
    CHECK_NEAR(of(&l, weighted_bce), 0.62579012799200584, tolerance);
    CHECK_NEAR(of(&l, soft), 0.79846861289672144, tolerance);
    CHECK_NEAR(of(&l, hard), 4.3270217058747749, tolerance);
    close_lab(&l);
}

/* ---- three steps of AdamW, clipped, with an EMA ---------------------------------------------------------------- */

enum { P0 = 7, P1 = 3 };

static double *slab(const vt_store *s, int entry)
{
    return (double *)s->data + s->entries[entry].offset;
}

static void bind(vt_store *s, lab *l)
{
    CHECK_OK(vt_store_bind(s, l->device));
}

TEST(adamw_and_ema)
{
    static const float control[VT_CONTROL_COUNT] = {0.03125f, 0.0625f, 0.75f, 0.5f};
    static const double phase[] = {2, 5};
    lab l;
    open_lab(&l);
    vt_store state, params, m, v, ema;
    int index;
    vt_store_init(&state, "state", VT_F64);
    vt_store_init(&params, "param", VT_F64);
    CHECK_OK(vt_store_add(&state, &(vt_entry){.name = "flag", .ndim = 1, .shape = {1}}, &index));
    CHECK_OK(vt_store_add(&params, &(vt_entry){.name = "p0", .ndim = 1, .shape = {P0}}, &index));
    CHECK_OK(vt_store_add(&params, &(vt_entry){.name = "p1", .ndim = 1, .shape = {P1}}, &index));
    vt_store_like(&m, "exp_avg", &params);
    vt_store_like(&v, "exp_avg_sq", &params);
    vt_store_like(&ema, "ema", &params);
    vt_store *stores[] = {&state, &params, &m, &v, &ema};
    for (int i = 0; i < 5; i++) bind(stores[i], &l);
    vt_tensor *grads[] = {wave(&l, "g0", 1, 0, 0, SHAPE(P0)), wave(&l, "g1", 1, 0, 0, SHAPE(P1))};
    vt_tensor *flag = vt_graph_stored(l.g, &state, 0, false), *step = vt_graph_input(l.g, "step", VT_I32, SHAPE(1));
    vt_tensor *block = vt_graph_input(l.g, "control", VT_F32, SHAPE(VT_CONTROL_COUNT));
    vt_update_param each[2];
    const vt_optimizer *adamw;
    CHECK_OK(vt_optimizer_find(&adamw, "adamw"));
    for (int i = 0; i < 2; i++) {
        each[i] = (vt_update_param){.param = vt_graph_stored(l.g, &params, i, true), .grad = grads[i],
                                    .ema = vt_graph_stored(l.g, &ema, i, false),
                                    .moment = {vt_graph_stored(l.g, &m, i, false), vt_graph_stored(l.g, &v, i, false)},
                                    .rate = 1, .decay = i == 0};
        for (int k = 0; k < (i ? P1 : P0); k++) slab(&params, i)[k] = slab(&ema, i)[k] = wave_at(i, k);
    }
    vt_update_attrs a = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    vt_tensor *norm = vt_grad_norm(l.g, "norm", grads, 2);
    vt_guard(l.g, "guard", flag, &norm, 1);
    vt_optimizer_step(l.g, "adamw", adamw, &a, &(vt_update_inputs){flag, block, step, norm}, each, 2);
    start(&l);
    double norms[3];
    for (int32_t t = 0; t < 4; t++) {
        for (int i = 0; i < 2; i++)
            for (int k = 0; k < (i ? P1 : P0); k++) l.data[i][k] = wave_at(phase[i] + t, k);
        if (t == 3) l.data[1][0] = NAN; /* a fourth step that must change nothing, and sets the flag */
        vt_exec_bind(l.exec, "step", &t);
        vt_exec_bind(l.exec, "control", control);
        CHECK_OK(vt_exec_run(l.exec));
        if (t < 3) norms[t] = *(const double *)vt_exec_data(l.exec, norm);
        CHECK_EQ(*slab(&state, 0), t == 3);
    }
    CHECK_NEAR(digest(norms, 3), 2.1486676401651623, tolerance);
    CHECK_NEAR(digest(slab(&params, 0), P0), -2.3007106630116629, tolerance);
    CHECK_NEAR(digest(slab(&params, 1), P1), 1.2085510816418554, tolerance);
    CHECK_NEAR(digest(slab(&ema, 0), P0), -2.1698010020339935, tolerance);
    CHECK_NEAR(digest(slab(&ema, 1), P1), 1.151596741821757, tolerance);
    for (int i = 4; i >= 0; i--) vt_store_unbind(stores[i], l.device);
    close_lab(&l);
    for (int i = 4; i >= 0; i--) vt_store_free(stores[i]);
}

/* Where one of the norms is 0, or nothing is decayed, LAMB's rate is the step's. */
TEST(lamb_ratio)
{
    CHECK_NEAR(vt_lamb_ratio(4, 1, 0.1), 2, 0);
    CHECK_NEAR(vt_lamb_ratio(4, 1, 0), 1, 0);
    CHECK_NEAR(vt_lamb_ratio(0, 1, 0.1), 1, 0);
    CHECK_NEAR(vt_lamb_ratio(4, 0, 0.1), 1, 0);
}

/* Two limits of the gradients' norm: --clip-grad's, and then the optimizer's own. */
TEST(clipping)
{
    float control[VT_CONTROL_COUNT] = {0};
    CHECK_NEAR(vt_update_numbers(0, control, 0, 5, 0.9, 0.999, 0).clip, 1, 0);
    CHECK_NEAR(vt_update_numbers(0, control, 0, 5, 0.9, 0.999, 1).clip, 0.2, 1e-15);
    CHECK_NEAR(vt_update_numbers(0, control, 0, 0.5, 0.9, 0.999, 1).clip, 1, 0);
    control[VT_CONTROL_MAX_NORM] = 2;
    CHECK_NEAR(vt_update_numbers(0, control, 0, 5, 0.9, 0.999, 0).clip, 2 / (5 + 1e-6), 1e-15);
    CHECK_NEAR(vt_update_numbers(0, control, 0, 5, 0.9, 0.999, 1).clip, 0.2, 1e-15);
    control[VT_CONTROL_MAX_NORM] = 0.5f;
    CHECK_NEAR(vt_update_numbers(0, control, 0, 5, 0.9, 0.999, 1).clip, 0.5 / (5 + 1e-6), 1e-15);
}

/* ---- what is random: rates and independence -------------------------------------------------------------------- */

/* The share of 25600 elements kept is within 4 standard errors of 1 - rate; the kept are divided by it; a slot's mask
 * is its own wherever it stands in the batch, and differs between slots, steps and names. */
TEST(dropout)
{
    enum { EACH = 128 };
    lab l;
    open_lab(&l);
    int32_t step = 3, slots[] = {7, 9, 7};
    vt_random random = {vt_graph_input(l.g, "step", VT_I32, SHAPE(1)),
                        vt_graph_input(l.g, "slots", VT_I32, SHAPE(3)), 1};
    vt_tensor *x = wave(&l, "x", 0, 0, 1, SHAPE(3, EACH));
    vt_tensor *a = vt_dropout(l.g, "a", x, 0.25f, &random), *b = vt_dropout(l.g, "b", x, 0.25f, &random);
    CHECK(vt_dropout(l.g, "c", x, 0, &random) == x);
    start(&l);
    vt_exec_bind(l.exec, "step", &step);
    vt_exec_bind(l.exec, "slots", slots);
    int kept = 0, total = 0;
    double before[3 * EACH];
    for (step = 0; step < 100; step++) {
        CHECK_OK(vt_exec_run(l.exec));
        const double *y = vt_exec_data(l.exec, a);
        for (int i = 0; i < 3 * EACH; i++) {
            CHECK(y[i] == 0 || fabs(y[i] - 1 / 0.75) < 1e-15);
            kept += i < 2 * EACH && y[i] != 0;
            total += i < 2 * EACH;
        }
        CHECK(memcmp(y, y + 2 * EACH, EACH * sizeof *y) == 0);
        CHECK(memcmp(y, y + EACH, EACH * sizeof *y) != 0);
        CHECK(memcmp(y, vt_exec_data(l.exec, b), sizeof before) != 0);
        CHECK(step == 0 || memcmp(y, before, sizeof before) != 0);
        memcpy(before, y, sizeof before);
    }
    CHECK_NEAR((double)kept / total, 0.75, 4 * sqrt(0.25 * 0.75 / total));
    close_lab(&l);
}

int main(void)
{
    RUN(patchify);
    RUN(linear);
    RUN(activation);
    RUN(tokens_and_pool);
    RUN(layernorm);
    RUN(attention);
    RUN(losses);
    RUN(adamw_and_ema);
    RUN(lamb_ratio);
    RUN(clipping);
    RUN(dropout);
    TEST_END();
}
