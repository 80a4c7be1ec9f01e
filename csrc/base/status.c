#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };
static _Thread_local char message[MESSAGE_BYTES];

const char *vt_error(void)
{
    return message;
}

vt_status vt_fail(vt_status status, const char *fmt, ...)
{
    char text[MESSAGE_BYTES]; /* an argument may be vt_error() itself */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    memcpy(message, text, sizeof text);
    return status;
}

vt_status vt_fail_in(vt_status status, const char *fmt, ...)
{
    char context[MESSAGE_BYTES / 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(context, sizeof context, fmt, args);
    va_end(args);
    return vt_fail(status, "%s: %s", context, message);
}

vt_status vt_fail_memory(const char *what)
{
    return vt_fail(VT_NO_MEMORY, "out of memory: %s", what);
}
