#include "train/predict.h"

#include <unistd.h>

#include "base/alloc.h"
#include "test.h"

static char weights[] = "predict-XXXXXX", photo[] = "photo-XXXXXX", grid[] = "grid-XXXXXX",
            tensors[] = "tensors-XXXXXX";

typedef struct seen {
    int predictions, lines;
    float sum;
} seen;

static vt_status report(void *arg, const vt_prediction *p)
{
    seen *s = arg;
    s->predictions++;
    s->sum = 0;
    for (int k = 0; k < p->count; k++) s->sum += p->probability[k];
    return VT_OK;
}

static void say(void *arg, const char *line)
{
    ((seen *)arg)->lines++;
}

static void make_files(void)
{
    vt_model_config c;
    vt_model *model;
    uint8_t pixels[10 * 12 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 37);
    CHECK_OK(vt_model_find(&c, "deit_micro"));
    c.depth = 1;
    c.classes = 3;
    CHECK_OK(vt_model_create(&model, &c, NULL));
    CHECK_OK(vt_model_save(model, weights));
    CHECK_OK(vt_png_write(photo, pixels, 12, 10, 3));
    vt_model_destroy(model);
}

static vt_status predict(const char *const *files, int count, seen *s)
{
    vt_checkpoint c;
    vt_status st = vt_checkpoint_open(&c, weights, NULL);
    if (st) return st;
    vt_predict_job job = {.checkpoint = &c, .files = {files, count}, .tensors = tensors, .grid = grid, .report = report,
                          .say = say, .arg = s, .device = {.device = "cpu", .threads = 1}};
    job.transform = vt_transform_default(c.model.img_height, c.model.img_width, c.model.in_chans, false);
    st = vt_predict(&job);
    vt_checkpoint_close(&c);
    return st;
}

/* More than a batch, the last one partial; all of the classes add up to one. */
TEST(many_files)
{
    const char *files[37];
    seen s = {0};
    vt_safetensors f;
    for (int i = 0; i < 37; i++) files[i] = photo;
    CHECK_OK(predict(files, 37, &s));
    CHECK_EQ(s.predictions, 37);
    CHECK_NEAR(s.sum, 1, 1e-5);
    CHECK_OK(vt_safetensors_open(&f, tensors));
    const vt_safetensor *x = vt_safetensors_find(&f, "images");
    CHECK(x && x->ndim == 4 && x->shape[0] == 37 && x->shape[1] == 3 && x->shape[2] == 28);
    size_t each = x->bytes / 37;
    for (int i = 1; i < 37; i++) CHECK(memcmp(x->data, (const char *)x->data + (size_t)i * each, each) == 0);
    vt_safetensors_close(&f);
}

TEST(bad_files_are_told_and_left_out)
{
    const char *files[] = {photo, "no such file", photo, weights, photo};
    seen s = {0};
    CHECK_FAILS(predict(files, 5, &s), VT_INVALID, "no such file");
    CHECK(strstr(vt_error(), "1 more"));
    CHECK_EQ(s.predictions, 3);
    CHECK_EQ(s.lines, 2); /* the device, the second bad file */
    s = (seen){0};
    CHECK_FAILS(predict(files + 1, 1, &s), VT_INVALID, "no such file");
    CHECK_EQ(s.predictions, 0);
    CHECK_FAILS(predict(NULL, 0, &s), VT_INVALID, "no images");
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    const char *files[] = {photo, photo};
    long before = vt_alloc_live();
    for (int sticky = 0; sticky < 2; sticky++) {
        long n = 0;
        vt_status st;
        do {
            seen s = {0};
            vt_alloc_fail_at(++n, sticky);
            st = predict(files, 2, &s);
            vt_alloc_fail_at(0, 0);
            CHECK_MSG(st == VT_OK || st == VT_NO_MEMORY, "allocation %ld: status %d, %s", n, (int)st, vt_error());
            CHECK_MSG(vt_alloc_live() == before, "allocation %ld leaks", n);
        } while (st != VT_OK && n < 10000);
        CHECK(n > 15);
    }
#endif
}

int main(void)
{
    char *const names[] = {weights, photo, grid, tensors};
    for (int i = 0; i < 4; i++)
        if (mkstemp(names[i]) < 0) SKIP("no temporary file can be made here");
    make_files();
    RUN(many_files);
    RUN(bad_files_are_told_and_left_out);
    RUN(memory_running_out);
    for (int i = 0; i < 4; i++) unlink(names[i]);
    TEST_END();
}
