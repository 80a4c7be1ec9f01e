/* Values: from text into a field, and back. */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/options.h"

bool vt_option_is_list(const vt_option *option)
{
    return option->kind == VT_OPT_INTS || option->kind == VT_OPT_FLOATS || option->kind == VT_OPT_STRINGS;
}

int vt_option_wants(const vt_option *option)
{
    switch (option->kind) {
    case VT_OPT_INTS: return (int)(option->size / sizeof(int));
    case VT_OPT_FLOATS: return (int)(option->size / sizeof(double));
    case VT_OPT_STRINGS: return INT_MAX;
    default: return 1;
    }
}

/* An integer of 64 bits; INTS are of 32. */
static bool is_wide(const vt_option *option)
{
    return option->kind != VT_OPT_INTS && option->size == sizeof(int64_t);
}

static vt_status bad_value(const vt_option *option, const char *text, const char *wanted)
{
    return vt_fail(VT_INVALID, "--%s: \"%s\" is not %s", option->name, text, wanted);
}

static vt_status check_range(const vt_option *option, const char *text, double value)
{
    double min = option->min, max = option->max;
    if ((min == 0 && max == 0) || (value >= min && value <= max)) return VT_OK;
    if (isinf(max)) return vt_fail(VT_INVALID, "--%s: %s is out of range: at least %.10g", option->name, text, min);
    return vt_fail(VT_INVALID, "--%s: %s is out of range: %.10g to %.10g", option->name, text, min, max);
}

static vt_status read_int(const vt_option *option, const char *text, int64_t most, int64_t *value)
{
    if (!vt_parse_int(text, strlen(text), value)) return bad_value(option, text, "a whole number");
    if (*value > most || *value < -most) return vt_fail(VT_INVALID, "--%s: %s is out of range", option->name, text);
    return check_range(option, text, (double)*value);
}

static vt_status read_double(const vt_option *option, const char *text, double *value)
{
    if (!vt_parse_double(text, strlen(text), value) || !isfinite(*value)) return bad_value(option, text, "a number");
    return check_range(option, text, *value);
}

static vt_status read_bytes(const vt_option *option, const char *text, int64_t *value)
{
    static const char units[] = "KMGT";
    double v;
    size_t n = strlen(text), digits = strspn(text, "0123456789.");
    const char *unit = text + digits, *known = digits < n ? strchr(units, *unit) : NULL;
    bool right = vt_parse_double(text, digits, &v);
    if (known) {
        v = ldexp(v, 10 * (int)(known - units + 1));
        unit++;
        if (*unit == 'i') unit++;
    }
    if (*unit == 'B') unit++;
    if (!right || *unit || v > 0x1p62) return bad_value(option, text, "a number of bytes, as 1000, 64K or 24GiB");
    *value = (int64_t)v;
    return check_range(option, text, v);
}

/* 224, 224x160, or two items of a list. */
static vt_status read_size(const vt_option *option, const char *const *items, int count, int *out)
{
    const char *x = strchr(items[0], 'x'), *width = x ? x + 1 : count == 2 ? items[1] : items[0];
    int64_t hw[2];
    size_t height_size = x ? (size_t)(x - items[0]) : strlen(items[0]);
    if (count > 2 || (count == 2 && x) || !vt_parse_int(items[0], height_size, &hw[0]) ||
        !vt_parse_int(width, strlen(width), &hw[1]))
        return bad_value(option, items[0], "a size, N or HxW");
    for (int k = 0; k < 2; k++) {
        vt_status st = check_range(option, items[0], (double)hw[k]);
        if (st == VT_OK && (hw[k] > INT_MAX || hw[k] < 1)) st = bad_value(option, items[0], "a size, N or HxW");
        if (st != VT_OK) return st;
        out[k] = (int)hw[k];
    }
    return VT_OK;
}

static vt_status read_flag(const vt_option *option, const char *text, bool *value)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "on", "1"};
    static const char *const no[] = {"false", "False", "FALSE", "no", "off", "0"};
    for (size_t k = 0; k < sizeof yes / sizeof *yes; k++) {
        *value = strcmp(text, yes[k]) == 0;
        if (*value || strcmp(text, no[k]) == 0) return VT_OK;
    }
    return bad_value(option, text, "true or false");
}

/* The k-th of "a|b|c". */
static const char *choice_at(const char *choices, int k, size_t *size)
{
    for (; k > 0 && choices; k--) {
        choices = strchr(choices, '|');
        if (choices) choices++;
    }
    *size = choices ? strcspn(choices, "|") : 0;
    return choices;
}

static vt_status read_choice(vt_options *o, const vt_option *option, const char *text, int *index)
{
    size_t size;
    const char *choice;
    for (int k = 0; (choice = choice_at(option->choices, k, &size)) != NULL; k++) {
        *index = k;
        if (size == strlen(text) && memcmp(choice, text, size) == 0) return VT_OK;
    }
    int count = *index + 1;
    const char **words = vt_arena_alloc(&o->arena, (size_t)count * sizeof *words);
    vt_text list = {0};
    for (int k = 0; words && k < count; k++) {
        choice = choice_at(option->choices, k, &size);
        words[k] = vt_arena_strndup(&o->arena, choice, size);
        vt_text_printf(&list, "%s%.*s", k ? ", " : "", (int)size, choice);
        if (!words[k]) words = NULL;
    }
    const char *near = words ? vt_suggest(text, words, count) : NULL;
    vt_status st = vt_fail(VT_INVALID, "--%s: unknown choice \"%s\"%s%s%s (%s)", option->name, text,
                           near ? ": did you mean " : "", near ? near : "", near ? "?" : "", vt_text_str(&list));
    vt_text_free(&list);
    return st;
}

