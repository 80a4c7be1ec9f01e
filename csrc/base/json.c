#include "base/json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

typedef struct reader {
    vt_arena *arena;
    const char *text, *at, *end;
} reader;

static vt_status bad(const reader *r, const char *what)
{
    if (r->at == r->end) what = "the text ends here";
    return vt_fail(VT_INVALID, "JSON, byte %zu: %s", (size_t)(r->at - r->text), what);
}

static void skip_space(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static bool take(reader *r, char c)
{
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static vt_status read_hex4(reader *r, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = r->at < r->end ? *r->at : 0;
        static const char hex[] = "0123456789abcdefABCDEF";
        const char *digit = c ? strchr(hex, c) : NULL;
        if (!digit) return bad(r, "\\u wants four hexadecimal digits");
        *value = *value * 16 + (uint32_t)(digit - hex < 16 ? digit - hex : digit - hex - 6);
    }
    return VT_OK;
}

/* After the backslash. */
static vt_status read_escape(reader *r, char **out)
{
    vt_status st = VT_OK;
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *name = r->at < r->end && *r->at ? strchr(names, *r->at) : NULL;
    if (name) {
        *(*out)++ = values[name - names];
        r->at++;
        return VT_OK;
    }
    if (!take(r, 'u')) return bad(r, "unknown escape");
    uint32_t c, low;
    VT_TRY(read_hex4(r, &c));
    if (c == 0) return bad(r, "a zero byte in a string");
    if (c >= 0xDC00 && c <= 0xDFFF) return bad(r, "the second half of a surrogate pair without the first");
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (!take(r, '\\') || !take(r, 'u')) return bad(r, "half a surrogate pair");
        VT_TRY(read_hex4(r, &low));
        if (low < 0xDC00 || low > 0xDFFF) return bad(r, "half a surrogate pair");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    *out += vt_utf8_put(*out, c);
fail:
    return st;
}

static vt_status read_string(reader *r, const char **string)
{
    vt_status st = VT_OK;
    if (!take(r, '"')) return bad(r, "expected a string");
    const char *close = r->at;
    while (close < r->end && *close != '"') close += *close == '\\' ? 2 : 1;
    if (close >= r->end) {
        r->at = r->end;
        return bad(r, "");
    }
    char *out = vt_arena_alloc(r->arena, (size_t)(close - r->at) + 1); /* escapes only shrink */
    if (!out) return vt_fail_memory("JSON");
    *string = out;
    while (r->at < close) {
        if (take(r, '\\')) {
            VT_TRY(read_escape(r, &out));
            continue;
        }
        size_t n = vt_utf8_length(r->at, (size_t)(close - r->at));
        if (n == 0) return bad(r, "not valid UTF-8");
        if ((unsigned char)*r->at < 0x20) return bad(r, "a control character in a string");
        memcpy(out, r->at, n);
        out += n;
        r->at += n;
    }
    r->at = close + 1;
fail:
    return st;
}

static size_t digits(reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
    return (size_t)(r->at - from);
}

static vt_status read_number(reader *r, vt_json *v)
{
    const char *from = r->at;
    bool whole = true;
    take(r, '-');
    if (!take(r, '0') && digits(r) == 0) return bad(r, "expected a value");
    if (take(r, '.')) {
        whole = false;
        if (digits(r) == 0) return bad(r, "expected a digit");
    }
    if (take(r, 'e') || take(r, 'E')) {
        whole = false;
        if (!take(r, '+')) take(r, '-');
        if (digits(r) == 0) return bad(r, "expected a digit");
    }
    size_t n = (size_t)(r->at - from);
    v->kind = VT_JSON_NUMBER;
    if (!vt_parse_double(from, n, &v->number)) {
        r->at = from;
        return bad(r, "a number too large or too long");
    }
    v->integral = whole && vt_parse_int(from, n, &v->integer);
    v->string = vt_arena_strndup(r->arena, from, n);
    return v->string ? VT_OK : vt_fail_memory("JSON");
}

static vt_status read_value(reader *r, vt_json *v, int depth);

static vt_status read_members(reader *r, vt_json *v, int depth)
{
    vt_status st = VT_OK;
    char close = v->kind == VT_JSON_OBJECT ? '}' : ']';
    vt_json **link = &v->first;
    if (depth == MAX_DEPTH) return bad(r, "nested too deeply");
    skip_space(r);
    if (take(r, close)) return VT_OK;
    for (;;) {
        vt_json *member = vt_arena_alloc(r->arena, sizeof *member);
        if (!member) return vt_fail_memory("JSON");
        if (v->kind == VT_JSON_OBJECT) {
            skip_space(r);
            VT_TRY(read_string(r, &member->key));
            skip_space(r);
            if (!take(r, ':')) return bad(r, "expected ':'");
        }
        VT_TRY(read_value(r, member, depth + 1));
        *link = member;
        link = &member->next;
        if (v->count++ == INT_MAX - 1) return bad(r, "too many members");
        skip_space(r);
        if (take(r, close)) return VT_OK;
        if (!take(r, ',')) return bad(r, v->kind == VT_JSON_OBJECT ? "expected ',' or '}'" : "expected ',' or ']'");
    }
fail:
    return st;
}

static bool take_word(reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n)) return false;
    r->at += n;
    return true;
}

