#include "data/augment_policy.h"

#include "policy.h"

TEST(reads_rand)
{
    const struct { const char *text; double level, deviation; int increasing, layers; double probability; } cases[] = {
        {"rand", 10, 0, 0, 2, 0.5},
        {"rand-m9-mstd0.5-inc1", 9, 0.5, 1, 2, 0.5},
        {"rand-inc1-mstd0.5-m9", 9, 0.5, 1, 2, 0.5},
        {"rand-p0.25-n3-m2.5", 2.5, 0, 0, 3, 0.25},
        {"rand-n16-inc0-p1-m0", 0, 0, 0, 16, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_augment a = parsed(cases[i].text);
        CHECK_EQ(a.policy, VT_AUGMENT_RAND);
        CHECK_MSG(a.level == cases[i].level && a.deviation == cases[i].deviation && a.layers == cases[i].layers &&
                      a.increasing == cases[i].increasing && a.probability == cases[i].probability,
                  "%s", cases[i].text);
    }
}

TEST(reads_others)
{
    vt_augment a = {.jitter = 0.3, .policy = VT_AUGMENT_RAND};
    CHECK_OK(vt_augment_parse(&a, "none"));
    CHECK(a.policy == VT_AUGMENT_NONE && a.jitter == 0.3);
    CHECK_OK(vt_augment_parse(&a, NULL));
    CHECK(a.policy == VT_AUGMENT_NONE && a.jitter == 0.3);
    CHECK(parsed("v0").policy == VT_AUGMENT_AUTO && parsed("original").policy == VT_AUGMENT_AUTO);
    CHECK(parsed("v0").pairs != parsed("original").pairs && parsed("v0").deviation == 0);
    CHECK(parsed("v0").pairs == parsed("v0r").pairs && parsed("original").pairs == parsed("originalr").pairs);
    CHECK(!parsed("v0").posterize_increasing && parsed("v0r-mstd1").posterize_increasing);
    CHECK(!parsed("original").posterize_increasing && parsed("originalr").posterize_increasing);
    CHECK(!parsed("3a").posterize_increasing && !parsed("none").posterize_increasing);
    CHECK(parsed("v0-mstd0.5").deviation == 0.5 && parsed("original-mstd1").deviation == 1);
    CHECK_EQ(parsed("3a").policy, VT_AUGMENT_THREE);
}

TEST(reads_new_parts_of_rand)
{
    vt_augment a = parsed("rand-m15-mmax20");
    CHECK(a.level == 15 && a.most == 20 && a.set == &vt_augment_rand_set && !a.increasing);
    CHECK(parsed("rand-mmax20-m15").level == 15 && parsed("rand").most == 10);
    CHECK(parsed("rand-mstd100").deviation == 100 && isinf(parsed("rand-mstd101").deviation));
    const char *const sets[] = {"rand-tweights-n15", "rand-m9-t3a-n16", "rand-t3aw-p1"};
    for (int i = 0; i < VT_AUGMENT_NAMED_SETS; i++) {
        a = parsed(sets[i]);
        CHECK(a.policy == VT_AUGMENT_RAND && a.set == &vt_augment_named_sets[i] && a.increasing);
    }
}

TEST(reads_augmix)
{
    const struct { const char *text; double level, deviation, alpha; int width, depth, blended; } cases[] = {
        {"augmix", 3, INFINITY, 1, 3, 0, 0},
        {"augmix-m5-w4-d2", 5, INFINITY, 1, 4, 2, 0},
        {"augmix-b1-a0.5-mstd0-w1-d0", 3, 0, 0.5, 1, 0, 1},
        {"augmix-m2.5-w8-d8-b0-mstd0.5", 2.5, 0.5, 1, 8, 8, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_augment a = parsed(cases[i].text);
        CHECK_EQ(a.policy, VT_AUGMENT_MIX);
        CHECK_MSG(a.level == cases[i].level && a.deviation == cases[i].deviation && a.alpha == cases[i].alpha &&
                      a.width == cases[i].width && a.depth == cases[i].depth && a.blended == cases[i].blended &&
                      a.most == 10 && a.increasing && a.set == &vt_augment_mix_set,
                  "%s", cases[i].text);
    }
}

/* As timm looks for "3a" in the name. */
TEST(says_where_jitter_is)
{
    const struct { const char *text; bool jitters; } cases[] = {
        {"none", true},  {"3a", true},            {"rand-t3a", true}, {"rand-m9-t3aw", true}, {"rand", false},
        {"v0r", false}, {"rand-tweights", false}, {"augmix", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_augment a = parsed(cases[i].text);
        CHECK(!vt_augment_jitters(&a) && vt_augment_on(&a) == (i > 0));
        a.jitter = 0.3;
        CHECK_MSG(vt_augment_jitters(&a) == cases[i].jitters && vt_augment_on(&a), "%s", cases[i].text);
    }
}

TEST(names_what_is_wrong)
{
    const struct { const char *text, *message; } cases[] = {
        {"rand-m9-x3", "--aa rand-m9-x3: unknown part \"x3\""},
        {"rand-mmax3", "\"m10\": want m and a number of 0 to 3, or mmax10 too"},
        {"rand-mmax31", "\"mmax31\""},
        {"rand-mmax0", "\"mmax0\""},
        {"rand-m9-t", "\"t\": want tweights, t3a or t3aw"},
        {"rand-tweight", "\"tweight\""},
        {"rand-w0", "unknown part \"w0\""},
        {"rand-t3a-t3aw", "t stands there twice"},
        {"rand-n16-tweights", "\"n16\": tweights has 15 ops"},
        {"rand-m9-", "unknown part \"\""},
        {"rand-9", "unknown part \"9\""},
        {"rand-m", "\"m\": want m and a number of 0 to 30"},
        {"rand-m10.5", "\"m10.5\": want m and a number of 0 to 10, or mmax11 too"},
        {"rand-m31-mmax30", "\"m31\""},
        {"rand-m-1", "\"m\""},
        {"rand-m9x", "\"m9x\""},
        {"rand-mstd1001", "\"mstd1001\""},
        {"v0-mstd101", "\"mstd101\""},
        {"rand-n0", "\"n0\": want n and a whole number of 1 to 16"},
        {"rand-n17", "\"n17\""},
        {"rand-n1.5", "\"n1.5\""},
        {"rand-inc2", "\"inc2\""},
        {"rand-inc0.5", "\"inc0.5\""},
        {"rand-p1.1", "\"p1.1\""},
        {"rand-m9-m9", "m stands there twice"},
        {"v0-m9", "unknown part \"m9\""},
        {"original-", "unknown part \"\""},
        {"3a-mstd1", "unknown part \"mstd1\""},
        {"random", "unknown policy \"random\""},
        {"augmix-m11", "\"m11\": want m and a number of 0 to 10"},
        {"augmix-w0", "\"w0\": want w and a whole number of 1 to 8"},
        {"augmix-w9", "\"w9\""},
        {"augmix-d9", "\"d9\": want d and a whole number of 0 to 8"},
        {"augmix-d-1", "\"d\""},
        {"augmix-d1.5", "\"d1.5\""},
        {"augmix-a0", "\"a0\""},
        {"augmix-b2", "\"b2\""},
        {"augmix-n2", "unknown part \"n2\": want m, mstd, w, d"},
        {"augmix-w3-w3", "w stands there twice"},
        {"augmi-m3", "unknown policy \"augmi\""},
        {"v0rr", "unknown policy \"v0rr\""},
        {"-m9", "unknown policy \"\""},
        {"0", "unknown policy \"0\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_augment a = {0};
        CHECK_FAILS(vt_augment_parse(&a, cases[i].text), VT_INVALID, cases[i].message);
        CHECK(strstr(vt_error(), "--aa ") && !strchr(vt_error(), '\n'));
    }
}

int main(void)
{
    RUN(reads_rand);
    RUN(reads_new_parts_of_rand);
    RUN(reads_augmix);
    RUN(reads_others);
    RUN(says_where_jitter_is);
    RUN(names_what_is_wrong);
    TEST_END();
}
