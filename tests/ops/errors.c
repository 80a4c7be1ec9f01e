/* What an op is not made for is refused when the graph is built, by a message that names the node and the shapes. */
#include "test.h"

#include "ops/ops.h"

#define SHAPE(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__}

static vt_tensor *input(vt_graph *g, int ndim, const int64_t *shape)
{
    return vt_graph_input(g, "x", VT_F32, ndim, shape);
}

static vt_tensor *whole(vt_graph *g, int ndim, const int64_t *shape)
{
    return vt_graph_input(g, "i", VT_I32, ndim, shape);
}

/* Each fresh graph takes one wrong call, which must give this message, NULL, and no node. */
#define REFUSED(part, call)                                           \
    do {                                                              \
        vt_graph *g;                                                  \
        CHECK_OK(vt_graph_create(&g, VT_F32));                        \
        CHECK(!(call));                                               \
        CHECK_FAILS(vt_graph_status(g), VT_INVALID, part);            \
        CHECK_MSG(strstr(vt_error(), "bad ("), "%s", vt_error());     \
        CHECK_EQ(g->n_nodes, 0);                                      \
        vt_graph_destroy(g);                                          \
    } while (0)

TEST(effects)
{
    static const vt_patchify_attrs a = {4, 4, 4, 4, .inv_std = {1}};
#define BAD_EFFECTS(part, ...)                                                                      \
    REFUSED(part, vt_patchify_with(g, "bad", input(g, SHAPE(2, 8, 8, 1)), &a, &(vt_effects){__VA_ARGS__}))
    BAD_EFFECTS("the boxes are [2, 3], not I32 [2, R, 4]", .boxes = whole(g, SHAPE(2, 3)));
    BAD_EFFECTS("the boxes are [3, 1, 4]", .boxes = whole(g, SHAPE(3, 1, 4)));
    BAD_EFFECTS("wants the step's number", .boxes = whole(g, SHAPE(2, 1, 4)));
    BAD_EFFECTS("slots are [3], not I32 [2]", .boxes = whole(g, SHAPE(2, 1, 4)),
                .random = {whole(g, SHAPE(1)), whole(g, SHAPE(3)), 0});
    BAD_EFFECTS("I32 [2, 5]", .where = whole(g, SHAPE(2, 4)), .weights = input(g, SHAPE(2, 3)));
    BAD_EFFECTS("I32 [2, 5]", .weights = input(g, SHAPE(2, 3)));
    BAD_EFFECTS("F32 [2, 3]", .where = whole(g, SHAPE(2, 5)));
    BAD_EFFECTS("F32 [2, 3]", .where = whole(g, SHAPE(2, 5)), .weights = input(g, SHAPE(2, 4)));
    REFUSED("I32 [2, 5]",
            vt_smooth_with(g, "bad", whole(g, SHAPE(2)), 5, 0,
                           &(vt_effects){.where = whole(g, SHAPE(3, 5)), .weights = input(g, SHAPE(2, 3))}));
}

TEST(images_and_tokens)
{
    vt_patchify_attrs a = {4, 4, 4, 4, .inv_std = {1}}, still = {4, 4, 0, 4, .inv_std = {1}};
    REFUSED("[2, 3, 9, 1] are smaller than one 4x4 patch", vt_patchify(g, "bad", input(g, SHAPE(2, 3, 9, 1)), &a));
    REFUSED("stride 0x4", vt_patchify(g, "bad", input(g, SHAPE(2, 8, 8, 1)), &still));
    REFUSED("wants images [B, H, W, C]", vt_patchify(g, "bad", input(g, SHAPE(8, 8, 1)), &a));
    REFUSED("U8 or F32", vt_patchify(g, "bad", whole(g, SHAPE(1, 8, 8, 1)), &a));
    REFUSED("more than 16 channels",
            vt_patchify(g, "bad", vt_graph_input(g, "x", VT_U8, SHAPE(1, 8, 8, 17)), &a));
    vt_tensor *none = NULL;
    REFUSED("not [1, 4, 5]", vt_tokens(g, "bad", input(g, SHAPE(2, 3, 5)), input(g, SHAPE(1, 1, 5)), none,
                                       input(g, SHAPE(1, 2, 5))));
    REFUSED("[1, 1, 6], not [1, 1, 5]", vt_tokens(g, "bad", input(g, SHAPE(2, 3, 5)), input(g, SHAPE(1, 1, 6)), none,
                                                  input(g, SHAPE(1, 4, 5))));
    REFUSED("wants x [B, P, D]", vt_tokens(g, "bad", none, none, none, input(g, SHAPE(1, 3, 5))));
    REFUSED("tokens 2 to 3 are not in x [2, 3, 5]", vt_pool_tokens(g, "bad", input(g, SHAPE(2, 3, 5)), 2, 2));
    REFUSED("are not in x", vt_pool_tokens(g, "bad", input(g, SHAPE(2, 3, 5)), 0, 0));
}

