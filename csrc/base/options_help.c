/* --help, made from the table. */
#include <string.h>

#include "base/options.h"

enum { HELP_COLUMN = 30, LINE = 100 };

static const char *argument(const vt_option *option)
{
    static const char *const by_kind[] = {
        [VT_OPT_FLAG] = "",       [VT_OPT_INT] = "N",         [VT_OPT_FLOAT] = "X",    [VT_OPT_STRING] = "TEXT",
        [VT_OPT_CHOICE] = "",     [VT_OPT_INTS] = "N N",      [VT_OPT_FLOATS] = "X X", [VT_OPT_SIZE] = "N|HxW",
        [VT_OPT_BYTES] = "BYTES", [VT_OPT_STRINGS] = "TEXT...", [VT_OPT_CONFIG] = "FILE"};
    if (option->argument) return option->argument;
    return option->choices ? option->choices : by_kind[option->kind];
}

/* "  -b, --batch-size N"; of a flag that is on, the name that turns it off */
static void add_names(vt_text *t, const vt_option *option)
{
    const char *word = argument(option), *letter = NULL;
    for (vt_option_names n = {0}; vt_option_next_name(option, &n);) {
        if (n.size == 1 && !n.implied) letter = n.name;
    }
    if (letter)
        vt_text_printf(t, "  -%.1s, ", letter);
    else
        vt_text_add(t, "      ");
    bool is_on = option->kind == VT_OPT_FLAG && option->fallback && !strcmp(option->fallback, "true");
    vt_text_printf(t, "--%s%s%s%s", is_on ? "no-" : "", option->name, *word ? " " : "", word);
}

/* What it does, its default, its other names. */
static void describe(vt_text *t, const vt_option *option)
{
    vt_text_add(t, option->help);
    if (option->fallback && *option->fallback && option->kind != VT_OPT_FLAG)
        vt_text_printf(t, " [%s]", option->fallback);
    bool first = true;
    for (vt_option_names n = {0}; vt_option_next_name(option, &n);) {
        if (n.size == 1 || n.name == option->name) continue;
        vt_text_printf(t, first ? " (also --%.*s" : ", --%.*s", (int)n.size, n.name);
        if (n.implied) vt_text_printf(t, ": %.*s", (int)n.implied_size, n.implied);
        first = false;
    }
    if (!first) vt_text_add(t, ")");
}

/* From the present place on, words up to LINE, further lines from HELP_COLUMN; column counts characters, not bytes. */
static void wrap(vt_text *t, const char *words, size_t column)
{
    for (bool first = true; *words; first = false) {
        size_t bytes = strcspn(words, " "), width = 0;
        for (size_t i = 0; i < bytes; i++) width += ((unsigned char)words[i] & 0xC0) != 0x80;
        if (first || column + 1 + width > LINE) {
            if (column > HELP_COLUMN - 2) {
                vt_text_add(t, "\n");
                column = 0;
            }
            vt_text_pad(t, t->size + HELP_COLUMN - column);
            column = HELP_COLUMN;
        } else {
            vt_text_add(t, " ");
            column++;
        }
        vt_text_append(t, words, bytes);
        column += width;
        words += bytes + (words[bytes] == ' ');
    }
    vt_text_add(t, "\n");
}

static void add_option(vt_text *t, const vt_option *option)
{
    vt_text names = {0}, words = {0};
    add_names(&names, option);
    describe(&words, option);
    vt_text_add(t, vt_text_str(&names));
    wrap(t, vt_text_str(&words), names.size);
    t->failed |= names.failed || words.failed;
    vt_text_free(&names);
    vt_text_free(&words);
}

static const char *group_of(const vt_option *option)
{
    return option->group ? option->group : "Other";
}

void vt_options_help(const vt_options *o, vt_text *t, const char *usage, const char *example)
{
    if (usage) vt_text_printf(t, "usage: %s\n", usage);
    for (int i = 0; i < o->count; i++) {
        const char *group = group_of(&o->table[i]);
        bool told = !o->table[i].help; /* with the first of its group that is listed */
        for (int k = 0; k < i; k++) told |= o->table[k].help && !strcmp(group_of(&o->table[k]), group);
        if (told) continue;
        vt_text_printf(t, "\n%s\n", group);
        for (int k = i; k < o->count; k++) {
            if (o->table[k].help && !strcmp(group_of(&o->table[k]), group)) add_option(t, &o->table[k]);
        }
    }
    if (example) vt_text_printf(t, "\nexample: %s\n", example);
}
