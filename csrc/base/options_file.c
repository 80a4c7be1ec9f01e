/* Settings in files: the user's YAML, args.yaml, and the record in a checkpoint. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/options.h"
#include "base/yaml.h"

/* --- reading a settings file --- */

static vt_status apply_entry(vt_options *o, const vt_yaml *entry)
{
    vt_option_names found;
    const char *first = entry->count ? entry->items[0] : "";
    size_t size = strlen(entry->key);
    int i = vt_options_find(o, entry->key, size, &found);
    if (i < 0) return entry->is_null ? VT_OK : vt_options_unknown(o, "setting", "", entry->key, size);
    if (o->table[i].kind == VT_OPT_CONFIG)
        return vt_fail(VT_INVALID, "%s: a settings file cannot name another", entry->key);
    if (found.implied) { /* repeated_aug: true */
        if (entry->is_null || (!entry->is_list && !strcmp(first, "false"))) return VT_OK;
        if (entry->is_list || strcmp(first, "true")) return vt_fail(VT_INVALID, "%s is true or false", entry->key);
        return vt_options_assign_text(o, i, found.implied, found.implied_size, VT_FROM_CONFIG);
    }
    if (!entry->is_null && !entry->is_list) return vt_options_assign_text(o, i, first, strlen(first), VT_FROM_CONFIG);
    return vt_options_assign(o, i, entry->items, entry->is_null ? -1 : entry->count, VT_FROM_CONFIG);
}

vt_status vt_options_read_config(vt_options *o, const char *path)
{
    vt_status st;
    vt_file file = {0};
    vt_arena arena = {0};
    vt_yaml *entry;
    VT_TRY(vt_file_read(&file, path));
    st = vt_yaml_parse(&arena, (const char *)file.data, file.size, &entry);
    if (st != VT_OK) VT_TRY(vt_fail_in(st, "%s", path));
    for (; entry; entry = entry->next) {
        st = apply_entry(o, entry);
        if (st != VT_OK) VT_TRY(vt_fail_in(st, "%s, line %d", path, entry->line));
    }
fail:
    vt_arena_free(&arena);
    vt_file_close(&file);
    return st;
}

/* --- writing --- */

static bool is_text(const vt_option *option)
{
    return option->kind == VT_OPT_STRING || option->kind == VT_OPT_CHOICE || option->kind == VT_OPT_SIZE ||
           option->kind == VT_OPT_STRINGS;
}

/* Names are recorded with underscores: the attributes of argparse, as others' args.yaml have them. */
static const char *recorded_name(const vt_option *option, vt_text *t)
{
    t->size = 0;
    vt_text_add(t, option->name);
    for (size_t i = 0; i < t->size; i++) t->data[i] = t->data[i] == '-' ? '_' : t->data[i];
    return vt_text_str(t);
}

void vt_options_write_json(const vt_options *o, vt_text *t)
{
    vt_text item = {0};
    vt_json_open(t, '{');
    for (int i = 0; i < o->count; i++) {
        const vt_option *option = &o->table[i];
        bool list = vt_option_is_list(option);
        int n = vt_option_items(option, o->settings);
        if (option->kind == VT_OPT_CONFIG) continue;
        vt_json_key(t, recorded_name(option, &item));
        if (n < 0)
            vt_json_string(t, NULL);
        else if (list)
            vt_json_open(t, '[');
        for (int k = 0; k < n; k++) {
            item.size = 0;
            vt_option_item(option, o->settings, k, &item);
            if (is_text(option))
                vt_json_string(t, vt_text_str(&item));
            else
                vt_json_literal(t, vt_text_str(&item));
        }
        if (n >= 0 && list) vt_json_close(t, ']');
    }
    vt_json_close(t, '}');
    t->failed |= item.failed;
    vt_text_free(&item);
}

/* PyYAML reads 1e-06 as a string and 1.0e-06 as a number. */
static void add_number(vt_text *t, const char *s)
{
    size_t mantissa = strcspn(s, "e");
    vt_text_append(t, s, mantissa);
    if (s[mantissa] && !memchr(s, '.', mantissa)) vt_text_add(t, ".0");
    vt_text_add(t, s + mantissa);
}

static void write_yaml_item(const vt_options *o, const vt_option *option, int k, vt_text *t)
{
    vt_text item = {0};
    vt_option_item(option, o->settings, k, &item);
    const char *s = vt_text_str(&item);
    bool square = option->kind == VT_OPT_SIZE && !strchr(s, 'x'); /* a number, as others' files have it */
    if (is_text(option) && !square)
        vt_yaml_string(t, s);
    else if (option->kind == VT_OPT_FLAG)
        vt_text_add(t, s);
    else
        add_number(t, s);
    t->failed |= item.failed;
    vt_text_free(&item);
}

static int by_name(const void *a, const void *b)
{
    const unsigned char *x = (const unsigned char *)(*(const vt_option *const *)a)->name;
    const unsigned char *y = (const unsigned char *)(*(const vt_option *const *)b)->name;
    for (; *x && *x == *y; x++) y++;
    return (*x == '-' ? '_' : *x) - (*y == '-' ? '_' : *y);
}

