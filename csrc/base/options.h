/* base/options.h - settings: one table describes each flag, and the parser, the help, the settings file, args.yaml, the
 * record in a checkpoint and every error message come from it.
 *
 *     typedef struct train_settings { int64_t batch_size; double betas[2]; vt_model_flags model; … } train_settings;
 *     static const vt_option train_options[] = {
 *         {.name = "batch-size", .aliases = "b", .kind = VT_OPT_INT, VT_FIELD(train_settings, batch_size), .min = 1,
 *          .max = 65536, .fallback = "64", .help = "images per process and accumulation step", .group = "Batches"},
 *         {.kind = VT_OPT_TABLE, VT_FIELD(train_settings, model), .table = vt_model_options},
 *         {0}};
 *
 * Names: '-' and '_' are the same; a name or alias of one letter is -b, others are --batch-size. An alias "NAME=VALUE"
 * is a flag without argument that means this value: "repeated-aug=3, no-repeated-aug=0" of aug-repeats. Of a name that
 * stands twice on the command line the last wins. */
#ifndef VT_BASE_OPTIONS_H
#define VT_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"

/* And the type of the field. */
typedef enum vt_option_kind {
    VT_OPT_END,     /* the row after the last */
    VT_OPT_FLAG,    /* bool: --name, --no-name, --name=false, --name false */
    VT_OPT_INT,     /* int or int64_t */
    VT_OPT_FLOAT,   /* double */
    VT_OPT_STRING,  /* const char *; NULL: not given */
    VT_OPT_CHOICE,  /* int or an enum: the index in `choices` */
    VT_OPT_INTS,    /* int[n]: n numbers, --name 1 2 or --name 1,2 */
    VT_OPT_FLOATS,  /* double[n] */
    VT_OPT_SIZE,    /* int[2], height and width: 224 or 224x160 */
    VT_OPT_BYTES,   /* int64_t: 1000, 64K, 24GiB (powers of 1024) */
    VT_OPT_STRINGS, /* vt_strings; with `choices`: separated by commas, each one of them */
    VT_OPT_CONFIG,  /* const char *: a settings file, which is read and not recorded; flags win over it */
    VT_OPT_TABLE,   /* a struct with a table of its own */
} vt_option_kind;

typedef struct vt_strings {
    const char *const *items;
    int count;
} vt_strings;

typedef struct vt_option {
    const char *name;
    const char *aliases; /* separated by commas; may be NULL */
    vt_option_kind kind;
    size_t offset, size;           /* of the field: VT_FIELD */
    double min, max;               /* of numbers; both 0: any */
    const char *choices;           /* "cpu|cuda" */
    const char *fallback;          /* the default as text; NULL or "": zeros, which then also are what "none" means */
    const char *help, *group;      /* help NULL: not listed */
    const char *argument;          /* in the help, "FILE"; NULL: after the kind */
    const struct vt_option *table; /* VT_OPT_TABLE */
    bool positional;               /* also without its name; VT_OPT_STRINGS without choices takes all that are left */
} vt_option;

#define VT_FIELD(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

/* Who gave a setting its value. Later ones win: a preset never changes what the user said. */
typedef enum vt_source {
    VT_FROM_DEFAULT,
    VT_FROM_PRESET,
    VT_FROM_COMPAT,
    VT_FROM_CHECKPOINT,
    VT_FROM_CONFIG,
    VT_FROM_FLAG
} vt_source;

/* Settings, and what is known about each. Strings in the settings live until vt_options_free. */
typedef struct vt_options {
    const vt_option *table; /* [count], nested tables put in their places */
    vt_source *sources;     /* [count] */
    int count;
    void *settings;
    bool help; /* --help or -h was met; parsing ended there */
    vt_arena arena;
} vt_options;

/* Fills the settings with the defaults. VT_FAILED: the table itself is wrong. */
vt_status vt_options_init(vt_options *o, const vt_option *table, void *settings);
void vt_options_free(vt_options *o);

/* argv[0] is the first argument, not the program. The settings file of a VT_OPT_CONFIG is read at the end. */
vt_status vt_options_parse(vt_options *o, int argc, const char *const *argv);
vt_status vt_options_read_config(vt_options *o, const char *path); /* base/yaml.h; a key with null asks for nothing */

/* Sets one option, given by name, from text as on the command line, unless a later source has set it. */
vt_status vt_options_set(vt_options *o, const char *name, const char *value, vt_source source);
vt_source vt_options_source(const vt_options *o, const char *name);
bool vt_options_given(const vt_options *o, const char *name); /* by the user: a flag or the settings file */

/* What a run is begun with: a JSON object for the checkpoint, args.yaml for people (keys sorted, as yaml.safe_dump). */
void vt_options_write_json(const vt_options *o, vt_text *text);
void vt_options_write_yaml(const vt_options *o, vt_text *text);
/* Takes over recorded settings. One that the user gave and that differs is an error, unless `free_names`
 * ("epochs,device") has it: then the user's stays. A recorded name that the table lacks is an error. */
vt_status vt_options_resume(vt_options *o, const char *json, const char *free_names);

/* `usage` stands first and `example` last, either may be NULL; between them the groups in the table's order. */
void vt_options_help(const vt_options *o, vt_text *text, const char *usage, const char *example);

/* --- for csrc/base/options*.c --- */

/* Goes through an option's names, its own first: start with {0}. */
typedef struct vt_option_names {
    const char *name, *implied; /* implied: what an alias NAME=VALUE stands for; NULL: none */
    size_t size, implied_size;
    const char *rest;
    bool begun;
} vt_option_names;

bool vt_option_next_name(const vt_option *option, vt_option_names *names);
/* -1: none of this name; `found` may be NULL. Names of one letter are found as one letter alone. */
int vt_options_find(const vt_options *o, const char *name, size_t size, vt_option_names *found);
vt_status vt_options_unknown(const vt_options *o, const char *what, const char *dashes, const char *name, size_t size);

bool vt_option_is_list(const vt_option *option);
int vt_option_wants(const vt_option *option); /* items: n of INTS and FLOATS; at most, of STRINGS: INT_MAX; else 1 */
/* Puts a value of `count` items into the settings; count < 0: null. `assign` does so unless a later source has set it.
 */
vt_status vt_options_store(vt_options *o, int i, const char *const *items, int count);
vt_status vt_options_assign(vt_options *o, int i, const char *const *items, int count, vt_source source);
vt_status vt_options_assign_text(vt_options *o, int i, const char *text, size_t size, vt_source source);
/* The reverse: items (-1: null), and item k as text. */
int vt_option_items(const vt_option *option, const void *settings);
void vt_option_item(const vt_option *option, const void *settings, int k, vt_text *text);

#endif
