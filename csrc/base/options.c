/* The table itself: names, sources, defaults. */
#include "base/options.h"

#include <string.h>

/* --- names --- */

bool vt_option_next_name(const vt_option *option, vt_option_names *n)
{
    if (!n->begun) {
        *n = (vt_option_names){
            .name = option->name, .size = strlen(option->name), .rest = option->aliases, .begun = true};
        return true;
    }
    if (!n->rest) return false;
    n->name = n->rest + strspn(n->rest, " ,");
    n->size = strcspn(n->name, "=,");
    n->implied = n->name[n->size] == '=' ? n->name + n->size + 1 : NULL;
    n->implied_size = n->implied ? strcspn(n->implied, ",") : 0;
    n->rest = strchr(n->name, ',');
    return n->size > 0;
}

static bool same_name(const char *a, size_t na, const char *b, size_t nb)
{
    if (na != nb) return false;
    for (size_t i = 0; i < na; i++) {
        if ((a[i] == '_' ? '-' : a[i]) != (b[i] == '_' ? '-' : b[i])) return false;
    }
    return true;
}

int vt_options_find(const vt_options *o, const char *name, size_t size, vt_option_names *found)
{
    for (int i = 0; i < o->count; i++) {
        vt_option_names n = {0};
        while (vt_option_next_name(&o->table[i], &n)) {
            if (!same_name(n.name, n.size, name, size)) continue;
            if (found) *found = n;
            return i;
        }
    }
    return -1;
}

/* `what` is "flag" or "setting". Settings have underscores, as in args.yaml. */
vt_status vt_options_unknown(const vt_options *o, const char *what, const char *dashes, const char *name, size_t size)
{
    vt_arena arena = {0};
    int count = 0, i;
    for (i = 0; i < o->count; i++) {
        for (vt_option_names n = {0}; vt_option_next_name(&o->table[i], &n);) count++;
    }
    const char **names = vt_arena_alloc(&arena, (size_t)count * sizeof *names);
    char *word = vt_arena_strndup(&arena, name, size);
    count = 0;
    for (i = 0; names && word && i < o->count; i++) {
        for (vt_option_names n = {0}; vt_option_next_name(&o->table[i], &n);) {
            char *copy = n.size > 1 ? vt_arena_strndup(&arena, n.name, n.size) : NULL;
            for (char *c = copy; c && *c; c++) *c = *c == '-' && !*dashes ? '_' : *c;
            if (copy) names[count++] = copy;
        }
    }
    const char *near = names && word ? vt_suggest(word, names, count) : NULL;
    vt_fail(VT_INVALID, "unknown %s %s%.*s", what, dashes, (int)size, name);
    vt_status st = near ? vt_fail(VT_INVALID, "%s: did you mean %s%s?", vt_error(), *dashes ? "--" : "", near)
                        : vt_fail(VT_INVALID, "%s: --help lists what there is", vt_error());
    vt_arena_free(&arena);
    return st;
}

/* --- the table --- */

static int count_rows(const vt_option *table)
{
    int n = 0;
    for (; table->kind != VT_OPT_END; table++) n += table->kind == VT_OPT_TABLE ? count_rows(table->table) : 1;
    return n;
}

static vt_option *copy_rows(vt_option *to, const vt_option *table, size_t offset)
{
    for (; table->kind != VT_OPT_END; table++) {
        if (table->kind == VT_OPT_TABLE) {
            to = copy_rows(to, table->table, offset + table->offset);
        } else {
            *to = *table;
            to++->offset += offset;
        }
    }
    return to;
}