TEST(attention_and_dropout)
{
    vt_tensor *none = NULL;
    REFUSED("[2, 3, 10] does not divide into 3 times 4 heads",
            vt_attention(g, "bad", input(g, SHAPE(2, 3, 10)), none, 4, 0, NULL));
    REFUSED("0 heads", vt_attention(g, "bad", input(g, SHAPE(2, 3, 12)), none, 0, 0, NULL));
    REFUSED("[3, 3, 3], not [1 or 2, 3, 3]",
            vt_attention(g, "bad", input(g, SHAPE(2, 3, 12)), input(g, SHAPE(3, 3, 3)), 2, 0, NULL));
    REFUSED("wants the step's number", vt_attention(g, "bad", input(g, SHAPE(2, 3, 12)), none, 2, 0.5f, NULL));
    REFUSED("rate is 1;", vt_dropout(g, "bad", input(g, SHAPE(2, 3)), 1, NULL));
    REFUSED("rate is -0.5;", vt_dropout(g, "bad", input(g, SHAPE(2, 3)), -0.5f, NULL));
    REFUSED("slots are [3], not I32 [2]",
            vt_dropout(g, "bad", input(g, SHAPE(2, 3)), 0.5f,
                       (&(vt_random){whole(g, SHAPE(1)), whole(g, SHAPE(3)), 0})));
    REFUSED("wants a mask", vt_drop_path(g, "bad", 0.5f, NULL, none));
    REFUSED("the mask is [2, 1], not [B]", vt_drop_path(g, "bad", 0.5f, NULL, input(g, SHAPE(2, 1))));
    REFUSED("wants an input of F32", vt_activation(g, "bad", whole(g, SHAPE(2)), VT_GELU));
}

TEST(losses)
{
    REFUSED("wants labels", vt_smooth(g, "bad", input(g, SHAPE(2)), 5, 0));
    REFUSED("not 0", vt_smooth(g, "bad", whole(g, SHAPE(2)), 0, 0));
    REFUSED("smoothing is 2;", vt_smooth(g, "bad", whole(g, SHAPE(2)), 5, 2));
    REFUSED("[2, 3] and [2, 4]", vt_cross_entropy(g, "bad", input(g, SHAPE(2, 3)), input(g, SHAPE(2, 4)), NULL));
    REFUSED("two inputs of F32", vt_bce(g, "bad", input(g, SHAPE(2, 3)), whole(g, SHAPE(2, 3)), NULL, -1));
    REFUSED("weights [K] of F32, not [2]",
            vt_bce(g, "bad", input(g, SHAPE(2, 3)), input(g, SHAPE(2, 3)), input(g, SHAPE(2)), -1));
    REFUSED("temperature is 0;",
            vt_distill(g, "bad", input(g, SHAPE(2, 3)), input(g, SHAPE(2, 3)), VT_DISTILL_SOFT, 0));
}

TEST(a_target_with_a_gradient)
{
    vt_store params;
    int index;
    vt_store_init(&params, "param", VT_F32);
    CHECK_OK(vt_store_add(&params, &(vt_entry){.name = "teacher", .ndim = 2, .shape = {2, 3}}, &index));
    REFUSED("teacher depends on a trainable parameter",
            vt_cross_entropy(g, "bad", input(g, SHAPE(2, 3)), vt_graph_stored(g, &params, 0, true), NULL));
    vt_store_free(&params);
}

