#include "base/yaml.h"

#include "base/alloc.h"
#include "test.h"

static vt_status parse(vt_arena *arena, const char *text, vt_yaml **first)
{
    return vt_yaml_parse(arena, text, strlen(text), first);
}

TEST(reads_what_timm_writes)
{
    static const struct {
        const char *key;
        int line, count; /* -1: null */
        bool list;
        const char *first, *last;
    } wanted[] = {{"aa", 3, 1, false, "rand-m9-mstd0.5-inc1", "rand-m9-mstd0.5-inc1"},
                  {"amp", 4, 1, false, "false", "false"},
                  {"bn_eps", 5, -1, false, NULL, NULL},
                  {"opt_betas", 6, 2, true, "0.9", "0.999"},
                  {"kw", 9, -1, false, NULL, NULL},
                  {"empty", 10, 0, true, NULL, NULL},
                  {"ratio", 11, 2, true, "0.75", "a, b"},
                  {"path", 12, 1, false, "it's #1", "it's #1"},
                  {"u", 13, 1, false, "caf\xC3\xA9\n\xE2\x82\xAC", "caf\xC3\xA9\n\xE2\x82\xAC"},
                  {"none", 14, -1, false, NULL, NULL},
                  {"s", 15, 1, false, "", ""},
                  {"url", 16, 1, false, "http://x/y#z", "http://x/y#z"},
                  {"n", 17, 1, false, "null", "null"},
                  {"last", 18, -1, false, NULL, NULL}};
    vt_arena arena = {0};
    vt_yaml *e;
    CHECK_OK(parse(
        &arena,
        "---\n# comment\naa: rand-m9-mstd0.5-inc1\namp: false   # no\nbn_eps: null\nopt_betas:\n- 0.9\n  - 0.999\n"
        "kw: {}\nempty: []\nratio: [ 0.75, 'a, b' ,]\n\"path\": 'it''s #1'\nu: \"caf\\xE9\\n\\u20AC\"\r\nnone: ~\n"
        "s: ''\nurl: http://x/y#z\nn: 'null'\nlast:",
        &e));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++, e = e->next) {
        CHECK(e != NULL);
        if (!e) break;
        CHECK_STR(e->key, wanted[i].key);
        CHECK_EQ(e->line, wanted[i].line);
        CHECK_EQ(e->is_null ? -1 : e->count, wanted[i].count);
        CHECK_EQ(e->is_list, wanted[i].list);
        if (!wanted[i].first || e->count < 1) continue;
        CHECK_STR(e->items[0], wanted[i].first);
        CHECK_STR(e->items[e->count - 1], wanted[i].last);
    }
    CHECK(e == NULL);
    vt_arena_free(&arena);
}

TEST(refuses_the_rest)
{
    static const char *const cases[][2] = {{"a: 1\n  b: 2", "line 2: an indented line"},
                                           {"a", "line 1: expected \"key: value\""},
                                           {"a:1", "line 1: expected"},
                                           {": 1", "expected \"key"},
                                           {"a: {b: 1}", "line 1: only numbers"},
                                           {"a: &x 1", "only numbers"},
                                           {"a: *x", "only numbers"},
                                           {"a: |", "only numbers"},
                                           {"a: !!str 1", "only numbers"},
                                           {"a: [1, [2]]", "only numbers"},
                                           {"a: [1, 2", "expected ','"},
                                           {"a: [1,", "must end"},
                                           {"a: [1 b: 2]", "a second"},
                                           {"a: 'x", "must end"},
                                           {"a: \"x", "must end"},
                                           {"a: \"\\q\"", "bad escape"},
                                           {"a: \"\\ud800\"", "bad escape"},
                                           {"a: \"\\x0\"", "bad escape"},
                                           {"a: \"\\x00\"", "bad escape"},
                                           {"a: 'x' y", "something after"},
                                           {"a: [1] 2", "something after"},
                                           {"a: b: c", "a second"},
                                           {"- 1", "without a key"},
                                           {"a: 1\n- 2", "line 2: a list item"},
                                           {"a: 1\n\na: 2", "line 3: a stands in line 1 already"},
                                           {"a: \xFF", "line 1: not a text file"},
                                           {"a: \x01", "not a text"},
                                           {"%YAML 1.1", "expected"},
                                           {"a: 1\n---", "line 2: expected"},
                                           {"a: {} b", "something after"},
                                           {"a: [1 2, 'x'y]", "expected ','"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_arena arena = {0};
        vt_yaml *e;
        CHECK_FAILS(parse(&arena, cases[i][0], &e), VT_INVALID, cases[i][1]);
        vt_arena_free(&arena);
    }
}

TEST(strings_read_back)
{
    static const char *const cases[][2] = {{"rand-m9", "rand-m9"},
                                           {"/data/x.y", "/data/x.y"},
                                           {"224x160", "224x160"},
                                           {"", "''"},
                                           {"null", "'null'"},
                                           {"True", "'True'"},
                                           {"off", "'off'"},
                                           {"1e5", "'1e5'"},
                                           {"2020-01-01", "'2020-01-01'"},
                                           {"0x1F", "'0x1F'"},
                                           {"-", "'-'"},
                                           {".inf", "'.inf'"},
                                           {"a: b", "'a: b'"},
                                           {"a #b", "'a #b'"},
                                           {"it's", "'it''s'"},
                                           {"a\nb\"\\", "\"a\\x0Ab\\\"\\\\\""},
                                           {"caf\xC3\xA9", "'caf\xC3\xA9'"},
                                           {" x ", "' x '"},
                                           {"[a]", "'[a]'"},
                                           {"~", "'~'"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_arena arena = {0};
        vt_text t = {0};
        vt_yaml *e;
        vt_yaml_string(&t, cases[i][0]);
        CHECK_STR(vt_text_str(&t), cases[i][1]);
        const char *line = vt_arena_printf(&arena, "k: %s\n", vt_text_str(&t));
        CHECK_OK(parse(&arena, line, &e));
        CHECK(!e->is_null && e->count == 1);
        CHECK_STR(e->items[0], cases[i][0]);
        vt_text_free(&t);
        vt_arena_free(&arena);
    }
}

TEST(every_truncation_ends_well)
{
    static const char text[] = "a: 'x''y'\nb: \"\\u00e9\"\nc: [1, 'two']\nd:\n- 1\n- \"2\"\n";
    for (size_t n = 0; n < sizeof text; n++) {
        vt_arena arena = {0};
        vt_yaml *e;
        char *copy = malloc(n ? n : 1);
        memcpy(copy, text, n);
        vt_status st = vt_yaml_parse(&arena, copy, n, &e);
        CHECK(st == VT_OK || (st == VT_INVALID && strncmp(vt_error(), "line ", 5) == 0));
        free(copy);
        vt_arena_free(&arena);
    }
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live(), n = 0;
    vt_status st;
    do {
        vt_arena arena = {0};
        vt_yaml *e;
        vt_alloc_fail_at(++n, 1);
        st = parse(&arena, "a: [1, 'x']\n", &e);
        vt_alloc_fail_at(0, 0);
        CHECK(st == VT_OK || st == VT_NO_MEMORY);
        vt_arena_free(&arena);
        CHECK_EQ(vt_alloc_live(), live);
    } while (st != VT_OK && n < 1000);
    CHECK(n > 1 && n < 1000);
#endif
}

int main(void)
{
    RUN(reads_what_timm_writes);
    RUN(refuses_the_rest);
    RUN(strings_read_back);
    RUN(every_truncation_ends_well);
    RUN(memory_running_out);
    TEST_END();
}