static vt_status read_strings(vt_options *o, const vt_option *option, const char *const *items, int count,
                              vt_strings *out)
{
    const char **copy = vt_arena_alloc(&o->arena, (size_t)count * sizeof *copy);
    if (!copy) return vt_fail_memory("options");
    for (int k = 0; k < count; k++) {
        int ignored;
        vt_status st = option->choices ? read_choice(o, option, items[k], &ignored) : VT_OK;
        if (st != VT_OK) return st;
        copy[k] = vt_arena_strndup(&o->arena, items[k], strlen(items[k]));
        if (!copy[k]) return vt_fail_memory("options");
    }
    *out = (vt_strings){copy, count};
    return VT_OK;
}

static bool nullable(const vt_option *option)
{
    return !option->fallback || !*option->fallback;
}

static bool is_text(const vt_option *option)
{
    return option->kind == VT_OPT_STRING || option->kind == VT_OPT_CONFIG || option->kind == VT_OPT_STRINGS ||
           option->kind == VT_OPT_CHOICE;
}

static vt_status store_item(vt_options *o, const vt_option *option, const char *text, int k, void *field)
{
    vt_status st = VT_OK;
    int64_t value;
    switch (option->kind) {
    case VT_OPT_FLAG: return read_flag(option, text, field);
    case VT_OPT_FLOAT:
    case VT_OPT_FLOATS: return read_double(option, text, (double *)field + k);
    case VT_OPT_CHOICE: return read_choice(o, option, text, field);
    case VT_OPT_BYTES: return read_bytes(option, text, field);
    case VT_OPT_INT:
    case VT_OPT_INTS:
        VT_TRY(read_int(option, text, is_wide(option) ? INT64_MAX : INT_MAX, &value));
        if (is_wide(option))
            *(int64_t *)field = value;
        else
            ((int *)field)[k] = (int)value;
        return VT_OK;
    default: *(const char **)field = vt_arena_strndup(&o->arena, text, strlen(text));
    }
    if (!*(const char **)field) return vt_fail_memory("options");
fail:
    return st;
}

vt_status vt_options_store(vt_options *o, int i, const char *const *items, int count)
{
    const vt_option *option = &o->table[i];
    void *field = (char *)o->settings + option->offset;
    int wants = vt_option_wants(option);
    const char *none = "none";
    if (count == 1 && nullable(option) && !is_text(option) && (!strcmp(items[0], none) || !strcmp(items[0], "null")))
        count = -1;
    if (count < 0 && nullable(option)) {
        memset(field, 0, option->size);
        return VT_OK;
    }
    if (count < 0 && is_text(option)) {
        items = &none; /* null in a settings file: right where "none" is a choice */
        count = 1;
    }
    if (option->kind == VT_OPT_STRINGS) return read_strings(o, option, items, count, field);
    if (option->kind == VT_OPT_SIZE && count >= 1) return read_size(option, items, count, field);
    if (count < 0) return vt_fail(VT_INVALID, "--%s cannot be null", option->name);
    if (count != wants)
        return vt_fail(VT_INVALID, "--%s wants %d value%s, and there are %d", option->name, wants,
                       wants == 1 ? "" : "s", count);
    vt_status st = VT_OK;
    for (int k = 0; k < count && st == VT_OK; k++) st = store_item(o, option, items[k], k, field);
    return st;
}

int vt_option_items(const vt_option *option, const void *settings)
{
    const unsigned char *field = (const unsigned char *)settings + option->offset;
    if (option->kind == VT_OPT_STRINGS) return ((const vt_strings *)(const void *)field)->count;
    bool zero = true;
    for (size_t k = 0; k < option->size; k++) zero &= field[k] == 0;
    bool can_be_null = nullable(option) && option->kind != VT_OPT_FLAG && option->kind != VT_OPT_CHOICE;
    return zero && can_be_null ? -1 : vt_option_wants(option);
}

void vt_option_item(const vt_option *option, const void *settings, int k, vt_text *t)
{
    const void *field = (const char *)settings + option->offset;
    const int *ints = field;
    size_t size;
    switch (option->kind) {
    case VT_OPT_FLAG: vt_text_add(t, *(const bool *)field ? "true" : "false"); break;
    case VT_OPT_FLOAT:
    case VT_OPT_FLOATS: vt_text_double(t, ((const double *)field)[k]); break;
    case VT_OPT_INT:
    case VT_OPT_BYTES:
    case VT_OPT_INTS:
        if (is_wide(option))
            vt_text_printf(t, "%lld", (long long)*(const int64_t *)field);
        else
            vt_text_printf(t, "%d", ints[k]);
        break;
    case VT_OPT_SIZE: vt_text_printf(t, ints[0] == ints[1] ? "%d" : "%dx%d", ints[0], ints[1]); break;
    case VT_OPT_CHOICE: {
        const char *choice = choice_at(option->choices, *ints, &size);
        vt_text_append(t, choice ? choice : "", size);
        break;
    }
    case VT_OPT_STRINGS: vt_text_add(t, ((const vt_strings *)field)->items[k]); break;
    default: vt_text_add(t, *(const char *const *)field);
    }
}
