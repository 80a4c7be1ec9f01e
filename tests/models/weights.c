/* Loading what does not fit. */
#include "models/weights.h"

#include "models/tiny.h"

static const char file[] = "weights-test.safetensors";

TEST(loading_what_does_not_fit)
{
    vt_model *m = open_model(20, 20, 10);
    float before = *entry(m, "norm.weight");
    CHECK_FAILS(vt_model_load(m, file), VT_INVALID, "pos_embed is [1, 10, 1], the model wants [1, 26, 1]");
    CHECK(*entry(m, "norm.weight") == before);
    vt_model_destroy(m);
}

int main(void)
{
    save_source(file);
    RUN(loading_what_does_not_fit);
    remove(file);
    TEST_END();
}
