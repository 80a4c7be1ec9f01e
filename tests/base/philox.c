#include "base/philox.h"

#include "test.h"

/* Random123's kat_vectors, philox4x32 with 10 rounds. */
TEST(known_answers)
{
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t answer[4];
    } cases[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         0xffffffffffffffffull,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         0x299f31d0a4093822ull,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t *c = cases[i].counter;
        vt_philox r = vt_philox_4x32(cases[i].key, c[0], c[1], c[2], c[3]);
        for (int k = 0; k < 4; k++) CHECK_EQ(r.v[k], cases[i].answer[k]);
    }
}

TEST(uniform_is_in_range)
{
    CHECK(vt_uniform(0) == 0);
    CHECK(vt_uniform(0xffffffff) == 1 - 0x1p-24f);
    CHECK(vt_uniform(0x80000000) == 0.5f);
}

/* A stream reads the blocks in order, and each of the names of a draw tells it apart from others. */
TEST(streams)
{
    vt_rng r = vt_rng_data(7, VT_PURPOSE_CROP, 3, 11, 2);
    for (uint32_t i = 0; i < 10; i++) {
        vt_philox block = vt_philox_4x32(7, i / 4, 3, 11, (uint32_t)VT_PURPOSE_CROP << 24 | 2);
        CHECK_EQ(vt_rng_bits(&r), block.v[i % 4]);
    }
    vt_rng other[] = {vt_rng_data(8, VT_PURPOSE_CROP, 3, 11, 2), vt_rng_data(7, VT_PURPOSE_FLIP, 3, 11, 2),
                      vt_rng_data(7, VT_PURPOSE_CROP, 4, 11, 2), vt_rng_data(7, VT_PURPOSE_CROP, 3, 12, 2),
                      vt_rng_data(7, VT_PURPOSE_CROP, 3, 11, 3)};
    r = vt_rng_data(7, VT_PURPOSE_CROP, 3, 11, 2);
    uint32_t first = vt_rng_bits(&r);
    for (int i = 0; i < 5; i++) CHECK(vt_rng_bits(&other[i]) != first);
}

TEST(below_reaches_every_value_evenly)
{
    int count[7] = {0};
    vt_rng r = vt_rng_data(1, VT_PURPOSE_SHUFFLE, 0, 0, 0);
    for (int i = 0; i < 70000; i++) count[vt_rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) CHECK_NEAR(count[i], 10000, 500); /* 5 standard deviations are 463 */
    CHECK_EQ(vt_rng_below(&r, 1), 0);
}

TEST(hashes)
{
    CHECK(vt_hash_name("") == 0xcbf29ce484222325ull); /* FNV-1a's published values */
    CHECK(vt_hash_name("a") == 0xaf63dc4c8601ec8cull);
    CHECK(vt_hash_name("foobar") == 0x85944171f73967e8ull);
    CHECK(vt_mix_key(0, 1) != vt_mix_key(1, 0));
}

int main(void)
{
    RUN(known_answers);
    RUN(uniform_is_in_range);
    RUN(streams);
    RUN(below_reaches_every_value_evenly);
    RUN(hashes);
    TEST_END();
}
