/* base/text.h - growing text, numbers as text whatever the locale, and the nearest word to a misspelt one. */
#ifndef VT_BASE_TEXT_H
#define VT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* All zeros is an empty text. Running out of memory sticks: later appends do nothing and vt_text_status tells. */
typedef struct vt_text {
    char *data; /* [size], a 0 byte after it; NULL before the first append */
    size_t size, capacity;
    bool failed;
} vt_text;

void vt_text_append(vt_text *text, const char *bytes, size_t n);
void vt_text_add(vt_text *text, const char *s);
void vt_text_printf(vt_text *text, const char *fmt, ...) VT_PRINTF(2, 3);
void vt_text_pad(vt_text *text, size_t size); /* with spaces, up to `size` bytes in all */

/* As Python's repr: the fewest digits that read back as the same double ("0.0005", "1e-06", "5.0", "inf", "nan"). */
void vt_text_double(vt_text *text, double value);

const char *vt_text_str(const vt_text *text); /* "" when empty */
vt_status vt_text_status(const vt_text *text);
void vt_text_free(vt_text *text);

/* The whole of s[0..n) as a number: false when it is not one or does not fit. No spaces, no hexadecimal, and inf and
 * nan for doubles only. */
bool vt_parse_int(const char *s, size_t n, int64_t *value);
bool vt_parse_double(const char *s, size_t n, double *value);

/* Bytes of the valid UTF-8 sequence that s[0..n), n > 0, begins with; 0 when none does. */
size_t vt_utf8_length(const char *s, size_t n);
size_t vt_utf8_put(char *out, uint32_t code_point); /* at most 4 bytes; returns how many */

/* The word nearest to `word`, for "did you mean"; NULL when none is near. '-' and '_' are the same. */
const char *vt_suggest(const char *word, const char *const *words, int count);

#endif
