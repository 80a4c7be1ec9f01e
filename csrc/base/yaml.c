#include "base/yaml.h"

#include <string.h>
#include <strings.h>

enum { MAX_BYTES = 64 * 1024 }; /* keys are compared each with each */

typedef struct reader {
    vt_arena *arena;
    const char *at, *end; /* of the line */
    int line;
} reader;

typedef struct scalar {
    const char *text;
    bool quoted;
} scalar;

static vt_status bad(const reader *r, const char *what)
{
    return vt_fail(VT_INVALID, "line %d: %s", r->line, what);
}

static bool at_char(const reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static void skip_space(reader *r)
{
    while (at_char(r, ' ') || at_char(r, '\t')) r->at++;
}

/* At the end of the line, or where a comment begins. */
static bool at_end(const reader *r)
{
    return r->at == r->end || *r->at == '#';
}

static vt_status read_hex(reader *r, int digits, char **out)
{
    uint32_t c = 0;
    for (int i = 0; i < digits; i++, r->at++) {
        static const char hex[] = "0123456789abcdefABCDEF";
        const char *digit = r->at < r->end && *r->at ? strchr(hex, *r->at) : NULL;
        if (!digit) return bad(r, "bad escape in a string");
        c = c << 4 | (uint32_t)(digit - hex < 16 ? digit - hex : digit - hex - 6);
    }
    if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return bad(r, "bad escape in a string");
    *out += vt_utf8_put(*out, c);
    return VT_OK;
}

static vt_status read_escape(reader *r, char **out)
{
    static const char names[] = "\"\\/ntr", values[] = "\"\\/\n\t\r";
    char c = r->at < r->end ? *r->at++ : 0;
    if (c == 'x') return read_hex(r, 2, out);
    if (c == 'u') return read_hex(r, 4, out);
    if (c == 'U') return read_hex(r, 8, out);
    const char *name = c ? strchr(names, c) : NULL;
    if (!name) return bad(r, "bad escape in a string");
    *(*out)++ = values[name - names];
    return VT_OK;
}

static vt_status read_quoted(reader *r, scalar *s)
{
    vt_status st;
    char quote = *r->at++, *out = vt_arena_alloc(r->arena, (size_t)(r->end - r->at) + 1); /* escapes only shrink */
    if (!out) return vt_fail_memory("settings file");
    *s = (scalar){out, true};
    for (;;) {
        if (r->at == r->end) return bad(r, "a quoted string must end on its line");
        char c = *r->at++;
        if (c == '\\' && quote == '"') {
            VT_TRY(read_escape(r, &out));
            continue;
        }
        if (c == quote && (quote == '"' || !at_char(r, '\''))) return VT_OK;
        if (c == quote) r->at++; /* '' is one ' */
        *out++ = c;
    }
fail:
    return st;
}

/* In a list a comma or a bracket ends a plain scalar too. */
static vt_status read_scalar(reader *r, bool in_list, scalar *s)
{
    if (at_char(r, '"') || at_char(r, '\'')) return read_quoted(r, s);
    const char *from = r->at, *last = r->at;
    if (r->at < r->end && strchr("[]{}&*!|>%@`,?", *r->at))
        return bad(r, "only numbers, strings, true, false, null and lists of these are read; quote other text");
    for (; r->at < r->end; r->at++) {
        char before = r->at > from ? r->at[-1] : ' ';
        if (*r->at == '#' && before == ' ') break;
        if (in_list && strchr(",[]{}", *r->at)) break;
        if (*r->at == ':' && (r->at + 1 == r->end || r->at[1] == ' '))
            return bad(r, "a second \": \"; quote the value");
        if (*r->at != ' ' && *r->at != '\t') last = r->at + 1;
    }
    *s = (scalar){vt_arena_strndup(r->arena, from, (size_t)(last - from)), false};
    return s->text ? VT_OK : vt_fail_memory("settings file");
}

static vt_status add_item(const reader *r, vt_yaml *entry, const char *text)
{
    size_t n = (size_t)entry->count;
    if ((n & (n - 1)) == 0) { /* room for twice as many: 1, 2, 4, … */
        const char **items = vt_arena_alloc(r->arena, (n ? 2 * n : 1) * sizeof *items);
        if (!items) return vt_fail_memory("settings file");
        if (n) memcpy(items, entry->items, n * sizeof *items);
        entry->items = items;
    }
    entry->items[entry->count++] = text;
    return VT_OK;
}

static vt_status read_flow_list(reader *r, vt_yaml *entry)
{
    vt_status st = VT_OK;
    entry->is_list = true;
    r->at++;
    for (;;) {
        scalar item;
        skip_space(r);
        if (at_char(r, ']')) break; /* empty, or after a last comma */
        if (at_end(r)) return bad(r, "a list in brackets must end on its line");
        VT_TRY(read_scalar(r, true, &item));
        VT_TRY(add_item(r, entry, item.text));
        skip_space(r);
        if (at_char(r, ','))
            r->at++;
        else if (!at_char(r, ']'))
            return bad(r, "expected ',' or ']'");
    }
    r->at++;
fail:
    return st;
}

static bool is_null(const scalar *s)
{
    return !s->quoted && (!s->text[0] || !strcmp(s->text, "~") || !strcasecmp(s->text, "null"));
}

static vt_status read_value(reader *r, vt_yaml *entry)
{
    vt_status st;
    scalar s;
    skip_space(r);
    if (at_end(r) || (r->end - r->at >= 2 && r->at[0] == '{' && r->at[1] == '}')) {
        entry->is_null = true;
        if (!at_end(r)) r->at += 2;
    } else if (at_char(r, '[')) {
        VT_TRY(read_flow_list(r, entry));
    } else {
        VT_TRY(read_scalar(r, false, &s));
        entry->is_null = is_null(&s);
        if (!entry->is_null) VT_TRY(add_item(r, entry, s.text));
    }
    skip_space(r);
    if (!at_end(r)) VT_TRY(bad(r, "something after the value"));
    return VT_OK;
fail:
    return st;
}

static vt_status read_key(reader *r, const char **key)
{
    if (at_char(r, '"') || at_char(r, '\'')) {
        scalar s;
        vt_status st = read_quoted(r, &s);
        if (st != VT_OK) return st;
        *key = s.text;
    } else {
        const char *from = r->at;
        while (r->at < r->end && !strchr(": \t#", *r->at)) r->at++;
        *key = vt_arena_strndup(r->arena, from, (size_t)(r->at - from));
        if (!*key) return vt_fail_memory("settings file");
    }
    skip_space(r);
    if (!**key || !at_char(r, ':') || (r->at + 1 < r->end && r->at[1] != ' ' && r->at[1] != '\t'))
        return bad(r, "expected \"key: value\"");
    r->at++;
    return VT_OK;
}

/* `open`: the entry a "- item" line belongs to, or NULL. */
static vt_status read_list_line(reader *r, vt_yaml *open)
{
    vt_status st;
    scalar s;
    if (!open) return bad(r, "a list item without a key before it");
    open->is_list = true;
    open->is_null = false;
    r->at++;
    skip_space(r);
    VT_TRY(read_scalar(r, false, &s));
    VT_TRY(add_item(r, open, s.text));
    skip_space(r);
    if (!at_end(r)) VT_TRY(bad(r, "something after the value"));
    return VT_OK;
fail:
    return st;
}

static vt_status read_line(reader *r, vt_yaml **first, vt_yaml ***link, vt_yaml **open)
{
    vt_status st;
    const char *from = r->at;
    skip_space(r);
    if (at_end(r)) return VT_OK;
    if (at_char(r, '-') && (r->at + 1 == r->end || r->at[1] == ' ')) return read_list_line(r, *open);
    if (r->at != from) return bad(r, "an indented line; settings are one flat list");
    vt_yaml *entry = vt_arena_alloc(r->arena, sizeof *entry);
    if (!entry) return vt_fail_memory("settings file");
    entry->line = r->line;
    VT_TRY(read_key(r, &entry->key));
    for (const vt_yaml *e = *first; e; e = e->next) {
        if (strcmp(e->key, entry->key) == 0)
            VT_TRY(vt_fail(VT_INVALID, "line %d: %s stands in line %d already", r->line, e->key, e->line));
    }
    skip_space(r);
    *open = at_end(r) ? entry : NULL;
    VT_TRY(read_value(r, entry));
    **link = entry;
    *link = &entry->next;
    return VT_OK;
fail:
    return st;
}

static vt_status check_text(const reader *r)
{
    for (const char *p = r->at; p < r->end;) {
        size_t n = vt_utf8_length(p, (size_t)(r->end - p));
        if (n == 0 || ((unsigned char)*p < 0x20 && *p != '\t')) return bad(r, "not a text file in UTF-8");
        p += n;
    }
    return VT_OK;
}

vt_status vt_yaml_parse(vt_arena *arena, const char *text, size_t size, vt_yaml **first)
{
    vt_status st = VT_OK;
    vt_yaml **link = first, *open = NULL;
    *first = NULL;
    if (size > MAX_BYTES) return vt_fail(VT_INVALID, "line 1: %zu bytes are too many for a settings file", size);
    int line = 1;
    for (const char *at = text, *end = text + size; at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        reader r = {arena, at, newline ? newline : end, line};
        at = newline ? newline + 1 : end;
        if (r.end > r.at && r.end[-1] == '\r') r.end--;
        VT_TRY(check_text(&r));
        if (!*first && r.end - r.at == 3 && memcmp(r.at, "---", 3) == 0) continue;
        VT_TRY(read_line(&r, first, &link, &open));
    }
fail:
    return st;
}

/* Whether YAML 1.1, and so PyYAML, takes the plain text for a string. Dates and times are made of the same characters
 * as numbers. Harmless text may be quoted. */
static bool is_plain(const char *s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-=@%^,()$;<~";
    double number;
    if (!*s || !strchr(safe, *s) || strchr("-=@%,<~", *s) || strspn(s, safe) != strlen(s)) return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!strcasecmp(s, words[i])) return false;
    }
    return !vt_parse_double(s, strlen(s), &number) && strspn(s, "0123456789_.+-eE") < strlen(s) &&
           strncmp(s, "0x", 2) && strncmp(s, "0b", 2) && strcasecmp(s, ".inf") && strcasecmp(s, ".nan") &&
           strcasecmp(s, "+.inf");
}

void vt_yaml_string(vt_text *t, const char *s)
{
    bool controls = false;
    for (const char *p = s; *p; p++) controls |= (unsigned char)*p < 0x20 || *p == 0x7F;
    if (is_plain(s)) {
        vt_text_add(t, s);
        return;
    }
    vt_text_add(t, controls ? "\"" : "'");
    for (; *s; s++) {
        if (!controls && *s == '\'')
            vt_text_add(t, "''");
        else if (controls && (*s == '"' || *s == '\\'))
            vt_text_printf(t, "\\%c", *s);
        else if ((unsigned char)*s < 0x20 || *s == 0x7F)
            vt_text_printf(t, "\\x%02X", (unsigned)*s);
        else
            vt_text_append(t, s, 1);
    }
    vt_text_add(t, controls ? "\"" : "'");
}
