/* vitc/status.h - how every fallible function of libvitc reports.
 *
 * A function that can fail returns a vt_status. On anything but VT_OK it has undone what it began, and the calling
 * thread can read one line that says what failed, where (file, flag, tensor, sample) and what to do about it. */
#ifndef VITC_STATUS_H
#define VITC_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_status {
    VT_OK = 0,
    VT_FAILED = 1,    /* the work failed: a check did not hold, training diverged, a file could not be written */
    VT_INVALID = 2,   /* bad usage or bad input: a flag, a file, a shape */
    VT_NO_MEMORY = 3, /* an allocation failed */
} vt_status;

/* The message of this thread's latest failure, without a newline; "" before any. Valid until the thread's next
 * failure. */
const char *vt_error(void);

#ifdef __cplusplus
}
#endif
#endif
