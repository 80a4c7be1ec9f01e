#include "base/json.h"

#include "base/alloc.h"
#include "test.h"

static vt_status parse(vt_arena *arena, const char *text, vt_json **v)
{
    return vt_json_parse(arena, text, strlen(text), v);
}

TEST(reads_a_tree_in_order)
{
    vt_arena arena = {0};
    vt_json *v;
    CHECK_OK(parse(&arena, " {\"b\" : [1, -2.5e3, true,null], \"a\":{\"\":\"x\"}, \"b\":0} ", &v));
    CHECK_EQ(v->kind, VT_JSON_OBJECT);
    CHECK_EQ(v->count, 3);
    CHECK_STR(v->first->key, "b");
    CHECK_STR(v->first->next->key, "a");
    const vt_json *list = vt_json_get(v, "b");
    CHECK_EQ(list->count, 4);
    CHECK(list->first->integral && list->first->integer == 1 && list->first->number == 1);
    CHECK(!list->first->next->integral && list->first->next->number == -2500);
    CHECK_STR(list->first->next->string, "-2.5e3");
    CHECK(list->first->next->next->kind == VT_JSON_BOOL && list->first->next->next->boolean);
    CHECK_EQ(list->first->next->next->next->kind, VT_JSON_NULL);
    CHECK_STR(vt_json_get(vt_json_get(v, "a"), "")->string, "x");
    CHECK(!vt_json_get(v, "c") && !vt_json_get(list, "b"));
    vt_arena_free(&arena);
}

TEST(reads_escapes)
{
    vt_arena arena = {0};
    vt_json *v;
    CHECK_OK(parse(&arena, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\uDE00\xC3\xA9\"", &v));
    CHECK_STR(v->string, "\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xC3\xA9");
    vt_arena_free(&arena);
}

TEST(integers_are_exact)
{
    vt_arena arena = {0};
    vt_json *v;
    CHECK_OK(parse(&arena, "-9223372036854775808", &v));
    CHECK(v->integral && v->integer == INT64_MIN);
    CHECK_OK(parse(&arena, "9223372036854775807", &v));
    CHECK(v->integral && v->integer == INT64_MAX);
    CHECK_OK(parse(&arena, "9223372036854775808", &v));
    CHECK(!v->integral && v->number == 9223372036854775808.0);
    vt_arena_free(&arena);
}

TEST(refuses_what_is_not_json)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "byte 0: the text ends here"},
        {"{", "byte 1: the text ends"},
        {"{\"a\"}", "byte 4: expected ':'"},
        {"[1,]", "byte 3: expected a value"},
        {"[1 2]", "byte 3: expected ',' or ']'"},
        {"{\"a\":1,}", "expected a string"},
        {"01", "something after"},
        {"1.", "ends here"},
        {"-", "ends here"},
        {"1e", "ends here"},
        {"+1", "a value"},
        {".5", "a value"},
        {"1e999", "too large"},
        {"nul", "a value"},
        {"NaN", "a value"},
        {"'a'", "a value"},
        {"\"\\x\"", "unknown escape"},
        {"\"\\u12g4\"", "hexadecimal"},
        {"\"\\ud800\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"\"\\udc00\"", "surrogate"},
        {"\"\\u0000\"", "zero byte"},
        {"\"\n\"", "control"},
        {"\"\xFF\"", "UTF-8"},
        {"\"\xC0\x80\"", "UTF-8"},
        {"\"\xED\xA0\x80\"", "UTF-8"},
        {"\"\xF4\x90\x80\x80\"", "UTF-8"},
        {"\"\xE2\x82\"", "UTF-8"},
        {"\"a", "ends here"},
        {"\"a\\", "ends here"},
        {"\"\\\"", "ends here"},
        {"\"\\u00\"", "hexadecimal"},
        {"{} x", "something after"},
        {"tru\"", "a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_arena arena = {0};
        vt_json *v;
        CHECK_FAILS(parse(&arena, cases[i].text, &v), VT_INVALID, cases[i].message);
        vt_arena_free(&arena);
    }
}

