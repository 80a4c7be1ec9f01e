#include <math.h>
#include <string.h>

#include "base/text.h"
#include "data/augment_table.h"

/* What one part, "mstd0.5", may be. */
typedef struct part {
    const char *key;
    double min, max;
    bool whole;
    bool names;                /* a set of ops, and has no number */
    double value;              /* the default, then what was read */
    const vt_augment_set *set;
    bool read;
} part;

enum { MSTD_MOST = 100, LEVEL_MOST = 30 };

static const char *skip_name(const char *text)
{
    return text + strcspn(text, "-");
}

static bool is_name(const char *text, size_t size, const char *name)
{
    return size == strlen(name) && strncmp(text, name, size) == 0;
}

/* The number of a part, or the set's name. */
static vt_status read_value(const char *text, part *found, const char *p, size_t size)
{
    size_t key = strlen(found->key);
    if (found->names) {
        for (int i = 0; i < VT_AUGMENT_NAMED_SETS; i++)
            if (is_name(p + key, size - key, vt_augment_named_sets[i].name)) found->set = &vt_augment_named_sets[i];
        if (found->set) return VT_OK;
        return vt_fail(VT_INVALID, "--aa %s: \"%.*s\": want tweights, t3a or t3aw", text, (int)size, p);
    }
    bool number = vt_parse_double(p + key, size - key, &found->value);
    if (!number || !(found->value >= found->min && found->value <= found->max) ||
        (found->whole && found->value != floor(found->value)))
        return vt_fail(VT_INVALID, "--aa %s: \"%.*s\": want %s and %s number of %g to %g", text, (int)size, p,
                       found->key, found->whole ? "a whole" : "a", found->min, found->max);
    return VT_OK;
}

/* The parts after the policy's name, "-m9-mstd0.5". */
static vt_status read_parts(const char *text, part *parts, int count, const char *known)
{
    for (const char *p = skip_name(text), *end; *p; p = end) {
        part *found = NULL;
        end = skip_name(++p);
        size_t size = (size_t)(end - p), key = strcspn(p, "-.0123456789");
        for (int i = 0; i < count; i++)
            if (is_name(p, parts[i].names && *p == *parts[i].key ? 1 : key, parts[i].key)) found = &parts[i];
        if (!found)
            return vt_fail(VT_INVALID, "--aa %s: unknown part \"%.*s\": want %s", text, (int)size, p, known);
        if (found->read) return vt_fail(VT_INVALID, "--aa %s: %s stands there twice", text, found->key);
        found->read = true;
        vt_status st = read_value(text, found, p, size);
        if (st != VT_OK) return st;
    }
    return VT_OK;
}

static vt_status read_rand(vt_augment *a, const char *text)
{
    enum { M, MSTD, MMAX, INC, N, P, T, PARTS };
    part parts[PARTS] = {
        [M] = {.key = "m", .max = LEVEL_MOST, .value = VT_AUGMENT_LEVEL},
        [MSTD] = {.key = "mstd", .max = 1000},
        [MMAX] = {.key = "mmax", .min = 1, .max = LEVEL_MOST, .whole = true, .value = VT_AUGMENT_LEVEL},
        [INC] = {.key = "inc", .max = 1, .whole = true},
        [N] = {.key = "n", .min = 1, .max = VT_AUGMENT_LAYERS, .whole = true, .value = 2},
        [P] = {.key = "p", .max = 1, .value = 0.5},
        [T] = {.key = "t", .names = true}};
    vt_status st = read_parts(text, parts, PARTS,
                              "m, mstd, mmax, inc, n or p and a number, as in rand-m9-mstd0.5-inc1, or t and a set");
    if (st != VT_OK) return st;
    a->policy = VT_AUGMENT_RAND;
    a->level = parts[M].value;
    a->deviation = parts[MSTD].value > MSTD_MOST ? (double)INFINITY : parts[MSTD].value;
    a->most = parts[MMAX].value;
    a->set = parts[T].set ? parts[T].set : &vt_augment_rand_set;
    a->increasing = parts[INC].value > 0 || parts[T].set;
    a->layers = (int)parts[N].value;
    a->probability = parts[P].value;
    if (a->level > a->most)
        return vt_fail(VT_INVALID, "--aa %s: \"m%g\": want m and a number of 0 to %g, or mmax%g too", text, a->level,
                       a->most, ceil(a->level));
    if (a->set->weighted && a->layers > a->set->count)
        return vt_fail(VT_INVALID, "--aa %s: \"n%d\": t%s has %d ops, each drawn once at most; lower n", text,
                       a->layers, a->set->name, a->set->count);
    return VT_OK;
}

