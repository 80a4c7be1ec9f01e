/* golden.cpp - whether words agree, by rule; golden files: text, a line a primitive,
 *     primitive NAME words COUNT | primitive NAME digests COUNT of WORDS
 * and behind it COUNT words in hexadecimal, eight a line. Lines that begin with # are for people. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "primitives.h"

static const char *const rule_names[] = {"bits", "bf16", "exact", "1 ulp", "2 ulps", "bound"};

static double rule_ulps(rule r)
{
    return r == ULPS_1 ? 1 : 2;
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

static bool same_bf16(uint32_t a, uint32_t b)
{
    const bool nan_a = (a & 0x7FFF) > 0x7F80, nan_b = (b & 0x7FFF) > 0x7F80;
    return nan_a && nan_b ? true : a == b;
}

/* Floats in their order, one apart from neighbour to neighbour, with no denormals: zero is next to the least normal. */
static double place(float f)
{
    const uint32_t bits = bits_of(f), size = bits & 0x7FFFFFFF;
    const double steps = size < 0x00800000 ? 0 : (double)(size - 0x007FFFFF);
    return bits >> 31 ? -steps : steps;
}

static double ulps_apart(float got, float want) /* infinite: only one is a NaN; `got` is not flushed */
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (fpclassify(got) == FP_SUBNORMAL) return INFINITY;
    return fabs(place(got) - place(want));
}

/* One word. `scale`: 1 against the formula; 2 against another that keeps to the formula's limits. */
static bool agrees(rule r, uint32_t got, uint32_t bits, double value, double may, int scale, double *worst)
{
    const float f = float_of(got);
    double off = 0, limit = 1;
    switch (r) {
    case BITS: return got == bits;
    case BF16S: return same_bf16(got & 0xFFFF, bits & 0xFFFF) && same_bf16(got >> 16, bits >> 16);
    case EXACT: return (double)f == value;
    case ULPS_1:
    case ULPS_2:
        off = ulps_apart(f, (float)value);
        limit = rule_ulps(r) * scale;
        break;
    case SUMS: off = isfinite(f) ? fabs(f - value) / (may * scale) : INFINITY; break;
    }
    if (off > *worst) *worst = off;
    return off <= limit;
}

static void compare_word(const primitive *p, comparison *c, int i, uint32_t got, uint32_t bits, double value,
                         double may, int scale)
{
    const bool by_bits = p->agrees == BITS || p->agrees == BF16S;
    const uint32_t want = by_bits ? bits : bits_of((float)value);
    c->words++;
    c->other_bits += got != want;
    if (agrees(p->agrees, got, bits, value, may, scale, &c->worst)) return;
    if (c->wrong++) return;
    c->first = i;
    if (by_bits)
        snprintf(c->text, sizeof c->text, "word %d is %08x, not %08x", i, (unsigned)got, (unsigned)want);
    else
        snprintf(c->text, sizeof c->text, "word %d is %08x, %.9g, not %08x, %.9g (allowed: %s)", i, (unsigned)got,
                 (double)float_of(got), (unsigned)want, value, rule_names[p->agrees]);
}

comparison compare_formula(const primitive *p, const uint32_t *got, const expected *e)
{
    comparison c = {};
    for (int i = 0; i < p->n_out; i++) compare_word(p, &c, i, got[i], e->bits[i], e->value[i], e->may[i], 1);
    return c;
}

comparison compare_golden(const primitive *p, const uint32_t *got, const expected *e, const record *golden)
{
    comparison c = {};
    if (golden->digest) {
        static record mine;
        record_of(p, got, true, &mine);
        for (int i = 0; i < mine.n; i++) {
            c.words++;
            if (mine.words[i] == golden->words[i]) continue;
            c.other_bits++;
            if (c.wrong++) continue;
            c.first = i * p->digest;
            snprintf(c.text, sizeof c.text, "words %d to %d have digest %08x, not %08x", i * p->digest,
                     (i + 1) * p->digest - 1, (unsigned)mine.words[i], (unsigned)golden->words[i]);
        }
        return c;
    }
    for (int i = 0; i < p->n_out; i++)
        compare_word(p, &c, i, got[i], golden->words[i], float_of(golden->words[i]), e->may[i], 2);
    return c;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

void record_of(const primitive *p, const uint32_t *got, bool as_expected, record *r)
{
    r->digest = as_expected ? p->digest : 0;
    if (!r->digest) {
        r->n = p->n_out;
        memcpy(r->words, got, sizeof *got * (size_t)p->n_out);
        return;
    }
    r->n = p->n_out / p->digest;
    for (int i = 0; i < r->n; i++) { /* FNV-1a; of zeros, both are the same */
        uint32_t h = 0x811C9DC5u;
        for (int k = 0; k < p->digest; k++) {
            uint32_t word = got[i * p->digest + k];
            if (p->agrees == EXACT && word == 0x80000000u) word = 0;
            for (int shift = 0; shift < 32; shift += 8) h = (h ^ (word >> shift & 0xFF)) * 0x01000193u;
        }
        r->words[i] = h;
    }
}

void record_write(FILE *file, const char *name, const record *r)
{
    if (r->digest) fprintf(file, "primitive %s digests %d of %d\n", name, r->n, r->digest);
    else fprintf(file, "primitive %s words %d\n", name, r->n);
    for (int i = 0; i < r->n; i++)
        fprintf(file, "%08x%c", (unsigned)r->words[i], i % 8 == 7 || i == r->n - 1 ? '\n' : ' ');
}

/* "primitive NAME words COUNT" and so on, for p. */
static bool header_of(const char *line, const primitive *p, record *r)
{
    char name[64], kind[16];
    r->digest = 0;
    if (sscanf(line, "primitive %63s %15s %d of %d", name, kind, &r->n, &r->digest) < 3) return false;
    if (strcmp(name, p->name)) return false;
    if (!strcmp(kind, "words")) return r->digest == 0 && r->n == p->n_out;
    return !strcmp(kind, "digests") && p->digest && r->digest == p->digest && r->n == p->n_out / p->digest;
}

bool record_find(FILE *file, const primitive *p, record *r)
{
    char line[256];
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        if (!header_of(line, p, r)) continue;
        for (int i = 0; i < r->n; i++) {
            unsigned word;
            if (fscanf(file, "%8x", &word) != 1) return false;
            r->words[i] = word;
        }
        return true;
    }
    return false;
}
