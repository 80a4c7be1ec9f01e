#include "data/augment_table.h"

#include "policy.h"

/* The arguments of an op that a policy draws: the least and the greatest size, and whether both signs are there. */
static void arguments_of(const char *policy, const char *op, double *least, double *most, int *signs)
{
    vt_augment a = parsed(policy);
    vt_augment_step steps[VT_AUGMENT_STEPS];
    *least = INFINITY;
    *most = -INFINITY;
    *signs = 0;
    for (uint32_t i = 0; i < 2000; i++)
        for (int k = 0, n = draw(&a, i, steps); k < n; k++)
            if (strcmp(steps[k].op->name, op) == 0) {
                *least = fmin(*least, steps[k].argument);
                *most = fmax(*most, steps[k].argument);
                *signs |= steps[k].argument < 0 ? 1 : 2;
            }
}

TEST(levels_mean_what_timm_says)
{
    const struct { const char *policy, *op; double least, most; } cases[] = {
        {"rand-m9-inc1", "Rotate", -27, 27},          {"rand-m9-inc1", "Posterize", 1, 1},
        {"rand-m9-inc1", "Solarize", 26, 26},         {"rand-m9-inc1", "SolarizeAdd", 99, 99},
        {"rand-m9-inc1", "Color", 0.19, 1.81},        {"rand-m9-inc1", "Contrast", 0.19, 1.81},
        {"rand-m9-inc1", "Brightness", 0.19, 1.81},   {"rand-m9-inc1", "Sharpness", 0.19, 1.81},
        {"rand-m9-inc1", "ShearX", -0.27, 0.27},      {"rand-m9-inc1", "ShearY", -0.27, 0.27},
        {"rand-m9-inc1", "TranslateXRel", -0.405, 0.405}, {"rand-m9-inc1", "TranslateYRel", -0.405, 0.405},
        {"rand-m9", "Posterize", 3, 3},               {"rand-m9", "Solarize", 230, 230},
        {"rand-m9", "Color", 1.72, 1.72},             {"rand-m9", "Sharpness", 1.72, 1.72},
        {"rand-m9", "SolarizeAdd", 99, 99},           {"rand-m0-inc1", "Posterize", 4, 4},
        {"rand-m0-inc1", "Solarize", 256, 256},       {"rand-m10-inc1", "Posterize", 0, 0},
        {"rand-m10-inc1", "Solarize", 0, 0},          {"rand-m0", "Brightness", 0.1, 0.1},
        {"original", "PosterizeOriginal", 6, 7},      {"original", "Solarize", 76, 204},
        {"original", "Rotate", -27, 27},              {"original", "Color", 0.1, 1.54},
        {"v0", "SolarizeAdd", 33, 77},                {"v0", "Posterize", 0, 2},
        {"v0", "ShearX", -0.27, 0.27},                {"v0", "TranslateYRel", -0.405, 0.405},
        {"v0r", "PosterizeIncreasing", 2, 4},         {"originalr", "PosterizeIncreasing", 1, 2},
        {"augmix-m3-mstd0", "TranslateXRel", -0.09, 0.09}, {"augmix-m3-mstd0", "TranslateYRel", -0.09, 0.09},
        {"augmix-m3-mstd0", "Rotate", -9, 9},         {"augmix-m3-mstd0", "Color", 0.73, 1.27},
        {"augmix-m3-mstd0", "Posterize", 3, 3},       {"augmix-m3-mstd0", "Solarize", 180, 180},
        {"rand-m4-t3a", "Desaturate", 0.3, 0.3},      {"rand-m4-t3a", "GaussianBlur", 0.86, 0.86},
        {"rand-m4-t3aw-inc0", "Solarize", 154, 154},  {"rand-m9-t3aw", "Desaturate", 0.05, 0.05},
        {"rand-m15-mmax20-t3a", "Desaturate", 0, 0},  {"rand-m15-mmax20-t3a", "GaussianBlur", 2, 2},
        {"rand-m9-tweights", "Posterize", 1, 1},      {"rand-m15-mmax20-inc1", "Rotate", -45, 45},
        {"rand-m15-mmax20-inc1", "Posterize", 0, 0},  {"rand-m15-mmax20", "Posterize", 6, 6},
        {"rand-m30-mmax30", "Posterize", 8, 8},       {"rand-m15-mmax20-inc1", "Solarize", 0, 0},
        {"rand-m15-mmax20", "Solarize", 256, 256},    {"rand-m15-mmax20", "SolarizeAdd", 128, 128},
        {"rand-m15-mmax20", "Contrast", 2.8, 2.8},    {"rand-m15-mmax20-inc1", "Contrast", 0.1, 2.35},
        {"rand-m15-mmax20", "ShearY", -0.45, 0.45},   {"rand-m30-mmax30", "TranslateXRel", -1.35, 1.35}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double least, most;
        int signs;
        arguments_of(cases[i].policy, cases[i].op, &least, &most, &signs);
        CHECK_MSG(fabs(least - cases[i].least) < 1e-12 && fabs(most - cases[i].most) < 1e-12,
                  "%s, %s: %.9g to %.9g, seed %d", cases[i].policy, cases[i].op, least, most, SEED);
    }
}

/* The research posterize is all that differs. */
TEST(r_changes_posterize_alone)
{
    const char *const names[][2] = {{"v0", "v0r"}, {"original", "originalr"}};
    int changed = 0;
    for (int p = 0; p < 2; p++)
        for (uint32_t i = 0; i < 2000; i++) {
            vt_augment a = parsed(names[p][0]), b = parsed(names[p][1]);
            vt_augment_step one[VT_AUGMENT_STEPS], other[VT_AUGMENT_STEPS];
            int n = draw(&a, i, one);
            CHECK_EQ(draw(&b, i, other), n);
            for (int k = 0; k < n; k++) {
                bool posterize = one[k].op->apply == vt_op_posterize;
                changed += posterize;
                CHECK(one[k].op->apply == other[k].op->apply && (one[k].op == other[k].op) == !posterize);
                CHECK(posterize || one[k].argument == other[k].argument);
            }
        }
    CHECK(changed > 200);
}

int main(void)
{
    RUN(levels_mean_what_timm_says);
    RUN(r_changes_posterize_alone);
    TEST_END();
}