TEST(the_end_of_a_step)
{
    vt_update_attrs a = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    const vt_optimizer *adamw;
    CHECK_OK(vt_optimizer_find(&adamw, "adamw"));
    vt_store s;
    int index;
    vt_store_init(&s, "state", VT_F32);
    CHECK_OK(vt_store_add(&s, &(vt_entry){.name = "flag", .ndim = 1, .shape = {1}}, &index));
    CHECK_OK(vt_store_add(&s, &(vt_entry){.name = "w", .ndim = 1, .shape = {4}}, &index));
#define FLAG vt_graph_stored(g, &s, 0, false)
#define W vt_graph_stored(g, &s, 1, false)
#define CONTROL vt_graph_input(g, "control", VT_F32, SHAPE(VT_CONTROL_COUNT))
    REFUSED("there are no gradients", vt_grad_norm(g, "bad", NULL, 0));
    REFUSED("gradient 0 is missing", vt_grad_norm(g, "bad", (vt_tensor *[]){NULL}, 1));
    REFUSED("not an entry [1]", (vt_guard(g, "bad", input(g, SHAPE(1)), (vt_tensor *[]){input(g, SHAPE(1))}, 1), 0));
    REFUSED("value 0", (vt_guard(g, "bad", FLAG, (vt_tensor *[]){input(g, SHAPE(2))}, 1), 0));
#define STEP(block, ...)                                                                                             \
    (vt_optimizer_step(g, "bad", adamw, &a,                                                                          \
                       &(vt_update_inputs){FLAG, block, whole(g, SHAPE(1)), input(g, SHAPE(1))},                     \
                       &(vt_update_param){__VA_ARGS__}, 1), 0)
    REFUSED("w is [4], x is [5]", STEP(CONTROL, .param = W, .grad = input(g, SHAPE(5)), .moment = {W, W}));
    REFUSED("x is not in a store",
            STEP(CONTROL, .param = W, .grad = input(g, SHAPE(4)), .moment = {input(g, SHAPE(4)), W}));
    REFUSED("x is not in a store",
            STEP(CONTROL, .param = W, .grad = input(g, SHAPE(4)), .moment = {W, W}, .ema = input(g, SHAPE(4))));
    REFUSED("there is nothing to copy",
            STEP(CONTROL, .param = W, .grad = input(g, SHAPE(4)), .moment = {W, W}, .copy = W));
    REFUSED("input 5 of parameter 0 is missing", STEP(CONTROL, .param = W, .grad = input(g, SHAPE(4)), .moment = {W}));
    REFUSED("step block", STEP(input(g, SHAPE(3)), .param = W, .grad = input(g, SHAPE(4)), .moment = {W, W}));
    CHECK_EQ(vt_optimizer_find(&adamw, "adamv"), VT_INVALID);
    CHECK(strstr(vt_error(), "did you mean adamw; there are adamw|lamb|"));
    vt_store_free(&s);
}

/* The first failure stays, and later builders do nothing. */
TEST(failures_stick)
{
    vt_graph *g;
    CHECK_OK(vt_graph_create(&g, VT_F32));
    vt_tensor *bad = vt_activation(g, "bad", whole(g, SHAPE(2)), VT_GELU);
    vt_tensor *more = vt_activation(g, "more", bad, VT_GELU);
    CHECK(!bad && !more && !input(g, SHAPE(1)));
    CHECK_EQ(vt_graph_status(g), VT_INVALID);
    CHECK_EQ(vt_graph_plan(g), VT_INVALID);
    CHECK_EQ(vt_graph_fold(g, vt_folds), VT_INVALID);
    vt_graph_destroy(g);
}

int main(void)
{
    RUN(effects);
    RUN(images_and_tokens);
    RUN(attention_and_dropout);
    RUN(losses);
    RUN(a_target_with_a_gradient);
    RUN(the_end_of_a_step);
    RUN(failures_stick);
    TEST_END();
}
