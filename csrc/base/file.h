/* base/file.h - whole files: read, mapped, and written so that a reader sees the old content or the new. */
#ifndef VT_BASE_FILE_H
#define VT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct vt_file {
    unsigned char *data; /* [size] */
    size_t size;
    bool mapped;
} vt_file;

vt_status vt_file_read(vt_file *file, const char *path); /* into the heap, a 0 byte after it; a pipe too, up to 1 GiB */
vt_status vt_file_map(vt_file *file, const char *path);  /* read-only pages; what cannot be mapped is read. The pages
                                                          * survive a rename over the file, not its being cut short */
void vt_file_close(vt_file *file);

/* Writes to `.NAME.tmp` in the same folder; commit syncs it, renames it to `path` and syncs the folder. Any failure
 * removes the temporary file and leaves the old file as it was; one left by a killed process is replaced by the next
 * write. A path that is no regular file (a pipe, /dev/stdout) is written in place. */
typedef struct vt_writer {
    char *path, *temp; /* heap; temp NULL: in place */
    uint64_t written;  /* bytes put so far */
    int fd;
} vt_writer;

vt_status vt_writer_open(vt_writer *w, const char *path);
vt_status vt_writer_put(vt_writer *w, const void *data, size_t bytes);
vt_status vt_writer_commit(vt_writer *w); /* closes, whether it succeeds or not */
void vt_writer_abort(vt_writer *w);       /* closes and removes; nothing to do after a commit */

vt_status vt_file_write(const char *path, const void *data, size_t bytes); /* open, put, commit */

#endif
