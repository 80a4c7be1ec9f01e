#include "base/text.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* Makes room for n more bytes and the 0 after them. */
static bool reserve(vt_text *t, size_t n)
{
    if (t->failed || n < t->capacity - t->size) return !t->failed;
    size_t capacity = t->capacity ? t->capacity : 256;
    while (capacity - t->size <= n && capacity <= SIZE_MAX / 4) capacity *= 2;
    char *data = capacity - t->size > n ? vt_realloc(t->data, t->size, capacity) : NULL;
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void vt_text_append(vt_text *t, const char *bytes, size_t n)
{
    if (!reserve(t, n)) return;
    memcpy(t->data + t->size, bytes, n);
    t->size += n;
    t->data[t->size] = 0;
}

void vt_text_add(vt_text *t, const char *s)
{
    vt_text_append(t, s, strlen(s));
}

void vt_text_printf(vt_text *t, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        t->failed = true;
    else if (reserve(t, (size_t)n)) {
        vsnprintf(t->data + t->size, (size_t)n + 1, fmt, again);
        t->size += (size_t)n;
    }
    va_end(again);
}

void vt_text_pad(vt_text *t, size_t size)
{
    while (t->size < size && !t->failed) vt_text_append(t, " ", 1);
}

const char *vt_text_str(const vt_text *t)
{
    return t->data ? t->data : "";
}

vt_status vt_text_status(const vt_text *t)
{
    return t->failed ? vt_fail_memory("text") : VT_OK;
}

void vt_text_free(vt_text *t)
{
    vt_free(t->data);
    *t = (vt_text){0};
}

/* The shortest digits d1 d2 … with value = d1.d2… * 10^exponent; returns how many. printf's digits are exact, so the
 * first precision that reads back is the shortest. What stands between the first digit and the others is the locale's
 * point. */
static int shortest_digits(double value, char digits[18], int *exponent)
{
    char s[64];
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(s, sizeof s, "%.*e", precision, value);
        if (strtod(s, NULL) == value) break;
    }
    char *e = strchr(s, 'e');
    *exponent = atoi(e + 1);
    int n = 0;
    for (char *p = s; p < e; p++) {
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    }
    digits[n] = 0;
    return n;
}

void vt_text_double(vt_text *t, double value)
{
    if (isnan(value)) {
        vt_text_add(t, "nan");
        return;
    }
    if (signbit(value)) vt_text_add(t, "-");
    value = fabs(value);
    if (isinf(value)) {
        vt_text_add(t, "inf");
        return;
    }
    char digits[18];
    int exponent, n = shortest_digits(value, digits, &exponent);
    if (exponent < -4 || exponent >= 16) {
        vt_text_printf(t, n > 1 ? "%c.%se%c%02d" : "%c%se%c%02d", digits[0], digits + 1, exponent < 0 ? '-' : '+',
                       abs(exponent));
    } else if (exponent < 0) {
        vt_text_printf(t, "0.%.*s%s", -exponent - 1, "000", digits);
    } else if (n <= exponent + 1) {
        vt_text_printf(t, "%s%.*s.0", digits, exponent + 1 - n, "000000000000000");
    } else {
        vt_text_printf(t, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}

bool vt_parse_int(const char *s, size_t n, int64_t *value)
{
    size_t i = n && (s[0] == '-' || s[0] == '+');
    if (i == n) return false;
    int64_t v = 0; /* kept negative: there is one negative number more */
    for (; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        int digit = s[i] - '0';
        if (v < (INT64_MIN + digit) / 10) return false;
        v = v * 10 - digit;
    }
    if (s[0] != '-' && v == INT64_MIN) return false;
    *value = s[0] == '-' ? v : -v;
    return true;
}

static size_t count_digits(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] >= '0' && s[i] <= '9') i++;
    return i;
}

bool vt_parse_double(const char *s, size_t n, double *value)
{
    char copy[128], *out = copy;
    if (n >= sizeof copy - 8) return false;
    size_t i = n && (s[0] == '-' || s[0] == '+');
    bool negative = i && s[0] == '-';
    if (n - i == 3 && (!memcmp(s + i, "inf", 3) || !memcmp(s + i, "nan", 3))) {
        *value = s[i] == 'n' ? NAN : negative ? -INFINITY : INFINITY;
        return true;
    }
    size_t whole = count_digits(s + i, n - i), fraction = 0;
    memcpy(out, s, i + whole);
    out += i + whole;
    i += whole;
    if (i < n && s[i] == '.') {
        const char *point = localeconv()->decimal_point;
        size_t k = strlen(point) < 8 ? strlen(point) : 0;
        memcpy(out, point, k);
        fraction = count_digits(s + i + 1, n - i - 1);
        memcpy(out + k, s + i + 1, fraction);
        out += k + fraction;
        i += 1 + fraction;
    }
    if (whole + fraction == 0) return false;
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        size_t sign = i + 1 < n && (s[i + 1] == '-' || s[i + 1] == '+');
        size_t k = count_digits(s + i + 1 + sign, n - i - 1 - sign);
        if (k == 0) return false;
        memcpy(out, s + i, 1 + sign + k);
        out += 1 + sign + k;
        i += 1 + sign + k;
    }
    *out = 0;
    double v = strtod(copy, NULL);
    if (i != n || isinf(v)) return false;
    *value = v;
    return true;
}

size_t vt_utf8_length(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) return 1;
    size_t k = u[0] >= 0xC2 && u[0] <= 0xDF ? 2 : (u[0] & 0xF0) == 0xE0 ? 3 : u[0] >= 0xF0 && u[0] <= 0xF4 ? 4 : 0;
    if (k == 0 || k > n) return 0;
    for (size_t i = 1; i < k; i++) {
        if ((u[i] & 0xC0) != 0x80) return 0;
    }
    /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
    if ((u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F)) return 0;
    if ((u[0] == 0xF0 && u[1] < 0x90) || (u[0] == 0xF4 && u[1] > 0x8F)) return 0;
    return k;
}

size_t vt_utf8_put(char *out, uint32_t c)
{
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3; /* continuation bytes */
    out[0] = (char)(lead[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++) out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3F));
    return more + 1;
}

enum { WORD = 64 }; /* longer words are not compared */

static int smallest(int a, int b, int c)
{
    int m = a < b ? a : b;
    return m < c ? m : c;
}

static char plain(char c)
{
    return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Edits from a to b: insert, delete, replace, swap neighbours. */
static int edit_distance(const char *a, int na, const char *b, int nb)
{
    int d[3][WORD + 1] = {{0}}; /* rows i-2, i-1 and i, in turn */
    for (int j = 0; j <= nb; j++) d[0][j] = j;
    for (int i = 1; i <= na; i++) {
        int *row = d[i % 3], *above = d[(i + 2) % 3], *above2 = d[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            char x = plain(a[i - 1]), y = plain(b[j - 1]);
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == plain(b[j - 2]) && plain(a[i - 2]) == y && above2[j - 2] + 1 < row[j])
                row[j] = above2[j - 2] + 1;
        }
    }
    return d[na % 3][nb];
}

const char *vt_suggest(const char *word, const char *const *words, int count)
{
    const char *best = NULL;
    size_t n = strlen(word);
    if (n == 0 || n > WORD) return NULL;
    int limit = (int)(n + 2) / 3; /* edits: up to a third of the word may be wrong */
    for (int i = 0; i < count; i++) {
        size_t k = strlen(words[i]);
        if (k > WORD) continue;
        int d = edit_distance(word, (int)n, words[i], (int)k);
        if (d <= limit && d < (int)k) {
            best = words[i];
            limit = d - 1;
        }
    }
    return best;
}
