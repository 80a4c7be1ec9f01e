#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static const size_t STREAM_MAX = (size_t)1 << 30; /* bytes taken from what has no size of its own */

static vt_status open_to_read(const char *path, int *fd, struct stat *info)
{
    do *fd = open(path, O_RDONLY | O_CLOEXEC);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0) return vt_fail(VT_INVALID, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(*fd, info) == 0 && !S_ISDIR(info->st_mode) && (uintmax_t)info->st_size < SIZE_MAX) return VT_OK;
    close(*fd);
    return vt_fail(VT_INVALID, "%s: is a folder, a file is wanted", path);
}

static vt_status read_all(vt_file *file, const char *path, int fd, const struct stat *info)
{
    bool regular = S_ISREG(info->st_mode);
    size_t capacity = regular ? (size_t)info->st_size + 1 : 64 * 1024;
    unsigned char *data = vt_alloc_raw(capacity);
    size_t size = 0;
    while (data) {
        if (size + 1 == capacity && !regular) {
            if (capacity > STREAM_MAX) {
                vt_free(data);
                return vt_fail(VT_INVALID, "%s: more than 1 GiB and not a regular file: copy it to one", path);
            }
            unsigned char *larger = vt_realloc(data, capacity, 2 * capacity);
            if (!larger) break;
            data = larger;
            capacity *= 2;
        }
        ssize_t n = read(fd, data + size, capacity - 1 - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            vt_free(data);
            return vt_fail(VT_INVALID, "%s: cannot read: %s", path, strerror(errno));
        }
        size += (size_t)n;
        if (n == 0) {
            data[size] = 0;
            *file = (vt_file){data, size, false};
            return VT_OK;
        }
    }
    vt_free(data);
    return vt_fail(VT_NO_MEMORY, "out of memory: %s, %zu bytes", path, capacity);
}

vt_status vt_file_read(vt_file *file, const char *path)
{
    int fd;
    struct stat info;
    *file = (vt_file){0};
    vt_status st = open_to_read(path, &fd, &info);
    if (st != VT_OK) return st;
    st = read_all(file, path, fd, &info);
    close(fd);
    return st;
}

vt_status vt_file_map(vt_file *file, const char *path)
{
    int fd;
    struct stat info;
    *file = (vt_file){0};
    vt_status st = open_to_read(path, &fd, &info);
    if (st != VT_OK) return st;
    size_t size = (size_t)info.st_size;
    void *data = S_ISREG(info.st_mode) && size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (data == MAP_FAILED)
        st = read_all(file, path, fd, &info);
    else
        *file = (vt_file){data, size, true};
    close(fd);
    return st;
}

void vt_file_close(vt_file *file)
{
    if (file->mapped)
        munmap(file->data, file->size);
    else
        vt_free(file->data);
    *file = (vt_file){0};
}

static vt_status cannot_write(const vt_writer *w, int error)
{
    return vt_fail(VT_FAILED, "%s: cannot write: %s%s", w->path, strerror(error),
                   w->temp ? "; what was there before is unchanged" : "");
}

/* The part of a path before the name, its slash included. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

vt_status vt_writer_open(vt_writer *w, const char *path)
{
    vt_status st = VT_OK;
    struct stat info;
    *w = (vt_writer){.fd = -1, .path = vt_strdup(path)};
    if (!w->path) return vt_fail_memory(path);
    int flags = O_WRONLY | O_CLOEXEC;
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) {
        size_t folder = folder_length(path), n = strlen(path) + sizeof "..tmp";
        w->temp = vt_alloc(n);
        if (!w->temp) VT_TRY(vt_fail_memory(path));
        snprintf(w->temp, n, "%.*s.%s.tmp", (int)folder, path, path + folder);
        unlink(w->temp);
        flags |= O_CREAT | O_EXCL;
    }
    do w->fd = open(w->temp ? w->temp : path, flags, 0666);
    while (w->fd < 0 && errno == EINTR);
    if (w->fd < 0) {
        int error = errno;
        vt_free(w->temp); /* it is not ours to remove */
        w->temp = NULL;
        VT_TRY(cannot_write(w, error));
    }
    return VT_OK;
fail:
    vt_writer_abort(w);
    return st;
}

vt_status vt_writer_put(vt_writer *w, const void *data, size_t bytes)
{
    const size_t most = (size_t)1 << 30; /* a single write takes no more than 2 GiB */
    for (const char *p = data; bytes;) {
        ssize_t n = write(w->fd, p, bytes < most ? bytes : most);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return cannot_write(w, n < 0 ? errno : ENOSPC);
        p += n;
        w->written += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return VT_OK;
}

/* Makes the rename itself last. Some file systems have no such thing for folders and say EINVAL. */
static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) ? errno : 0;
    if (fd >= 0) close(fd);
    return error == EINVAL || error == EACCES ? 0 : error;
}

/* Whether the temporary name still stands for the file that was opened: another writer of this path takes it over. */
static bool still_ours(const vt_writer *w)
{
    struct stat ours, named;
    return fstat(w->fd, &ours) == 0 && stat(w->temp, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

vt_status vt_writer_commit(vt_writer *w)
{
    vt_status st = VT_OK;
    if (w->temp) {
        if (fsync(w->fd)) VT_TRY(cannot_write(w, errno));
        if (!still_ours(w)) VT_TRY(vt_fail(VT_FAILED, "%s: another process is writing this file too", w->path));
    }
    int fd = w->fd;
    w->fd = -1;
    if (close(fd)) VT_TRY(cannot_write(w, errno));
    if (w->temp) {
        if (rename(w->temp, w->path)) VT_TRY(cannot_write(w, errno));
        size_t folder = folder_length(w->path);
        w->temp[folder] = 0;
        int error = sync_folder(folder ? w->temp : ".");
        vt_free(w->temp);
        w->temp = NULL;
        if (error)
            VT_TRY(vt_fail(VT_FAILED, "%s: written, but its folder cannot be synced: %s", w->path, strerror(error)));
    }
fail:
    vt_writer_abort(w);
    return st;
}

void vt_writer_abort(vt_writer *w)
{
    if (w->temp && (w->fd < 0 || still_ours(w))) unlink(w->temp); /* closed: commit failed after that */
    if (w->fd >= 0) close(w->fd);
    vt_free(w->path);
    vt_free(w->temp);
    *w = (vt_writer){.fd = -1};
}

vt_status vt_file_write(const char *path, const void *data, size_t bytes)
{
    vt_writer w;
    vt_status st;
    VT_TRY(vt_writer_open(&w, path));
    VT_TRY(vt_writer_put(&w, data, bytes));
    return vt_writer_commit(&w);
fail:
    vt_writer_abort(&w);
    return st;
}
