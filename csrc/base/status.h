/* base/status.h - raising and passing on failures. The message lives in thread-local storage, as errno does. */
#ifndef VT_BASE_STATUS_H
#define VT_BASE_STATUS_H

#include "vitc/status.h"

#if defined(__GNUC__)
#define VT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define VT_PRINTF(fmt, args)
#endif

/* Records the message and returns `status`: `return vt_fail(VT_INVALID, "%s: not a PNG file", path);` */
vt_status vt_fail(vt_status status, const char *fmt, ...) VT_PRINTF(2, 3);

/* Puts "context: " before the present message and returns `status`. */
vt_status vt_fail_in(vt_status status, const char *fmt, ...) VT_PRINTF(2, 3);

/* The one way memory runs out: records what was wanted and returns VT_NO_MEMORY. */
vt_status vt_fail_memory(const char *what);

/* Goes to the function's `fail:` label, which frees what was taken and returns `st`, a local vt_status. */
#define VT_TRY(expr)                   \
    do {                               \
        st = (expr);                   \
        if (st != VT_OK) goto fail;    \
    } while (0)

#endif