static vt_status read_auto(vt_augment *a, const char *text, vt_augment_subpolicies *pairs)
{
    part parts[] = {{.key = "mstd", .max = MSTD_MOST}};
    vt_status st = read_parts(text, parts, 1, "mstd and a number, as in v0-mstd0.5");
    a->policy = VT_AUGMENT_AUTO;
    a->pairs = pairs;
    a->deviation = parts[0].value;
    a->most = VT_AUGMENT_LEVEL;
    return st;
}

static vt_status read_mix(vt_augment *a, const char *text)
{
    enum { M, MSTD, W, D, A, B, PARTS };
    part parts[PARTS] = {[M] = {.key = "m", .max = VT_AUGMENT_LEVEL, .value = 3},
                         [MSTD] = {.key = "mstd", .max = MSTD_MOST},
                         [W] = {.key = "w", .min = 1, .max = VT_AUGMENT_CHAINS, .whole = true, .value = 3},
                         [D] = {.key = "d", .max = VT_AUGMENT_DEPTH, .whole = true},
                         [A] = {.key = "a", .min = 0.01, .max = 1000, .value = 1},
                         [B] = {.key = "b", .max = 1, .whole = true}};
    vt_status st = read_parts(text, parts, PARTS,
                              "m, mstd, w, d (0: 1 to 3), a or b and a number, as in augmix-m5-w4-d2");
    a->policy = VT_AUGMENT_MIX;
    a->level = parts[M].value;
    a->deviation = parts[MSTD].read ? parts[MSTD].value : (double)INFINITY;
    a->most = VT_AUGMENT_LEVEL;
    a->set = &vt_augment_mix_set;
    a->increasing = true;
    a->width = (int)parts[W].value;
    a->depth = (int)parts[D].value;
    a->alpha = parts[A].value;
    a->blended = parts[B].value > 0;
    return st;
}

vt_status vt_augment_parse(vt_augment *a, const char *text)
{
    static const struct { const char *name; vt_augment_subpolicies *pairs; bool increasing; } autos[] = {
        {"original", &vt_augment_original, false}, {"originalr", &vt_augment_original, true},
        {"v0", &vt_augment_v0, false},             {"v0r", &vt_augment_v0, true}};
    *a = (vt_augment){.jitter = a->jitter};
    if (!text || !*text || strcmp(text, "none") == 0) return VT_OK;
    size_t size = (size_t)(skip_name(text) - text);
    if (is_name(text, size, "rand")) return read_rand(a, text);
    if (is_name(text, size, "augmix")) return read_mix(a, text);
    for (size_t i = 0; i < sizeof autos / sizeof *autos; i++) {
        a->posterize_increasing = autos[i].increasing;
        if (is_name(text, size, autos[i].name)) return read_auto(a, text, autos[i].pairs);
    }
    a->posterize_increasing = false;
    if (is_name(text, size, "3a")) {
        a->policy = VT_AUGMENT_THREE;
        return read_parts(text, NULL, 0, "3a alone");
    }
    return vt_fail(VT_INVALID, "--aa %s: unknown policy \"%.*s\": want none, rand-m9-mstd0.5-inc1, original, "
                   "originalr, v0, v0r, 3a or augmix-m3", text, (int)size, text);
}
