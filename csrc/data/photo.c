#include "data/photo.h"

#include <math.h>

#include "base/alloc.h"
#include "base/philox.h"

enum { OCTAVES = 7, SHAPES = 24 };

typedef struct shape { /* an ellipse of one colour, textured on its own */
    float x, y, rx, ry;
    float colour[3];
    float texture;
} shape;

static float lattice(uint64_t seed, int octave, int x, int y)
{
    return vt_uniform(vt_philox_4x32(seed, (uint32_t)x, (uint32_t)y, (uint32_t)octave, 0).v[0]) - 0.5f;
}

static float smooth(float t)
{
    return t * t * (3 - 2 * t);
}

/* Values at whole points, joined smoothly. */
static float noise(uint64_t seed, int octave, float x, float y)
{
    int ix = (int)floorf(x), iy = (int)floorf(y);
    float u = smooth(x - (float)ix), v = smooth(y - (float)iy);
    float top = lattice(seed, octave, ix, iy) * (1 - u) + lattice(seed, octave, ix + 1, iy) * u;
    float low = lattice(seed, octave, ix, iy + 1) * (1 - u) + lattice(seed, octave, ix + 1, iy + 1) * u;
    return top * (1 - v) + low * v;
}

/* Each octave has half the size and 0.72 of the height of the one before. */
static float texture(uint64_t seed, float x, float y, float size)
{
    float sum = 0, height = 1;
    for (int i = 0; i < OCTAVES; i++, height *= 0.72f, size *= 0.5f) sum += height * noise(seed, i, x / size, y / size);
    return sum;
}

static void draw_shapes(shape *shapes, int width, int height, uint64_t seed)
{
    vt_rng random = vt_rng_data(seed, VT_PURPOSE_AUGMENT, 0, 0, 0);
    for (int i = 0; i < SHAPES; i++) {
        shape *s = &shapes[i];
        s->x = vt_rng_uniform(&random) * (float)width;
        s->y = vt_rng_uniform(&random) * (float)height;
        s->rx = (0.03f + 0.2f * vt_rng_uniform(&random)) * (float)width;
        s->ry = (0.03f + 0.2f * vt_rng_uniform(&random)) * (float)height;
        for (int c = 0; c < 3; c++) s->colour[c] = 30 + 190 * vt_rng_uniform(&random);
        s->texture = 20 + 90 * vt_rng_uniform(&random);
    }
}

static const shape *shape_at(const shape *shapes, float x, float y)
{
    for (int i = SHAPES; i-- > 0;) {
        float dx = (x - shapes[i].x) / shapes[i].rx, dy = (y - shapes[i].y) / shapes[i].ry;
        if (dx * dx + dy * dy < 1) return &shapes[i];
    }
    return NULL;
}

static void draw_pixel(uint8_t *rgb, const shape *shapes, uint64_t seed, int x, int y, int width, int height)
{
    const shape *s = shape_at(shapes, (float)x, (float)y);
    uint64_t own = s ? seed + 1 + (uint64_t)(s - shapes) : seed;
    float grain = texture(own, (float)x, (float)y, (float)width / 12) * (s ? s->texture : 60);
    for (int c = 0; c < 3; c++) {
        float base = s ? s->colour[c] : 90 + 30 * (float)c + 60 * (float)(height - y) / (float)height;
        float v = base + grain + 8 * lattice(seed, OCTAVES + c, x, y);
        rgb[c] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

vt_status vt_photo_make(vt_image *image, int width, int height, uint64_t seed)
{
    shape shapes[SHAPES];
    size_t bytes = (size_t)width * (size_t)height * 3;
    vt_image_free(image);
    *image = (vt_image){.data = vt_alloc_raw(bytes), .width = width, .height = height, .channels = 3, .capacity = bytes,
                        .x1 = (float)width, .y1 = (float)height};
    if (!image->data) return vt_fail_memory("a made-up photograph");
    draw_shapes(shapes, width, height, seed);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            draw_pixel(image->data + 3 * ((size_t)y * (size_t)width + (size_t)x), shapes, seed, x, y, width, height);
    return VT_OK;
}
