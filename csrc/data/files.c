#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "data/kind.h"

int vt_is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int vt_ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);
    return n >= k && strcasecmp(name + n - k, suffix) == 0;
}

const char *vt_join(vt_arena *arena, const char *folder, const char *name)
{
    size_t n = strlen(folder);
    return vt_arena_printf(arena, n && folder[n - 1] == '/' ? "%s%s" : "%s/%s", folder, name);
}

/* strcmp orders by unsigned bytes, as Python's sorted() does for names in UTF-8. */
static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static vt_status append(vt_arena *arena, vt_listing *list, const char *name)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 64;
        const char **names =
            vt_realloc(list->names, list->capacity * sizeof *names, capacity * sizeof *names);
        if (!names) return vt_fail_memory("names of files");
        list->names = names;
        list->capacity = capacity;
    }
    const char *copy = vt_arena_strndup(arena, name, strlen(name));
    if (!copy) return vt_fail_memory("names of files");
    list->names[list->count++] = copy;
    return VT_OK;
}

vt_status vt_list_folder(vt_arena *arena, const char *path, vt_listing *list)
{
    vt_status st;
    *list = (vt_listing){0};
    DIR *dir = opendir(path);
    if (!dir) return vt_fail(VT_INVALID, "%s: cannot read this folder: %s", path, strerror(errno));
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry && errno) VT_TRY(vt_fail(VT_INVALID, "%s: cannot read this folder: %s", path, strerror(errno)));
        if (!entry) break;
        if (entry->d_name[0] != '.') VT_TRY(append(arena, list, entry->d_name));
    }
    closedir(dir);
    if (list->count) qsort(list->names, list->count, sizeof *list->names, by_bytes);
    return VT_OK;
fail:
    closedir(dir);
    vt_free(list->names);
    *list = (vt_listing){0};
    return st;
}

vt_status vt_bytes_reserve(vt_bytes *buffer, size_t size)
{
    if (size <= buffer->capacity) return VT_OK;
    size_t capacity =
        size > SIZE_MAX / 2 ? size : size + size / 4; /* files differ a little: not a new block for each */
    vt_free(buffer->data);
    *buffer = (vt_bytes){.data = vt_alloc_raw(capacity)};
    if (!buffer->data) return vt_fail_memory("a file's bytes");
    buffer->capacity = capacity;
    return VT_OK;
}

vt_status vt_read_file(const char *path, vt_bytes *buffer)
{
    vt_status st;
    struct stat s;
    int fd;
    do fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang the run */
    while (fd < 0 && errno == EINTR);
    if (fd < 0) { /* where the process, not the file, is at fault, the file is not a bad one */
        vt_status mine = errno == EMFILE || errno == ENFILE || errno == ENOMEM ? VT_FAILED : VT_INVALID;
        return vt_fail(mine, "%s: cannot open: %s", path, strerror(errno));
    }
    if (fstat(fd, &s)) VT_TRY(vt_fail(VT_INVALID, "%s: cannot read: %s", path, strerror(errno)));
    if (!S_ISREG(s.st_mode)) VT_TRY(vt_fail(VT_INVALID, "%s: not a regular file", path));
    if (s.st_size == 0) VT_TRY(vt_fail(VT_INVALID, "%s: the file is empty", path));
    size_t size = (size_t)s.st_size;
    VT_TRY(vt_bytes_reserve(buffer, size));
    for (buffer->size = 0; buffer->size < size;) {
        ssize_t n = read(fd, buffer->data + buffer->size, size - buffer->size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            VT_TRY(
                vt_fail(VT_INVALID, "%s: cannot read: %s", path, n ? strerror(errno) : "it shrank while being read"));
        buffer->size += (size_t)n;
    }
    close(fd);
    return VT_OK;
fail:
    close(fd);
    return st;
}
