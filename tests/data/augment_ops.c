/* augments.txt has the CRC-32 of what Pillow makes. Ops that leave pixels in place must have it. Warps have it up to a
 * level: a reference in Pillow's doubles, here, must have the CRC, and the op must be near the reference. */
#include "data/augment_ops.h"

#include "base/philox.h"
#include "data/pixels.h"

enum { GUARD = 64 };
static const uint8_t FILL[3] = {124, 116, 104};

/* --- the reference --- */

typedef struct affine {
    double m[6];
} affine;

static double cubic(double v1, double v2, double v3, double v4, double d)
{
    double p2 = -v1 + v3, p3 = 2 * (v1 - v2) + v3 - v4, p4 = -v1 + v2 - v3 + v4;
    return v2 + d * (p2 + d * (p3 + d * p4));
}

static double pixel(const vt_canvas *c, const uint8_t *from, int x, int y, int k)
{
    x = x < 0 ? 0 : x < c->width ? x : c->width - 1;
    y = y < 0 ? 0 : y < c->height ? y : c->height - 1;
    return from[(y * c->width + x) * c->channels + k];
}

static uint8_t sample(const vt_canvas *c, const uint8_t *from, double x, double y, int k)
{
    int u = (int)floor(x), v = (int)floor(y);
    double dx = x - u, dy = y - v, r[4], result;
    if (c->filter == VT_FILTER_BILINEAR) {
        for (int i = 0; i < 2; i++) {
            double a = pixel(c, from, u, v + i, k), b = pixel(c, from, u + 1, v + i, k);
            r[i] = a + (b - a) * dx;
        }
        result = r[0] + (r[1] - r[0]) * dy;
    } else {
        for (int i = 0; i < 4; i++)
            r[i] = cubic(pixel(c, from, u - 1, v - 1 + i, k), pixel(c, from, u, v - 1 + i, k),
                         pixel(c, from, u + 1, v - 1 + i, k), pixel(c, from, u + 2, v - 1 + i, k), dx);
        result = cubic(r[0], r[1], r[2], r[3], dy);
    }
    return (uint8_t)(result <= 0 ? 0 : result >= 255 ? 255 : result);
}

static void reference(const vt_canvas *c, affine a, uint8_t *out)
{
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++)
            for (int k = 0; k < c->channels; k++, out++) {
                double u = x + 0.5, v = y + 0.5;
                double px = a.m[0] * u + a.m[1] * v + a.m[2], py = a.m[3] * u + a.m[4] * v + a.m[5];
                bool in = px >= 0 && px < c->width && py >= 0 && py < c->height;
                *out = in ? sample(c, c->pixels, px - 0.5, py - 0.5, k) : c->fill[k];
            }
}

static affine rotation(const vt_canvas *c, double degrees)
{
    double angle = -degrees * (3.14159265358979323846 / 180), x = c->width / 2.0, y = c->height / 2.0;
    double cosine = rint(cos(angle) * 1e15) / 1e15, sine = rint(sin(angle) * 1e15) / 1e15;
    return (affine){{cosine, sine, cosine * -x + sine * -y + x, -sine, cosine, -sine * -x + cosine * -y + y}};
}

static affine matrix_of(const vt_canvas *c, const char *op, double v)
{
    if (strcmp(op, "Rotate") == 0) return rotation(c, v);
    if (strcmp(op, "ShearX") == 0) return (affine){{1, v, 0, 0, 1, 0}};
    if (strcmp(op, "ShearY") == 0) return (affine){{1, 0, 0, v, 1, 0}};
    if (strcmp(op, "TranslateXRel") == 0) return (affine){{1, 0, v * c->width, 0, 1, 0}};
    return (affine){{1, 0, 0, 0, 1, v * c->height}};
}

/* --- canvases whose ends AddressSanitizer, or a pattern, watches --- */

