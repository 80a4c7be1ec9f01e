/* data/luma.h - blocks of RGB pixels as whole numbers, and their luma in floats: loops over a block become vectors.
 *
 * Luma is ITU-R 601-2's in 16 bits of fraction, rounded. Floats are exact here: every product and sum is a whole number
 * below 2^24. So the bits are Pillow's, which computes it in integers. */
#ifndef VT_DATA_LUMA_H
#define VT_DATA_LUMA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VT_BLOCK = 64 };

/* n RGB pixels, 1 .. VT_BLOCK, to whole numbers and back: red in the low byte, green, blue; the high byte is anything.
 * Four bytes are read and written at once but at the end, of which the fourth is the next pixel's. */
static inline void vt_block_read(uint32_t *block, const uint8_t *rgb, size_t n)
{
    size_t last = n - 1;
    for (size_t i = 0; i < last; i++) memcpy(block + i, rgb + 3 * i, 4);
    block[last] = (uint32_t)(rgb[3 * last] | rgb[3 * last + 1] << 8 | rgb[3 * last + 2] << 16);
}

static inline void vt_block_write(uint8_t *rgb, const uint32_t *block, size_t n)
{
    size_t last = n - 1;
    for (size_t i = 0; i < last; i++) memcpy(rgb + 3 * i, block + i, 4);
    memcpy(rgb + 3 * last, block + last, 3);
}

/* The byte of a pixel that stands so many bits up. */
static inline float vt_block_level(uint32_t pixel, int bits)
{
    return (float)(int)(pixel >> bits & 255);
}

static inline int vt_luma(float r, float g, float b)
{
    return (int)((19595.0f * r + 38470.0f * g + 7471.0f * b + 32768.0f) * (1.0f / 65536));
}

#endif