void vt_options_write_yaml(const vt_options *o, vt_text *t)
{
    vt_text name = {0};
    const vt_option **sorted = vt_alloc((size_t)o->count * sizeof *sorted);
    if (!sorted) t->failed = true;
    for (int i = 0; sorted && i < o->count; i++) sorted[i] = &o->table[i];
    if (sorted && o->count) qsort(sorted, (size_t)o->count, sizeof *sorted, by_name);
    for (int i = 0; sorted && i < o->count; i++) {
        int n = vt_option_items(sorted[i], o->settings);
        bool list = vt_option_is_list(sorted[i]);
        if (sorted[i]->kind == VT_OPT_CONFIG) continue;
        vt_text_printf(t, "%s:", recorded_name(sorted[i], &name));
        vt_text_add(t, n < 0 ? " null\n" : !list ? " " : n == 0 ? " []\n" : "\n");
        for (int k = 0; k < n; k++) {
            if (list) vt_text_add(t, "- ");
            write_yaml_item(o, sorted[i], k, t);
            vt_text_add(t, "\n");
        }
    }
    t->failed |= name.failed;
    vt_text_free(&name);
    vt_free(sorted);
}

/* --- resuming --- */

static bool same_string(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_value(const vt_option *option, const void *settings, const void *recorded)
{
    const void *a = (const char *)settings + option->offset, *b = (const char *)recorded + option->offset;
    if (option->kind == VT_OPT_STRING) return same_string(*(const char *const *)a, *(const char *const *)b);
    if (option->kind != VT_OPT_STRINGS) return memcmp(a, b, option->size) == 0;
    const vt_strings *x = a, *y = b;
    bool same = x->count == y->count;
    for (int k = 0; same && k < x->count; k++) same = same_string(x->items[k], y->items[k]);
    return same;
}

static vt_status contradiction(const vt_option *option, const void *given, const void *recorded)
{
    vt_text t[2] = {{0}, {0}};
    for (int side = 0; side < 2; side++) {
        const void *settings = side ? recorded : given;
        int n = vt_option_items(option, settings);
        if (n < 0) vt_text_add(&t[side], "none");
        for (int k = 0; k < n; k++) {
            if (k) vt_text_add(&t[side], " ");
            vt_option_item(option, settings, k, &t[side]);
        }
    }
    vt_status st =
        t[0].failed || t[1].failed
            ? vt_fail_memory("text")
            : vt_fail(VT_INVALID, "--%s %s: the run was begun with %s; leave the flag out, or begin another run",
                      option->name, vt_text_str(&t[0]), vt_text_str(&t[1]));
    vt_text_free(&t[0]);
    vt_text_free(&t[1]);
    return st;
}

/* Puts a recorded value into the settings that o points to at present. */
static vt_status store_recorded(vt_options *o, int i, const vt_json *v)
{
    bool list = v->kind == VT_JSON_ARRAY;
    int count = list ? v->count : v->kind == VT_JSON_NULL ? -1 : 1;
    const char **items = vt_arena_alloc(&o->arena, (count > 0 ? (size_t)count : 1) * sizeof *items);
    if (!items) return vt_fail_memory("options");
    const vt_json *item = list ? v->first : v;
    for (int k = 0; k < count; k++, item = item->next) {
        items[k] = item->kind == VT_JSON_BOOL ? (item->boolean ? "true" : "false") : item->string;
        if (!items[k]) return vt_fail(VT_INVALID, "%s has a value that is no setting", v->key);
    }
    return vt_options_store(o, i, items, count);
}

static vt_status resume_one(vt_options *o, const vt_json *v, void *scratch, const vt_option *free_names)
{
    vt_option_names n = {0};
    int i = vt_options_find(o, v->key, strlen(v->key), &n);
    if (i < 0 || n.implied)
        return vt_fail(VT_INVALID, "recorded setting %s is unknown to this version of vitc", v->key);
    const vt_option *option = &o->table[i];
    void *settings = o->settings;
    o->settings = scratch;
    vt_status st = store_recorded(o, i, v);
    o->settings = settings;
    if (st != VT_OK) return vt_fail_in(st, "recorded settings");
    if (o->sources[i] >= VT_FROM_CONFIG) {
        if (same_value(option, settings, scratch)) return VT_OK;
        vt_options names = {.table = free_names, .count = 1};
        if (vt_options_find(&names, option->name, strlen(option->name), NULL) == 0) return VT_OK;
        return contradiction(option, settings, scratch);
    }
    memcpy((char *)settings + option->offset, (const char *)scratch + option->offset, option->size);
    o->sources[i] = VT_FROM_CHECKPOINT;
    return VT_OK;
}

vt_status vt_options_resume(vt_options *o, const char *json, const char *free_names)
{
    vt_status st;
    size_t extent = 0;
    vt_json *root;
    vt_arena arena = {0};
    const vt_option names = {.name = "", .aliases = free_names, .kind = VT_OPT_FLAG};
    for (int i = 0; i < o->count; i++) {
        size_t end = o->table[i].offset + o->table[i].size;
        if (end > extent) extent = end;
    }
    void *scratch = vt_arena_alloc(&arena, extent);
    if (!scratch) VT_TRY(vt_fail_memory("options"));
    st = vt_json_parse(&arena, json, strlen(json), &root);
    if (st == VT_OK && root->kind != VT_JSON_OBJECT) st = vt_fail(VT_INVALID, "not an object");
    if (st != VT_OK) VT_TRY(vt_fail_in(st, "recorded settings"));
    for (const vt_json *v = root->first; v; v = v->next) VT_TRY(resume_one(o, v, scratch, &names));
fail:
    vt_arena_free(&arena);
    return st;
}
