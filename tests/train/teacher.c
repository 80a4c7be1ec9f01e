/* A teacher in the student's graph: what it says of the student's images, whose it is, and memory running out. */
#include "test.h"

#include <unistd.h>

#include "base/alloc.h"
#include "models/model.h"
#include "train/step.h"
#include "train/teacher.h"
#include "train/trainer.h"

enum { SIDE = 28, CLASSES = 10, BATCH = 4, PIXELS = SIDE * SIDE };

static char path[] = "/tmp/vitc-teacher-XXXXXX";

/* A teacher's file: deit_micro for grey images. Its logits of `images` by the evaluation graph. */
static void make_teacher(const uint8_t *images, float *logits)
{
    vt_model_config c;
    vt_model *m;
    CHECK_OK(vt_model_find(&c, "deit_micro"));
    c.classes = CLASSES;
    c.in_chans = 1;
    vt_model_normalisation(&c);
    CHECK_OK(vt_model_create(&m, &c, &(vt_model_options){.seed = 5, .threads = 2}));
    CHECK_OK(vt_model_save(m, path));
    CHECK_OK(vt_model_run(m, images, BATCH, logits));
    vt_model_destroy(m);
}

static vt_model_config student(void)
{
    vt_model_config c;
    CHECK_OK(vt_model_find(&c, "deit_micro"));
    c.classes = CLASSES;
    c.in_chans = 1;
    c.patch_size = 14;
    c.embed_dim = 16;
    c.depth = 2;
    c.heads = 2;
    c.drop = c.drop_path = 0.3f; /* the teacher has none of it */
    vt_model_normalisation(&c);
    c.mean[0] = 0.9f; /* and its own normalisation */
    c.std[0] = 3;
    return c;
}

static void make_images(uint8_t *images)
{
    for (int i = 0; i < BATCH * PIXELS; i++) images[i] = (uint8_t)(i * 131 % 251);
}

TEST(it_says_what_its_evaluation_says)
{
    static uint8_t images[BATCH * PIXELS];
    static const int32_t labels[BATCH] = {1, 2, 3, 4}, slots[BATCH] = {0, 1, 2, 3}, number = 0;
    float said[BATCH * CLASSES], expected[BATCH * CLASSES];
    vt_model *m;
    vt_stores stores;
    vt_step step;
    vt_exec *e;
    make_images(images);
    make_teacher(images, expected);
    vt_step_config c = {.model = student(), .micro_batch = BATCH, .micro_count = 1, .lanes = 1, .image_dtype = VT_U8,
                        .loss = {.bce_threshold = -1, .distill_alpha = 0.5, .distill_tau = 1}, .train = true,
                        .precision = {VT_F32, VT_F32}};
    CHECK_OK(vt_teacher_open(&c.loss.teacher, path, "deit_micro"));
    CHECK_OK(vt_model_create(&m, &c.model, &(vt_model_options){.threads = 2}));
    CHECK_OK(vt_stores_create(&stores, &m->params, &c));
    CHECK_OK(vt_teacher_load(c.loss.teacher, m->device));
    CHECK_OK(vt_store_bind(&stores.state, m->device));
    CHECK_OK(vt_step_build(&step, &c, &stores, VT_KEEP_LOGITS));
    CHECK_OK(vt_exec_create(&e, step.graph, &m->workspace));
    vt_exec_bind(e, "images", images);
    vt_exec_bind(e, "labels", labels);
    vt_exec_bind(e, "slots", slots);
    vt_exec_bind(e, "step", &number);
    CHECK_OK(vt_exec_run(e));
    vt_exec_read(e, step.teacher, said);
    CHECK(memcmp(said, expected, sizeof said) == 0);
    vt_exec_destroy(e);
    vt_step_free(&step);
    vt_stores_free(&stores, m->device);
    vt_teacher_close(c.loss.teacher);
    vt_model_destroy(m);
}

/* A trainer that learns from the teacher; *trainer NULL after a failure. */
static vt_status open_trainer(vt_trainer **trainer, vt_model *m, vt_teacher *teacher)
{
    static const float weights[CLASSES] = {1, 2, 1, 1, 0.5f, 1, 1, 1, 1, 1};
    vt_train_options o = vt_train_defaults();
    o.batch_size = BATCH;
    o.loss.teacher = teacher;
    o.loss.class_weights = weights;
    return vt_trainer_create(trainer, m, &o);
}

TEST(it_serves_one_trainer_at_a_time)
{
    static uint8_t images[BATCH * PIXELS];
    static const int32_t labels[BATCH] = {1, 2, 3, 4};
    vt_model_config c = student();
    vt_model *m;
    vt_teacher *teacher;
    vt_trainer *first, *second;
    float loss;
    make_images(images);
    CHECK_OK(vt_model_create(&m, &c, &(vt_model_options){.threads = 2}));
    CHECK_OK(vt_teacher_open(&teacher, path, "deit_micro"));
    CHECK_OK(open_trainer(&first, m, teacher));
    CHECK_FAILS(open_trainer(&second, m, teacher), VT_INVALID, "another trainer's");
    CHECK_OK(vt_trainer_step(first, images, labels, 1e-3f, &loss));
    vt_trainer_destroy(first);
    CHECK_OK(open_trainer(&second, m, teacher));
    CHECK_OK(vt_trainer_step(second, images, labels, 1e-3f, &loss));
    vt_trainer_destroy(second);
    vt_teacher_close(teacher);
    vt_model_destroy(m);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    vt_model_config c = student();
    vt_model *m;
    CHECK_OK(vt_model_create(&m, &c, &(vt_model_options){.threads = 1}));
    long before = vt_alloc_live(), n = 0;
    vt_status st;
    do {
        vt_teacher *teacher;
        vt_trainer *trainer = NULL;
        vt_alloc_fail_at(++n, 0);
        st = vt_teacher_open(&teacher, path, "deit_micro");
        if (st == VT_OK) st = open_trainer(&trainer, m, teacher);
        vt_alloc_fail_at(0, 0);
        CHECK_MSG(st == VT_OK || st == VT_NO_MEMORY, "allocation %ld: status %d, %s", n, (int)st, vt_error());
        vt_trainer_destroy(trainer);
        vt_teacher_close(teacher);
        vt_workspace_free(&m->workspace);
        CHECK_MSG(vt_alloc_live() == before, "allocation %ld: %ld blocks leak", n, vt_alloc_live() - before);
    } while (st != VT_OK && n < 10000);
    CHECK_MSG(n > 30, "%ld allocations", n);
    vt_model_destroy(m);
#endif
}

int main(void)
{
    int file = mkstemp(path);
    if (file < 0) SKIP("no temporary file can be made here");
    close(file);
    RUN(it_says_what_its_evaluation_says);
    RUN(it_serves_one_trainer_at_a_time);
    RUN(memory_running_out);
    unlink(path);
    TEST_END();
}
