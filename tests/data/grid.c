#include "data/grid.h"

#include <unistd.h>

#include "base/alloc.h"
#include "data/image.h"
#include "test.h"

static char path[] = "grid-XXXXXX";

static void colour(const vt_image *image, int x, int y, uint8_t rgb[3])
{
    memcpy(rgb, image->data + 3 * ((size_t)y * (size_t)image->width + (size_t)x), 3);
}

/* Four 2x3 images of one colour each: enlarged by a whole factor, side by side on white. */
TEST(images_are_enlarged_and_laid_out)
{
    uint8_t pixels[4][18], rgb[3];
    vt_cell cells[4];
    vt_image picture = {0};
    for (int i = 0; i < 4; i++) {
        memset(pixels[i], 40 * (i + 1), sizeof pixels[i]);
        cells[i] = (vt_cell){.pixels = pixels[i]};
    }
    CHECK_OK(vt_grid_write(path, cells, 4, 2, 3, 3));
    CHECK_OK(vt_image_read(&picture, path, 3));
    int area[4] = {0}, white = 0, all = picture.width * picture.height;
    for (int i = 0; i < all; i++) {
        colour(&picture, i % picture.width, i / picture.width, rgb);
        CHECK(rgb[0] == rgb[1] && rgb[1] == rgb[2]);
        if (rgb[0] == 255) white++;
        else area[rgb[0] / 40 - 1]++;
    }
    for (int i = 0; i < 4; i++) CHECK_EQ(area[i], 84 * 126); /* a factor of 42 */
    CHECK_EQ(white, all - 4 * 84 * 126);
    vt_image_free(&picture);
}

TEST(captions_have_their_colour)
{
    uint8_t grey[] = {100}, rgb[3];
    vt_cell cell = {.pixels = grey, .lines = {"cat", NULL}, .colours = {VT_INK_RED}};
    vt_image picture = {0};
    int red = 0, image = 0;
    CHECK_OK(vt_grid_write(path, &cell, 1, 1, 1, 1));
    CHECK_OK(vt_image_read(&picture, path, 3));
    for (int i = 0; i < picture.width * picture.height; i++) {
        colour(&picture, i % picture.width, i / picture.width, rgb);
        red += (uint32_t)(rgb[0] << 16 | rgb[1] << 8 | rgb[2]) == VT_INK_RED;
        image += rgb[0] == 100 && rgb[2] == 100;
    }
    CHECK(red > 4 * 20 && red % 4 == 0); /* letters of 2x2 pixels */
    CHECK_EQ(image, 84 * 84);
    vt_image_free(&picture);
}

TEST(nothing_to_draw)
{
    CHECK_FAILS(vt_grid_write("none.png", NULL, 0, 1, 1, 3), VT_INVALID, "none.png");
    CHECK(access("none.png", F_OK) != 0);
}

int main(void)
{
    if (mkstemp(path) < 0) SKIP("no temporary file can be made here");
    RUN(images_are_enlarged_and_laid_out);
    RUN(captions_have_their_colour);
    RUN(nothing_to_draw);
    unlink(path);
    TEST_END();
}
