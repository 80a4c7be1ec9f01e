/* data/gzip.h - inflating gzip in memory, piece by piece. */
#ifndef VT_DATA_GZIP_H
#define VT_DATA_GZIP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { VT_GZIP_MAX_RATIO = 1032 }; /* deflate's */

typedef struct vt_gzip vt_gzip;

/* The bytes are borrowed until the close. */
vt_status vt_gzip_open(vt_gzip **gzip, const uint8_t *bytes, size_t size);
/* n bytes to `out`, fewer only where the stream ends. gzip members may follow each other. */
vt_status vt_gzip_read(vt_gzip *gzip, uint8_t *out, size_t n, size_t *got);
void vt_gzip_close(vt_gzip *gzip);

#endif
