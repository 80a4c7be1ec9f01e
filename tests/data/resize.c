#include "data/resize.h"

#include "data/pixels.h"

static vt_resize job_of(const vt_image *image, vt_filter filter, int width, int height)
{
    return (vt_resize){.src = image->data,
                       .src_stride = (size_t)image->width * (size_t)image->channels,
                       .src_width = image->width,
                       .src_height = image->height,
                       .channels = image->channels,
                       .x1 = (float)image->width,
                       .y1 = (float)image->height,
                       .width = width,
                       .height = height,
                       .win_width = width,
                       .win_height = height,
                       .filter = filter};
}

/* resizes.txt, by the plain loops and by this machine's: the same bits as PIL's. */
TEST(equals_pil)
{
    vt_image image = {0};
    vt_resizer resizer = {0};
    char name[80], path[512];
    int channels, filter, width, height, lines = 0;
    float x0, y0, x1, y1;
    unsigned crc;
    FILE *list = open_list("resizes.txt");
    while (fscanf(list, "%79s %d %d %d %d %f %f %f %f %x", name, &channels, &filter, &width, &height, &x0, &y0, &x1,
                  &y1, &crc) == 10) {
        CHECK_OK(vt_image_read(&image, image_path(path, name), channels));
        vt_resize job = job_of(&image, (vt_filter)filter, width, height);
        job.x0 = x0, job.x1 = x1, job.y0 = y0, job.y1 = y1;
        size_t bytes = (size_t)width * (size_t)height * (size_t)channels;
        uint8_t *out = malloc(bytes); /* AddressSanitizer watches its ends */
        for (int plain = 0; plain < 2; plain++) {
            resizer.plain = plain;
            memset(out, 0xA5, bytes);
            CHECK_OK(vt_resizer_run(&resizer, &job, out));
            CHECK_MSG(pixels_crc(out, bytes) == crc,
                      "%s: %d channels, filter %d, to %d x %d from %g,%g - %g,%g, plain %d", name, channels, filter,
                      width, height, x0, y0, x1, y1, plain);
        }
        free(out);
        lines++;
    }
    CHECK_EQ(lines, 120);
    fclose(list);
    vt_resizer_free(&resizer);
    vt_image_free(&image);
}

/* A window, mirrored or not, is that part of the whole result. */
TEST(makes_windows)
{
    enum { W = 57, H = 43, X = 5, Y = 11, WIN_W = 31, WIN_H = 20 };
    static uint8_t whole[H][W][3], part[WIN_H][WIN_W][3];
    vt_image image = {0};
    vt_resizer resizer = {0};
    char path[512];
    CHECK_OK(vt_image_read(&image, image_path(path, "made/444.jpg"), 3));
    for (vt_filter f = VT_FILTER_NEAREST; f <= VT_FILTER_BICUBIC; f++) {
        vt_resize job = job_of(&image, f, W, H);
        CHECK_OK(vt_resizer_run(&resizer, &job, whole[0][0]));
        for (int flips = 0; flips < 4; flips++) {
            job.win_x = X, job.win_y = Y, job.win_width = WIN_W, job.win_height = WIN_H;
            job.hflip = flips & 1, job.vflip = flips & 2;
            CHECK_OK(vt_resizer_run(&resizer, &job, part[0][0]));
            int wrong = 0;
            for (int y = 0; y < WIN_H; y++)
                for (int x = 0; x < WIN_W; x++) {
                    int v = Y + (job.vflip ? WIN_H - 1 - y : y), u = X + (job.hflip ? WIN_W - 1 - x : x);
                    wrong += memcmp(part[y][x], whole[v][u], 3) != 0;
                }
            CHECK_MSG(wrong == 0, "filter %d, flips %d: %d pixels", f, flips, wrong);
        }
    }
    vt_resizer_free(&resizer);
    vt_image_free(&image);
}

/* A source that ends with its memory: no byte behind it is read. The same bits by both bodies, over many shapes. */
TEST(bodies_agree)
{
    vt_resizer resizer = {0};
    uint32_t state = 7;
    for (int i = 0; i < 400; i++) {
        int v[5];
        for (int k = 0; k < 5; k++) {
            state = state * 1664525u + 1013904223u;
            v[k] = 1 + (int)((state >> 16) % (k < 2 ? 40 : 70));
        }
        int channels = v[4] % 2 ? 3 : 1;
        size_t size = (size_t)v[0] * (size_t)v[1] * (size_t)channels,
               out_size = (size_t)v[2] * (size_t)v[3] * (size_t)channels;
        vt_image image = {.data = malloc(size), .width = v[0], .height = v[1], .channels = channels};
        for (size_t k = 0; k < size; k++) image.data[k] = (uint8_t)((k * 2654435761u) >> (v[4] % 24));
        uint8_t *out[2] = {malloc(out_size), malloc(out_size)};
        vt_resize job = job_of(&image, (vt_filter)(i % 3), v[2], v[3]);
        for (int plain = 0; plain < 2; plain++) {
            resizer.plain = plain;
            CHECK_OK(vt_resizer_run(&resizer, &job, out[plain]));
        }
        CHECK_MSG(memcmp(out[0], out[1], out_size) == 0, "%d x %d x %d to %d x %d, filter %d", v[0], v[1], channels,
                  v[2], v[3], i % 3);
        free(out[0]);
        free(out[1]);
        free(image.data);
    }
    vt_resizer_free(&resizer);
}

TEST(keeps_its_memory)
{
#ifdef VT_TEST_ALLOC
    uint8_t pixels[12 * 12 * 3] = {0}, out[8 * 8 * 3];
    vt_image image = {.data = pixels, .width = 12, .height = 12, .channels = 3};
    vt_resize job = job_of(&image, VT_FILTER_BICUBIC, 8, 8);
    vt_resizer resizer = {0};
    vt_alloc_fail_at(1, 0);
    CHECK_FAILS(vt_resizer_run(&resizer, &job, out), VT_NO_MEMORY, "resizing");
    vt_alloc_fail_at(0, 0);
    CHECK_OK(vt_resizer_run(&resizer, &job, out));
    vt_alloc_fail_at(1, 1);
    for (int i = 0; i < 3; i++) CHECK_OK(vt_resizer_run(&resizer, &job, out));
    vt_alloc_fail_at(0, 0);
    vt_resizer_free(&resizer);
    CHECK_EQ(vt_alloc_live(), 0);
#endif
}

int main(void)
{
    RUN(equals_pil);
    RUN(makes_windows);
    RUN(bodies_agree);
    RUN(keeps_its_memory);
    TEST_END();
}
