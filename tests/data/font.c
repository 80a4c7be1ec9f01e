#include "data/font.h"

#include "test.h"

enum { W = 40, H = 16 };

static int inked(const uint8_t *rgb, int x, int y)
{
    const uint8_t *p = rgb + 3 * (y * W + x);
    return p[0] == 0x12 && p[1] == 0x34 && p[2] == 0x56;
}

static int count_ink(const uint8_t *rgb)
{
    int n = 0;
    for (int i = 0; i < W * H; i++) n += inked(rgb, i % W, i / W);
    return n;
}

TEST(columns_are_code_points)
{
    CHECK_EQ(vt_font_columns(""), 0);
    CHECK_EQ(vt_font_columns("Ankle boot"), 10);
    CHECK_EQ(vt_font_columns("\xC3\xA9t\xC3\xA9"), 3); /* été */
}

TEST(a_letter_is_drawn)
{
    static const char *const rows[] = {"#####", "..#..", "..#..", "..#..", "..#..", "..#..", "..#..", "....."};
    uint8_t rgb[3 * W * H] = {0};
    vt_canvas c = {rgb, W, H};
    vt_font_draw(&c, 3, 2, 1, "T", 1, 0x123456);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 5; x++) CHECK_EQ(inked(rgb, 3 + x, 2 + y), rows[y][x] == '#');
    CHECK_EQ(count_ink(rgb), 11);
}

TEST(scale_enlarges_each_pixel)
{
    uint8_t small[3 * W * H] = {0}, big[3 * W * H] = {0};
    vt_font_draw(&(vt_canvas){small, W, H}, 0, 0, 1, "g4", 2, 0x123456);
    vt_font_draw(&(vt_canvas){big, W, H}, 0, 0, 2, "g4", 2, 0x123456);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < 24; x++) CHECK_EQ(inked(big, x, y), inked(small, x / 2, y / 2));
}

/* "abcd" in three columns is "a..": the last two are full stops. */
TEST(a_long_text_is_cut)
{
    uint8_t cut[3 * W * H] = {0}, same[3 * W * H] = {0};
    vt_font_draw(&(vt_canvas){cut, W, H}, 0, 0, 1, "abcd", 3, 0x123456);
    vt_font_draw(&(vt_canvas){same, W, H}, 0, 0, 1, "a..", 3, 0x123456);
    CHECK(memcmp(cut, same, sizeof cut) == 0);
}

/* Under AddressSanitizer a pixel beyond the canvas would tell. */
TEST(the_canvas_clips)
{
    uint8_t *rgb = calloc(3 * W, H);
    vt_canvas c = {rgb, W, H};
    for (int y = -10; y <= H + 2; y++)
        for (int x = -20; x <= W + 2; x++) vt_font_draw(&c, x, y, 2, "\xE2\x82\xAC~@\n\x7F", 5, 0x123456);
    CHECK(count_ink(rgb) > 0);
    free(rgb);
}

/* No two printable characters look the same, and all but the space show. */
TEST(characters_differ)
{
    uint8_t seen[95][3 * 8 * 8];
    for (int i = 0; i < 95; i++) {
        char text[2] = {(char)(32 + i), 0};
        memset(seen[i], 0, sizeof seen[i]);
        vt_font_draw(&(vt_canvas){seen[i], 8, 8}, 0, 0, 1, text, 1, 0xFFFFFF);
        for (int k = 0; k < i; k++) CHECK_MSG(memcmp(seen[i], seen[k], sizeof seen[i]), "%c and %c", 32 + i, 32 + k);
    }
}

int main(void)
{
    RUN(columns_are_code_points);
    RUN(a_letter_is_drawn);
    RUN(scale_enlarges_each_pixel);
    RUN(a_long_text_is_cut);
    RUN(the_canvas_clips);
    RUN(characters_differ);
    TEST_END();
}
