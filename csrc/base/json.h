/* base/json.h - strict JSON (RFC 8259) into a tree, and out of plain calls. */
#ifndef VT_BASE_JSON_H
#define VT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/text.h"

typedef enum vt_json_kind {
    VT_JSON_NULL,
    VT_JSON_BOOL,
    VT_JSON_NUMBER,
    VT_JSON_STRING,
    VT_JSON_ARRAY,
    VT_JSON_OBJECT,
} vt_json_kind;

typedef struct vt_json {
    vt_json_kind kind;
    bool boolean;
    bool integral; /* written without point and exponent, and fits `integer` */
    int count;     /* members of an array or object */
    int64_t integer;
    double number;
    const char *key;       /* inside an object */
    const char *string;    /* valid UTF-8 without 0 bytes; of a number, its spelling */
    struct vt_json *first; /* members in the file's order */
    struct vt_json *next;  /* after this one in the same array or object */
} vt_json;

/* Parses the whole text; everything lies in the arena. A failure's message begins with the byte's offset; the caller
 * puts the file's name before it with vt_fail_in. Equal keys are kept, in order. */
vt_status vt_json_parse(vt_arena *arena, const char *text, size_t size, vt_json **root);
const vt_json *vt_json_get(const vt_json *object, const char *key); /* the first of that key; NULL: none */

/* Writing. Commas come by themselves, since each call can see what the text ends with:
 *     vt_json_open(t, '{'); vt_json_key(t, "acc1"); vt_json_number(t, 72.2); vt_json_close(t, '}');
 * A newline may stand between two values that are a line each. */
void vt_json_open(vt_text *text, char bracket);
void vt_json_close(vt_text *text, char bracket);
void vt_json_key(vt_text *text, const char *key);
void vt_json_string(vt_text *text, const char *s); /* NULL: null; a byte that is not UTF-8 becomes U+FFFD */
void vt_json_number(vt_text *text, double value);  /* 9 digits, whole numbers below 2^53 in full; nan and inf: null */
void vt_json_exact(vt_text *text, double value);   /* reads back as the same double; nan and inf: null */
void vt_json_int(vt_text *text, int64_t value);
void vt_json_bool(vt_text *text, bool value);
void vt_json_literal(vt_text *text, const char *s); /* a number, true or false that is text already */

#endif
