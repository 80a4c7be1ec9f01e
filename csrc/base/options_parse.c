/* The command line. */
#include <string.h>

#include "base/options.h"

typedef struct arguments {
    int count, at;
    const char *const *items;
} arguments;

/* A value may be a negative number or "-"; anything else that begins with '-' is a flag. */
static bool is_flag(const char *s)
{
    double number;
    return s[0] == '-' && s[1] && !vt_parse_double(s, strlen(s), &number);
}

static bool at_value(const arguments *a)
{
    return a->at < a->count && !is_flag(a->items[a->at]);
}

/* "--qkv-bias false", as scripts write it. */
static bool at_truth(const arguments *a)
{
    return a->at < a->count && (!strcmp(a->items[a->at], "true") || !strcmp(a->items[a->at], "false"));
}

/* The value that follows a flag: one argument, or as many as a list wants. */
static vt_status take_values(vt_options *o, int i, arguments *a)
{
    const vt_option *option = &o->table[i];
    int n = 0, wants = vt_option_wants(option);
    const char *const *first = a->items + a->at;
    if (!at_value(a)) return vt_fail(VT_INVALID, "--%s needs a value", option->name);
    bool many = vt_option_is_list(option) && !option->choices;
    if (option->kind != VT_OPT_STRINGS && (strchr(*first, ',') || !strcmp(*first, "none"))) many = false;
    if (!many) {
        a->at++;
        return vt_options_assign_text(o, i, *first, strlen(*first), VT_FROM_FLAG);
    }
    for (; n < wants && at_value(a); n++) a->at++;
    return vt_options_assign(o, i, first, n, VT_FROM_FLAG);
}

/* A name was found; `value` is what stood after '=', or NULL. */
static vt_status take_flag(vt_options *o, int i, const vt_option_names *found, const char *value, arguments *a)
{
    if (found->implied) {
        if (value) return vt_fail(VT_INVALID, "--%.*s takes no value", (int)found->size, found->name);
        return vt_options_assign_text(o, i, found->implied, found->implied_size, VT_FROM_FLAG);
    }
    if (value) return vt_options_assign_text(o, i, value, strlen(value), VT_FROM_FLAG);
    if (o->table[i].kind == VT_OPT_FLAG) {
        const char *word = at_truth(a) ? a->items[a->at++] : "true";
        return vt_options_assign_text(o, i, word, strlen(word), VT_FROM_FLAG);
    }
    return take_values(o, i, a);
}

/* --name, --name=value, --no-name */
static vt_status take_long(vt_options *o, const char *arg, arguments *a)
{
    vt_option_names found;
    const char *name = arg + 2;
    size_t size = strcspn(name, "=");
    const char *value = name[size] ? name + size + 1 : NULL;
    int i = size > 1 ? vt_options_find(o, name, size, &found) : -1;
    if (i >= 0) return take_flag(o, i, &found, value, a);
    if (size == 4 && memcmp(name, "help", 4) == 0) {
        o->help = true;
        return VT_OK;
    }
    if (size > 3 && name[0] == 'n' && name[1] == 'o' && (name[2] == '-' || name[2] == '_')) {
        i = vt_options_find(o, name + 3, size - 3, &found);
        if (i >= 0 && o->table[i].kind == VT_OPT_FLAG && !found.implied) {
            if (value) return vt_fail(VT_INVALID, "--%.*s takes no value", (int)size, name);
            return vt_options_assign_text(o, i, "false", 5, VT_FROM_FLAG);
        }
    }
    return vt_options_unknown(o, "flag", "--", name, size);
}

/* -b 64, -b64, -b=64 */
static vt_status take_short(vt_options *o, const char *arg, arguments *a)
{
    vt_option_names found;
    int i = vt_options_find(o, arg + 1, 1, &found);
    const char *value = arg[2] == '=' ? arg + 3 : arg[2] ? arg + 2 : NULL;
    bool takes_value = i >= 0 && o->table[i].kind != VT_OPT_FLAG && !found.implied;
    if (i >= 0 && (!value || takes_value)) return take_flag(o, i, &found, value, a);
    if (strcmp(arg, "-h") == 0) {
        o->help = true;
        return VT_OK;
    }
    return vt_options_unknown(o, "flag", arg[2] ? "--" : "-", arg + 1, strcspn(arg + 1, "="));
}

/* Arguments without a flag: a positional option takes one, a list of strings what is left. */
static vt_status take_positionals(vt_options *o, const char *const *items, int count)
{
    int at = 0;
    for (int i = 0; i < o->count && at < count; i++) {
        if (!o->table[i].positional) continue;
        bool many = o->table[i].kind == VT_OPT_STRINGS && !o->table[i].choices;
        vt_status st = many ? vt_options_assign(o, i, items + at, count - at, VT_FROM_FLAG)
                            : vt_options_assign_text(o, i, items[at], strlen(items[at]), VT_FROM_FLAG);
        if (st != VT_OK) return st;
        at = many ? count : at + 1;
    }
    return at == count ? VT_OK
                       : vt_fail(VT_INVALID, "unexpected argument \"%s\": --help lists what there is", items[at]);
}

static vt_status read_configs(vt_options *o)
{
    vt_status st = VT_OK;
    for (int i = 0; i < o->count && st == VT_OK; i++) {
        const char *path = NULL;
        if (o->table[i].kind == VT_OPT_CONFIG)
            path = *(const char **)(void *)((char *)o->settings + o->table[i].offset);
        if (path) st = vt_options_read_config(o, path);
    }
    return st;
}

vt_status vt_options_parse(vt_options *o, int argc, const char *const *argv)
{
    vt_status st = VT_OK;
    arguments a = {argc, 0, argv};
    const char **rest = vt_arena_alloc(&o->arena, (size_t)argc * sizeof *rest);
    int count = 0;
    bool flags_end = false;
    if (!rest) return vt_fail_memory("options");
    while (a.at < argc) {
        const char *arg = argv[a.at++];
        if (flags_end || !is_flag(arg))
            rest[count++] = arg;
        else if (strcmp(arg, "--") == 0)
            flags_end = true;
        else
            VT_TRY(arg[1] == '-' ? take_long(o, arg, &a) : take_short(o, arg, &a));
        if (o->help) return VT_OK;
    }
    VT_TRY(take_positionals(o, rest, count));
    VT_TRY(read_configs(o));
fail:
    return st;
}
