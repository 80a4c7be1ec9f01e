/* AugMix's pixels: augmix.txt has the CRC-32 of what timm makes with given draws. */
#include "data/augment_table.h"
#include "data/pixels.h"

enum { GUARD = 64 };

static vt_augment policy(bool blended)
{
    vt_augment a = {0};
    CHECK_OK(vt_augment_parse(&a, blended ? "augmix-b1" : "augmix"));
    return a;
}

static const vt_augment_op *find_op(const char *name)
{
    for (int i = 0; i <= BLUR; i++)
        if (strcmp(vt_augment_ops[i].name, name) == 0) return &vt_augment_ops[i];
    CHECK_MSG(0, "augmix.txt has %s", name);
    return NULL;
}

static const char *word(char **line)
{
    const char *begin = *line;
    *line += strcspn(begin, " \n");
    if (**line) *(*line)++ = 0;
    return begin;
}

static double number(char **line)
{
    return strtod(word(line), NULL);
}

/* "blended share chains", for each chain "weight ops" and for each op "op argument". */
static vt_augment_drawn read_draws(char **line)
{
    vt_augment_drawn d = {0};
    d.blended = number(line) > 0;
    d.share = (float)number(line);
    d.chains = (int)number(line);
    CHECK(d.chains >= 1 && d.chains <= VT_AUGMENT_CHAINS);
    for (int k = 0; k < d.chains; k++) {
        d.weight[k] = (float)number(line);
        for (int n = (int)number(line); n; n--) {
            const vt_augment_op *op = find_op(word(line));
            d.steps[d.count++] = (vt_augment_step){op, number(line), VT_FILTER_BICUBIC};
        }
        d.ends[k] = d.count;
    }
    return d;
}

TEST(equals_timm)
{
    char line[1000], name[80];
    int channels = 0, x, y, width, height, lines[2] = {0};
    uint8_t *photo = NULL, *pixels = NULL;
    size_t n = 0;
    FILE *list = open_list("augmix.txt");
    vt_canvas c = {0};
    while (fgets(line, sizeof line, list)) {
        char *at = line;
        if (*line >= 'a') { /* not draws: a part */
            CHECK(sscanf(line, "%79s %d %d %d %d %d", name, &channels, &x, &y, &width, &height) == 6);
            free(photo);
            free(pixels);
            n = (size_t)width * (size_t)height * (size_t)channels;
            photo = image_part(name, channels, x, y, width, height);
            pixels = malloc(n);
            c = (vt_canvas){.pixels = pixels, .height = height, .width = width, .channels = channels};
            continue;
        }
        vt_augment_drawn d = read_draws(&at);
        vt_augment a = policy(d.blended);
        size_t work = vt_augment_work(&a, height, width, channels);
        c.work = vt_alloc_raw(work + GUARD);
        memset(c.work, 0xA5, work + GUARD);
        memcpy(pixels, photo, n);
        vt_augment_apply(&d, c);
        unsigned crc = (unsigned)strtoul(word(&at), NULL, 16);
        CHECK_MSG(pixels_crc(pixels, n) == crc, "%d x %d x %d, line %d: %d chains, %s", width, height, channels,
                  lines[0] + lines[1], d.chains, d.blended ? "blended" : "summed");
        for (int i = 0; i < GUARD; i++) CHECK_EQ(c.work[work + (size_t)i], 0xA5);
        lines[d.blended]++;
        vt_free(c.work);
    }
    CHECK(lines[0] >= 30 && lines[1] >= 30);
    fclose(list);
    free(photo);
    free(pixels);
}

/* Where a rounding lets the shares of later chains reach 1, nothing is left for the first to be divided by. */
TEST(blends_shares_of_one)
{
    for (int blended = 0; blended < 2; blended++)
        for (int i = 0; i < 4; i++) {
            vt_augment a = policy(blended);
            uint8_t pixels[12] = {0, 10, 100, 255, 3, 7, 77, 200, 128, 127, 31, 250}, was[12];
            vt_canvas c = {.pixels = pixels, .height = 2, .width = 2, .channels = 3,
                           .work = vt_alloc_raw(vt_augment_work(&a, 2, 2, 3))};
            float above = i & 1 ? 1.0000001f : 1, below = i & 2 ? 1e-6f : 0;
            vt_augment_drawn d = {.count = 1, .chains = 3, .ends = {1, 1, 1}, .blended = blended, .share = 1,
                                  .weight = {below, 0, above},
                                  .steps = {{&vt_augment_ops[INVERT], 0, VT_FILTER_BICUBIC}}};
            memcpy(was, pixels, sizeof was);
            vt_augment_apply(&d, c);
            for (int k = 0; k < 12; k++) CHECK_EQ(pixels[k], was[k]);
            vt_free(c.work);
        }
}

int main(void)
{
    RUN(equals_timm);
    RUN(blends_shares_of_one);
    TEST_END();
}