TEST(depth_is_limited)
{
    char text[200];
    for (int depth = 63; depth <= 66; depth++) {
        vt_arena arena = {0};
        vt_json *v;
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        vt_status st = vt_json_parse(&arena, text, 2 * (size_t)depth, &v);
        CHECK_EQ(st, depth <= 64 ? VT_OK : VT_INVALID);
        vt_arena_free(&arena);
    }
}

/* Each text lies alone at the end of a block, so that a read beyond its end shows under AddressSanitizer. */
TEST(every_truncation_is_an_error)
{
    const char *text = "{\"a\":[1.5e+3,true,\"\\ud83d\\ude00\\n\xC3\xA9\",{}],\"b\":null}";
    size_t size = strlen(text);
    for (size_t n = 0; n < size; n++) {
        vt_arena arena = {0};
        vt_json *v;
        char *copy = malloc(n ? n : 1);
        memcpy(copy, text, n);
        CHECK_FAILS(vt_json_parse(&arena, copy, n, &v), VT_INVALID, "JSON, byte");
        free(copy);
        vt_arena_free(&arena);
    }
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live();
    vt_status st;
    long n = 0;
    do {
        vt_arena arena = {0};
        vt_json *v;
        vt_alloc_fail_at(++n, 1);
        st = parse(&arena, "{\"a\":[1,2,\"x\"]}", &v);
        vt_alloc_fail_at(0, 0);
        CHECK(st == VT_OK || st == VT_NO_MEMORY);
        vt_arena_free(&arena);
        CHECK_EQ(vt_alloc_live(), live);
    } while (st != VT_OK && n < 1000);
    CHECK(n > 1 && n < 1000);
    vt_text t = {0};
    vt_alloc_fail_at(1, 0);
    vt_json_string(&t, "lost");
    vt_json_int(&t, 1);
    CHECK_EQ(vt_text_status(&t), VT_NO_MEMORY);
    CHECK_STR(vt_text_str(&t), "");
    vt_text_free(&t);
#endif
}

TEST(writes)
{
    vt_text t = {0};
    vt_json_open(&t, '{');
    vt_json_key(&t, "a\"b");
    vt_json_open(&t, '[');
    vt_json_number(&t, 0.1f);
    vt_json_number(&t, 7.5e9);
    vt_json_number(&t, 1e-7);
    vt_json_number(&t, NAN);
    vt_json_number(&t, -INFINITY);
    vt_json_exact(&t, 0.1);
    vt_json_exact(&t, 1.0 / 3);
    vt_json_int(&t, INT64_MIN);
    vt_json_bool(&t, true);
    vt_json_open(&t, '{');
    vt_json_close(&t, '}');
    vt_json_close(&t, ']');
    vt_json_key(&t, "s");
    vt_json_string(&t, "\\ \n\t\x01 \xC3\xA9 \xFF{");
    vt_json_key(&t, "n");
    vt_json_string(&t, NULL);
    vt_json_close(&t, '}');
    vt_text_add(&t, "\n");
    vt_json_int(&t, 2);
    CHECK_STR(vt_text_str(&t),
              "{\"a\\\"b\":[0.100000001,7500000000,1e-07,null,null,0.1,0.3333333333333333,"
              "-9223372036854775808,true,{}],\"s\":\"\\\\ \\n\\t\\u0001 \xC3\xA9 \xEF\xBF\xBD{\",\"n\":null}\n2");
    vt_text_free(&t);
}

int main(void)
{
    RUN(reads_a_tree_in_order);
    RUN(reads_escapes);
    RUN(integers_are_exact);
    RUN(refuses_what_is_not_json);
    RUN(depth_is_limited);
    RUN(every_truncation_is_an_error);
    RUN(memory_running_out);
    RUN(writes);
    TEST_END();
}