static vt_canvas canvas_of(int width, int height, int channels)
{
    size_t work = vt_canvas_work(height, width, channels);
    vt_canvas c = {.height = height, .width = width, .channels = channels, .fill = {FILL[0], FILL[1], FILL[2]},
                   .pixels = malloc((size_t)(width * height * channels)), .work = vt_alloc_raw(work + GUARD)};
    memset(c.work, 0xA5, work + GUARD);
    return c;
}

static void close_canvas(vt_canvas *c)
{
    const uint8_t *guard = c->work + vt_canvas_work(c->height, c->width, c->channels);
    for (int i = 0; i < GUARD; i++) CHECK_EQ(guard[i], 0xA5);
    free(c->pixels);
    vt_free(c->work);
}

static size_t bytes_of(const vt_canvas *c)
{
    return (size_t)c->width * (size_t)c->height * (size_t)c->channels;
}

static const struct {
    const char *name;
    vt_augment_fn *apply;
    double least, most;
} ops[] = {{"AutoContrast", vt_op_autocontrast, 0, 0},
           {"Equalize", vt_op_equalize, 0, 0},
           {"Invert", vt_op_invert, 0, 0},
           {"Posterize", vt_op_posterize, 0, 8},
           {"Solarize", vt_op_solarize, 0, 256},
           {"SolarizeAdd", vt_op_solarize_add, 0, 128},
           {"Color", vt_op_color, 0, 5.5},
           {"Contrast", vt_op_contrast, 0, 5.5},
           {"Brightness", vt_op_brightness, 0, 5.5},
           {"Sharpness", vt_op_sharpness, 0, 5.5},
           {"Grey", vt_op_grey, 0, 0},
           {"Blur", vt_op_blur, 0, 2},
           {"Rotate", vt_op_rotate, -90, 90},
           {"ShearX", vt_op_shear_x, -0.9, 0.9},
           {"ShearY", vt_op_shear_y, -0.9, 0.9},
           {"TranslateXRel", vt_op_translate_x, -1.35, 1.35},
           {"TranslateYRel", vt_op_translate_y, -1.35, 1.35}};
enum { OPS = sizeof ops / sizeof *ops, WARPS = 5 }; /* the warps stand last */

static int find_op(const char *name)
{
    for (int i = 0; i < OPS; i++)
        if (strcmp(ops[i].name, name) == 0) return i;
    CHECK_MSG(0, "augments.txt has %s", name);
    return 0;
}

/* --- Pillow --- */

typedef struct tally {
    int lines[OPS];
    long pixels, higher, lower; /* of warps: values compared, and those a level off */
} tally;

static void check_line(vt_canvas *c, const uint8_t *photo, const char *op, double argument, unsigned crc, tally *t)
{
    size_t n = bytes_of(c);
    int i = find_op(op);
    t->lines[i]++;
    memcpy(c->pixels, photo, n);
    if (i < OPS - WARPS) {
        ops[i].apply(c, argument);
        CHECK_MSG(pixels_crc(c->pixels, n) == crc, "%s %g, %d x %d x %d", op, argument, c->width, c->height,
                  c->channels);
        return;
    }
    uint8_t *wanted = malloc(n);
    int worst = 0;
    reference(c, matrix_of(c, op, argument), wanted);
    CHECK_MSG(pixels_crc(wanted, n) == crc, "%s %g, filter %d, %d x %d x %d: the reference", op, argument, c->filter,
              c->width, c->height, c->channels);
    ops[i].apply(c, argument);
    for (size_t k = 0; k < n; k++) {
        int off = c->pixels[k] - wanted[k];
        worst = abs(off) > worst ? abs(off) : worst;
        t->higher += off > 0;
        t->lower += off < 0;
    }
    t->pixels += (long)n;
    CHECK_MSG(worst <= 1, "%s %g, filter %d, %d x %d x %d: off by %d", op, argument, c->filter, c->width, c->height,
              c->channels, worst);
    free(wanted);
}