static vt_status read_value(reader *r, vt_json *v, int depth)
{
    skip_space(r);
    if (r->at == r->end) return bad(r, "");
    if (*r->at == '"') {
        v->kind = VT_JSON_STRING;
        return read_string(r, &v->string);
    }
    if (take(r, '{') || take(r, '[')) {
        v->kind = r->at[-1] == '{' ? VT_JSON_OBJECT : VT_JSON_ARRAY;
        return read_members(r, v, depth);
    }
    if (take_word(r, "null")) return VT_OK;
    v->kind = VT_JSON_BOOL;
    v->boolean = take_word(r, "true");
    if (v->boolean || take_word(r, "false")) return VT_OK;
    return read_number(r, v);
}

vt_status vt_json_parse(vt_arena *arena, const char *text, size_t size, vt_json **root)
{
    reader r = {arena, text, text, text + size};
    *root = vt_arena_alloc(arena, sizeof **root);
    if (!*root) return vt_fail_memory("JSON");
    vt_status st = read_value(&r, *root, 0);
    if (st != VT_OK) return st;
    skip_space(&r);
    return r.at == r.end ? VT_OK : bad(&r, "something after the value");
}

const vt_json *vt_json_get(const vt_json *object, const char *key)
{
    if (!object || object->kind != VT_JSON_OBJECT) return NULL;
    const vt_json *v = object->first;
    while (v && strcmp(v->key, key)) v = v->next;
    return v;
}

static void separate(vt_text *t)
{
    char last = t->size ? t->data[t->size - 1] : '\n';
    if (!strchr("{[:\n", last)) vt_text_add(t, ",");
}

void vt_json_open(vt_text *t, char bracket)
{
    separate(t);
    vt_text_append(t, &bracket, 1);
}

void vt_json_close(vt_text *t, char bracket)
{
    vt_text_append(t, &bracket, 1);
}

void vt_json_key(vt_text *t, const char *key)
{
    vt_json_string(t, key);
    vt_text_add(t, ":");
}

void vt_json_string(vt_text *t, const char *s)
{
    separate(t);
    if (!s) {
        vt_text_add(t, "null");
        return;
    }
    vt_text_add(t, "\"");
    for (size_t left = strlen(s), n; left; s += n, left -= n) {
        size_t valid = vt_utf8_length(s, left);
        n = valid ? valid : 1;
        if (!valid)
            vt_text_add(t, "\xEF\xBF\xBD");
        else if (*s == '"' || *s == '\\')
            vt_text_printf(t, "\\%c", *s);
        else if (*s == '\n')
            vt_text_add(t, "\\n");
        else if (*s == '\t')
            vt_text_add(t, "\\t");
        else if ((unsigned char)*s < 0x20)
            vt_text_printf(t, "\\u%04x", (unsigned)*s);
        else
            vt_text_append(t, s, n);
    }
    vt_text_add(t, "\"");
}

void vt_json_number(vt_text *t, double value)
{
    char s[64];
    if (!isfinite(value)) {
        vt_json_string(t, NULL);
    } else if (fabs(value) < 9007199254740992.0 && value == trunc(value)) {
        vt_json_int(t, (int64_t)value);
    } else {
        snprintf(s, sizeof s, "%.8e", value);
        vt_json_exact(t, strtod(s, NULL)); /* the locale that wrote it reads it */
    }
}

void vt_json_exact(vt_text *t, double value)
{
    if (!isfinite(value)) {
        vt_json_string(t, NULL);
        return;
    }
    separate(t);
    vt_text_double(t, value);
}

void vt_json_int(vt_text *t, int64_t value)
{
    separate(t);
    vt_text_printf(t, "%lld", (long long)value);
}

void vt_json_bool(vt_text *t, bool value)
{
    vt_json_literal(t, value ? "true" : "false");
}

void vt_json_literal(vt_text *t, const char *s)
{
    separate(t);
    vt_text_add(t, s);
}
