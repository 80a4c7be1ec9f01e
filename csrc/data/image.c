#include "data/image.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "data/codec.h"
#include "data/luma.h"

static const vt_codec *const codecs[] = {&vt_codec_jpeg, &vt_codec_png};

vt_status vt_image_open(vt_image_source *source, const uint8_t *bytes, size_t size)
{
    *source = (vt_image_source){.bytes = bytes, .size = size, .orientation = 1};
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs && !source->codec; i++)
        if (codecs[i]->match(bytes, size)) source->codec = codecs[i];
    if (!source->codec) {
        if (size >= 4 && memcmp(bytes + 1, "PNG", 3) == 0)
            return vt_fail(VT_INVALID, "damaged PNG signature: was the file copied as text?");
        return vt_fail(VT_INVALID, "neither a PNG nor a JPEG file");
    }
    vt_status st = source->codec->open(source);
    if (st != VT_OK) return st;
    if ((int64_t)source->width * source->height > VT_IMAGE_MAX_PIXELS)
        return vt_fail(VT_INVALID, "%d x %d pixels are more than the %d that are accepted: reduce the image",
                       source->width, source->height, VT_IMAGE_MAX_PIXELS);
    if (source->orientation >= 5) {
        int width = source->width;
        source->width = source->height;
        source->height = width;
    }
    return VT_OK;
}

vt_status vt_image_reserve(vt_image *image, int width, int height, int channels)
{
    size_t bytes = (size_t)width * (size_t)height * (size_t)(channels > 3 ? channels : 3);
    if (bytes > image->capacity) {
        vt_free(image->data);
        image->capacity = 0;
        image->data = vt_alloc_raw(bytes);
        if (!image->data) return vt_fail(VT_NO_MEMORY, "out of memory: an image of %d x %d", width, height);
        image->capacity = bytes;
    }
    image->width = width;
    image->height = height;
    image->channels = channels;
    image->x0 = image->y0 = 0;
    image->x1 = (float)width;
    image->y1 = (float)height;
    return VT_OK;
}

void vt_pixels_to_luma(uint8_t *grey, const uint8_t *rgb, size_t n)
{
    uint32_t block[VT_BLOCK];
    for (size_t at = 0, size; at < n; at += size) {
        size = n - at < VT_BLOCK ? n - at : VT_BLOCK;
        vt_block_read(block, rgb + 3 * at, size);
        for (size_t i = 0; i < size; i++) {
            uint32_t p = block[i];
            grey[at + i] = (uint8_t)vt_luma(vt_block_level(p, 0), vt_block_level(p, 8), vt_block_level(p, 16));
        }
    }
}

void vt_pixels_to_rgb(uint8_t *rgb, const uint8_t *grey, size_t n)
{
    for (size_t i = n; i-- > 0;) rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = grey[i];
}

vt_status vt_image_decode(vt_image *out, const vt_image_source *source, int channels, const vt_region *region)
{
    const vt_region all = {0, 0, source->width, source->height, 0, 0};
    bool turned = source->orientation >= 5;
    int stored_width = turned ? source->height : source->width, stored_height = turned ? source->width : source->height;
    vt_region stored = vt_exif_stored_region(region ? region : &all, source->orientation, stored_width, stored_height);
    vt_status st = source->codec->decode(out, source, &stored);
    if (st == VT_OK) st = vt_exif_turn(out, source->orientation);
    if (st != VT_OK) return st;
    size_t pixels = (size_t)out->width * (size_t)out->height;
    if (channels < out->channels) vt_pixels_to_luma(out->data, out->data, pixels);
    if (channels > out->channels) vt_pixels_to_rgb(out->data, out->data, pixels);
    out->channels = channels;
    return VT_OK;
}

vt_status vt_image_read(vt_image *out, const char *path, int channels)
{
    vt_file file;
    vt_image_source source;
    vt_status st = vt_file_read(&file, path);
    if (st != VT_OK) return st;
    st = vt_image_open(&source, file.data, file.size);
    if (st == VT_OK) st = vt_image_decode(out, &source, channels, NULL);
    if (st != VT_OK) st = vt_fail_in(st, "%s", path);
    vt_file_close(&file);
    return st;
}

void vt_image_free(vt_image *image)
{
    vt_free(image->data);
    *image = (vt_image){0};
}
