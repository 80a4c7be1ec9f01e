#include <stdio.h>

#include "data/image.h"
#include "data/kind.h"

vt_status vt_pixels_read(const vt_dataset *ds, const vt_part *part, uint32_t i, vt_bytes *buffer, vt_sample *sample)
{
    size_t area = (size_t)part->h * (size_t)part->w;
    int c = ds->options.in_chans;
    const uint8_t *pixels = part->pixels + i * area * (size_t)part->c;
    *sample = (vt_sample){.pixels = pixels, .h = part->h, .w = part->w, .c = c};
    if (c == part->c) return VT_OK;
    vt_status st = vt_bytes_reserve(buffer, area * (size_t)c);
    if (st != VT_OK) return st;
    if (c == 3) vt_pixels_to_rgb(buffer->data, pixels, area);
    else vt_pixels_to_luma(buffer->data, pixels, area);
    sample->pixels = buffer->data;
    return VT_OK;
}

int vt_pixels_name(const vt_dataset *ds, const vt_part *part, uint32_t i, char *buffer, size_t size)
{
    return snprintf(buffer, size, "%s#%u", part->source, (unsigned)i);
}
