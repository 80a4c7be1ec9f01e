#include <string.h>

#include "base/alloc.h"
#include "data/codec.h"

enum { ORIENTATION_TAG = 0x0112, TYPE_BYTE = 1, TYPE_SHORT = 3, TYPE_LONG = 4 };

/* What an orientation says: the stored x runs against its upright axis, the stored y does, the axes change places. */
static bool x_reversed(int orientation)
{
    return orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
}

static bool y_reversed(int orientation)
{
    return orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
}

static bool transposed(int orientation)
{
    return orientation >= 5;
}

static uint32_t get(const uint8_t *p, int bytes, bool little)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++) v = v << 8 | p[little ? bytes - 1 - i : i];
    return v;
}

int vt_exif_orientation(const uint8_t *tiff, size_t size)
{
    if (size < 8) return 1;
    bool little = memcmp(tiff, "II*\0", 4) == 0;
    if (!little && memcmp(tiff, "MM\0*", 4) != 0) return 1;
    size_t at = get(tiff + 4, 4, little);
    if (at > size - 2) return 1;
    uint32_t entries = get(tiff + at, 2, little);
    for (at += 2; entries > 0 && size - at >= 12; entries--, at += 12) {
        if (get(tiff + at, 2, little) != ORIENTATION_TAG) continue;
        uint32_t type = get(tiff + at + 2, 2, little);
        int bytes = type == TYPE_BYTE ? 1 : type == TYPE_SHORT ? 2 : type == TYPE_LONG ? 4 : 0;
        uint32_t value = get(tiff + at + 8, bytes, little);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

vt_region vt_exif_stored_region(const vt_region *upright, int orientation, int stored_width, int stored_height)
{
    vt_region r = *upright;
    if (transposed(orientation)) r = (vt_region){r.y, r.x, r.height, r.width, r.min_height, r.min_width};
    if (x_reversed(orientation)) r.x = stored_width - r.x - r.width;
    if (y_reversed(orientation)) r.y = stored_height - r.y - r.height;
    return r;
}

vt_status vt_exif_turn(vt_image *image, int orientation)
{
    if (orientation == 1) return VT_OK;
    vt_image from = *image, to = {0};
    vt_status st = transposed(orientation) ? vt_image_reserve(&to, from.height, from.width, from.channels)
                                           : vt_image_reserve(&to, from.width, from.height, from.channels);
    if (st != VT_OK) return st;
    /* The stored pixel that comes first, and the steps to the upright next one across and down. */
    ptrdiff_t c = from.channels, across = c, down = c * from.width;
    const uint8_t *first = from.data;
    if (x_reversed(orientation)) {
        first += (from.width - 1) * across;
        across = -across;
    }
    if (y_reversed(orientation)) {
        first += (from.height - 1) * down;
        down = -down;
    }
    float x0 = from.x0, x1 = from.x1, y0 = from.y0, y1 = from.y1;
    to.x0 = x_reversed(orientation) ? (float)from.width - x1 : x0;
    to.x1 = x_reversed(orientation) ? (float)from.width - x0 : x1;
    to.y0 = y_reversed(orientation) ? (float)from.height - y1 : y0;
    to.y1 = y_reversed(orientation) ? (float)from.height - y0 : y1;
    if (transposed(orientation)) {
        ptrdiff_t step = across;
        across = down;
        down = step;
        x0 = to.x0, x1 = to.x1;
        to.x0 = to.y0, to.x1 = to.y1;
        to.y0 = x0, to.y1 = x1;
    }
    uint8_t *p = to.data;
    for (int y = 0; y < to.height; y++)
        for (int x = 0; x < to.width; x++, p += c) memcpy(p, first + y * down + x * across, (size_t)c);
    vt_image_free(image);
    *image = to;
    return VT_OK;
}