static bool right_size(const vt_option *option)
{
    size_t n = option->size;
    switch (option->kind) {
    case VT_OPT_FLAG: return n == sizeof(bool);
    case VT_OPT_INT: return n == sizeof(int) || n == sizeof(int64_t);
    case VT_OPT_FLOAT: return n == sizeof(double);
    case VT_OPT_STRING:
    case VT_OPT_CONFIG: return n == sizeof(char *);
    case VT_OPT_CHOICE: return n == sizeof(int) && option->choices;
    case VT_OPT_INTS: return n && n % sizeof(int) == 0;
    case VT_OPT_FLOATS: return n && n % sizeof(double) == 0;
    case VT_OPT_SIZE: return n == 2 * sizeof(int);
    case VT_OPT_BYTES: return n == sizeof(int64_t);
    case VT_OPT_STRINGS: return n == sizeof(vt_strings);
    case VT_OPT_END:
    case VT_OPT_TABLE: break;
    }
    return false;
}

/* Mistakes of the programmer, found in the first run of any test. */
static vt_status check_row(const vt_options *o, int i)
{
    const vt_option *option = &o->table[i];
    if (!right_size(option))
        return vt_fail(VT_FAILED, "option table: --%s: the field's type is not that of its kind", option->name);
    for (vt_option_names n = {0}; vt_option_next_name(option, &n);) {
        vt_option_names first;
        if (vt_options_find(o, n.name, n.size, &first) != i || first.name != n.name)
            return vt_fail(VT_FAILED, "option table: --%.*s stands there twice", (int)n.size, n.name);
    }
    return VT_OK;
}

vt_status vt_options_init(vt_options *o, const vt_option *table, void *settings)
{
    vt_status st = VT_OK;
    *o = (vt_options){.settings = settings, .count = count_rows(table)};
    vt_option *rows = vt_arena_alloc(&o->arena, (size_t)o->count * sizeof *rows);
    o->sources = vt_arena_alloc(&o->arena, (size_t)o->count * sizeof *o->sources);
    if (!rows || !o->sources) VT_TRY(vt_fail_memory("options"));
    copy_rows(rows, table, 0);
    o->table = rows;
    for (int i = 0; i < o->count; i++) {
        const char *fallback = rows[i].fallback;
        VT_TRY(check_row(o, i));
        memset((char *)settings + rows[i].offset, 0, rows[i].size);
        if (fallback && *fallback) VT_TRY(vt_options_assign_text(o, i, fallback, strlen(fallback), VT_FROM_DEFAULT));
    }
    return VT_OK;
fail:
    vt_options_free(o);
    return st;
}

void vt_options_free(vt_options *o)
{
    vt_arena_free(&o->arena);
    *o = (vt_options){0};
}

/* --- sources --- */

vt_status vt_options_assign(vt_options *o, int i, const char *const *items, int count, vt_source source)
{
    if (source < o->sources[i]) return VT_OK;
    vt_status st = vt_options_store(o, i, items, count);
    if (st == VT_OK) o->sources[i] = source;
    return st;
}

/* Lists of numbers and of choices are separated by commas. */
vt_status vt_options_assign_text(vt_options *o, int i, const char *text, size_t size, vt_source source)
{
    const vt_option *option = &o->table[i];
    char *copy = vt_arena_strndup(&o->arena, text, size);
    const char **items = vt_arena_alloc(&o->arena, (size + 1) * sizeof *items);
    int count = 0;
    if (!copy || !items) return vt_fail_memory("options");
    bool split = vt_option_is_list(option) && (option->kind != VT_OPT_STRINGS || option->choices);
    items[count++] = copy;
    for (char *comma = copy; split && (comma = strchr(comma, ',')) != NULL;) {
        *comma++ = 0;
        items[count++] = comma;
    }
    return vt_options_assign(o, i, items, count, source);
}

vt_status vt_options_set(vt_options *o, const char *name, const char *value, vt_source source)
{
    int i = vt_options_find(o, name, strlen(name), NULL);
    if (i < 0) return vt_options_unknown(o, "flag", "--", name, strlen(name));
    return vt_options_assign_text(o, i, value, strlen(value), source);
}

vt_source vt_options_source(const vt_options *o, const char *name)
{
    int i = vt_options_find(o, name, strlen(name), NULL);
    return i < 0 ? VT_FROM_DEFAULT : o->sources[i];
}

bool vt_options_given(const vt_options *o, const char *name)
{
    return vt_options_source(o, name) >= VT_FROM_CONFIG;
}
