#include "base/text.h"

#include "test.h"

TEST(doubles_as_python_writes_them)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0.0"},
                 {-0.0, "-0.0"},
                 {5, "5.0"},
                 {0.0005, "0.0005"},
                 {1e-4, "0.0001"},
                 {1e-5, "1e-05"},
                 {0.99996, "0.99996"},
                 {123.25, "123.25"},
                 {1e15, "1000000000000000.0"},
                 {1e16, "1e+16"},
                 {1.5e300, "1.5e+300"},
                 {-2.5e-7, "-2.5e-07"},
                 {0.1, "0.1"},
                 {1.0 / 3, "0.3333333333333333"},
                 {5e-324, "5e-324"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {100, "100.0"},
                 {120000.5, "120000.5"},
                 {INFINITY, "inf"},
                 {-INFINITY, "-inf"},
                 {NAN, "nan"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_text t = {0};
        double back;
        vt_text_double(&t, cases[i].value);
        CHECK_STR(vt_text_str(&t), cases[i].text);
        CHECK(vt_parse_double(t.data, t.size, &back));
        CHECK(memcmp(&back, &cases[i].value, sizeof back) == 0 || (isnan(back) && isnan(cases[i].value)));
        vt_text_free(&t);
    }
}

TEST(numbers)
{
    static const char *const not_double[] = {"",   "+",  ".",   "1e",       "1e+",   "0x10",
                                             " 1", "1 ", "1,5", "infinity", "1e999", "--1"};
    static const char *const not_int[] = {"",   "-", "1.0", "1e3", " 1", "9223372036854775808", "-9223372036854775809",
                                          "0x1"};
    double d;
    int64_t i;
    for (size_t k = 0; k < sizeof not_double / sizeof *not_double; k++)
        CHECK_MSG(!vt_parse_double(not_double[k], strlen(not_double[k]), &d), "%s", not_double[k]);
    for (size_t k = 0; k < sizeof not_int / sizeof *not_int; k++)
        CHECK_MSG(!vt_parse_int(not_int[k], strlen(not_int[k]), &i), "%s", not_int[k]);
    CHECK(vt_parse_double("-.5E1x", 5, &d) && d == -5);
    CHECK(vt_parse_double("2.", 2, &d) && d == 2);
    CHECK(vt_parse_int("-9223372036854775808", 20, &i) && i == INT64_MIN);
    CHECK(vt_parse_int("+9223372036854775807", 20, &i) && i == INT64_MAX);
}

TEST(grows_and_pads)
{
    vt_text t = {0};
    for (int i = 0; i < 1000; i++) vt_text_printf(&t, "%04d", i);
    CHECK_EQ(t.size, 4000);
    CHECK(memcmp(t.data + 3996, "0999", 5) == 0);
    vt_text_pad(&t, 4010);
    CHECK_EQ(strlen(t.data), 4010);
    CHECK_OK(vt_text_status(&t));
    vt_text_free(&t);
    CHECK_STR(vt_text_str(&t), "");
}

TEST(suggests_the_nearest_word)
{
    static const char *const words[] = {"batch-size", "epochs", "lr", "deit_tiny_patch16_224",
                                        "deit_small_patch16_224"};
    CHECK_STR(vt_suggest("bach-size", words, 5), "batch-size");
    CHECK_STR(vt_suggest("batch_size", words, 5), "batch-size");
    CHECK_STR(vt_suggest("epcohs", words, 5), "epochs");
    CHECK_STR(vt_suggest("rl", words, 5), "lr");
    CHECK_STR(vt_suggest("deit_tny_patch16_224", words, 5), "deit_tiny_patch16_224");
    CHECK(!vt_suggest("xyzzy", words, 5));
    CHECK(!vt_suggest("", words, 5));
    CHECK(!vt_suggest("a-word-of-more-than-sixty-four-letters-which-is-not-worth-comparing-to-any", words, 5));
}

int main(void)
{
    RUN(doubles_as_python_writes_them);
    RUN(numbers);
    RUN(grows_and_pads);
    RUN(suggests_the_nearest_word);
    TEST_END();
}
