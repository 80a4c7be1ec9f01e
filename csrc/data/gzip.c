/* gzip through zlib, its memory through base/alloc.h. */
#include "data/gzip.h"

#include <zlib.h>

#include "base/alloc.h"

enum { PIECE = 1 << 30 /* zlib counts in int */ };

struct vt_gzip {
    z_stream z;
    const uint8_t *in;
    size_t left;
    int ended;
};

static void *z_alloc(void *opaque, unsigned items, unsigned size)
{
    return vt_alloc((size_t)items * size);
}

static void z_free(void *opaque, void *p)
{
    vt_free(p);
}

vt_status vt_gzip_open(vt_gzip **gzip, const uint8_t *bytes, size_t size)
{
    vt_gzip *f = *gzip = vt_alloc(sizeof *f);
    if (!f) return vt_fail_memory("inflating gzip");
    *f = (vt_gzip){.z = {.zalloc = z_alloc, .zfree = z_free}, .in = bytes, .left = size};
    if (inflateInit2(&f->z, 16 + MAX_WBITS) == Z_OK) return VT_OK;
    vt_free(f);
    *gzip = NULL;
    return vt_fail_memory("inflating gzip");
}

vt_status vt_gzip_read(vt_gzip *f, uint8_t *out, size_t n, size_t *got)
{
    for (*got = 0; *got < n && !f->ended;) {
        uInt in = f->left < PIECE ? (uInt)f->left : PIECE, room = n - *got < PIECE ? (uInt)(n - *got) : PIECE;
        f->z.next_in = (Bytef *)(uintptr_t)f->in; /* zlib's z_const is off */
        f->z.avail_in = in;
        f->z.next_out = out + *got;
        f->z.avail_out = room;
        int rc = inflate(&f->z, Z_NO_FLUSH);
        f->in += in - f->z.avail_in;
        f->left -= in - f->z.avail_in;
        *got += room - f->z.avail_out;
        if (rc == Z_STREAM_END && f->left) rc = inflateReset(&f->z);
        else if (rc == Z_STREAM_END) f->ended = 1;
        if (rc == Z_MEM_ERROR) return vt_fail_memory("inflating gzip");
        if (rc == Z_BUF_ERROR || (rc == Z_OK && !f->left && *got < n))
            return vt_fail(VT_INVALID, "truncated: the gzip stream ends early");
        if (rc != Z_OK && rc != Z_STREAM_END)
            return vt_fail(VT_INVALID, "damaged gzip: %s", f->z.msg ? f->z.msg : "unusable stream");
    }
    return VT_OK;
}

void vt_gzip_close(vt_gzip *f)
{
    if (!f) return;
    inflateEnd(&f->z);
    vt_free(f);
}
