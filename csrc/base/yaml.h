/* base/yaml.h - the YAML of settings files: one flat mapping, as timm's args.yaml is.
 *
 * Read: `key: value` lines; plain, 'single' and "double" quoted scalars that end on their line; null; flow lists [a, b]
 * and block lists of "- a" lines, of scalars; comments; a leading "---". Anything else is an error that names the line.
 */
#ifndef VT_BASE_YAML_H
#define VT_BASE_YAML_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"

typedef struct vt_yaml {
    const char *key;
    const char **items; /* [count] scalars as text: an unquoted true is "true" */
    int count, line;
    bool is_list, is_null; /* null: nothing, ~, null, {} */
    struct vt_yaml *next;
} vt_yaml;

/* Everything lies in the arena. Messages begin with "line N: "; a key may stand there once. */
vt_status vt_yaml_parse(vt_arena *arena, const char *text, size_t size, vt_yaml **first);

/* A scalar that reads back as this very string, quoted where plain text would be a number, a date, true, null, … */
void vt_yaml_string(vt_text *text, const char *s);

#endif