TEST(equals_pillow)
{
    char line[160], name[80];
    int channels, x, y, width, height, filter;
    double argument;
    unsigned crc;
    uint8_t *photo = NULL;
    vt_canvas c = {0};
    tally t = {0};
    FILE *list = open_list("augments.txt");
    while (fgets(line, sizeof line, list)) {
        if (sscanf(line, "%79s %d %d %d %d %d", name, &channels, &x, &y, &width, &height) == 6) {
            free(photo);
            if (c.pixels) close_canvas(&c);
            photo = image_part(name, channels, x, y, width, height);
            c = canvas_of(width, height, channels);
        } else {
            CHECK(sscanf(line, "%79s %lf %d %x", name, &argument, &filter, &crc) == 4);
            c.filter = (vt_filter)filter;
            check_line(&c, photo, name, argument, crc, &t);
        }
    }
    for (int i = 0; i < OPS; i++) CHECK_MSG(t.lines[i] >= 14, "%s: %d lines", ops[i].name, t.lines[i]);
    /* A level off because both cut to whole levels, where fixed point is a little beside: seldom, and evenly. */
    CHECK_MSG(t.higher + t.lower < t.pixels / 200, "%ld + %ld of %ld", t.higher, t.lower, t.pixels);
    CHECK_MSG(labs(t.higher - t.lower) < t.pixels / 500, "%ld and %ld of %ld", t.higher, t.lower, t.pixels);
    fclose(list);
    free(photo);
    if (c.pixels) close_canvas(&c);
}

/* --- any size and argument --- */

/* Within their memory, and a function of pixels and argument alone, not of what the work held before. */
TEST(keeps_to_its_memory)
{
    const uint32_t seed = 5;
    vt_rng rng = vt_rng_data(seed, VT_PURPOSE_AUGMENT, 0, 0, 0);
    for (int round = 0; round < 600; round++) {
        int i = round % OPS, width = 1 + (int)vt_rng_below(&rng, round % 3 ? 12 : 70);
        int height = 1 + (int)vt_rng_below(&rng, round % 5 ? 12 : 70), channels = vt_rng_below(&rng, 2) ? 3 : 1;
        double argument = ops[i].least + (ops[i].most - ops[i].least) * (double)vt_rng_uniform(&rng);
        vt_canvas a = canvas_of(width, height, channels), b = canvas_of(width, height, channels);
        a.filter = b.filter = vt_rng_below(&rng, 2) ? VT_FILTER_BICUBIC : VT_FILTER_BILINEAR;
        for (size_t k = 0; k < bytes_of(&a); k++) a.pixels[k] = b.pixels[k] = (uint8_t)vt_rng_bits(&rng);
        memset(b.work, 0, vt_canvas_work(height, width, channels));
        ops[i].apply(&a, argument);
        ops[i].apply(&b, argument);
        CHECK_MSG(memcmp(a.pixels, b.pixels, bytes_of(&a)) == 0, "%s %g, %d x %d x %d, seed %u", ops[i].name, argument,
                  width, height, channels, (unsigned)seed);
        close_canvas(&a);
        close_canvas(&b);
    }
}

/* What is of one level stays so, but for the fill and ops that change levels. */
TEST(flat_stays_flat)
{
    for (int channels = 1; channels <= 3; channels += 2)
        for (int level = 0; level < 256; level += 51)
            for (int i = 0; i < OPS; i++) {
                vt_canvas c = canvas_of(19, 11, channels);
                c.filter = VT_FILTER_BICUBIC;
                memset(c.fill, level, sizeof c.fill);
                memset(c.pixels, level, bytes_of(&c));
                ops[i].apply(&c, ops[i].least + 0.37 * (ops[i].most - ops[i].least));
                for (size_t k = 1; k < bytes_of(&c); k++) CHECK_EQ(c.pixels[k], c.pixels[0]);
                if (i >= OPS - WARPS) CHECK_EQ(c.pixels[0], level);
                close_canvas(&c);
            }
}

int main(void)
{
    RUN(equals_pillow);
    RUN(keeps_to_its_memory);
    RUN(flat_stays_flat);
    TEST_END();
}
