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

/* Erased with the same noise, mixed with the same partners: with the student's patches and normalisation as its own,
 * the same patches to the bit. */
TEST(it_sees_what_the_student_sees)
{
    static uint8_t images[BATCH * PIXELS];
    static const int32_t labels[BATCH] = {1, 2, 3, 4}, slots[BATCH] = {5, 6, 7, 8}, number = 3;
    static const int32_t boxes[BATCH * 4] = {2, 3, 20, 11, 0, 0, 0, 0, 5, 5, 9, 20, 0, 0, 28, 28};
    static const int32_t where[BATCH * 5] = {3, 0, 0, 14, 28, 2, 0, 0, 0, 0, 1, 3, 3, 9, 9, 0, 0, 0, 0, 0};
    static const float weights[BATCH * 3] = {0, 1, 0.5f, 0.3f, 0.3f, 0.3f, 0, 1, 0.8f, 1, 1, 1};
    float unmixed[BATCH * CLASSES];
    vt_model *m;
    vt_stores stores;
    vt_step step;
    vt_exec *e;
    const vt_tensor *seen[2] = {NULL, NULL};
    make_images(images);
    make_teacher(images, unmixed);
    vt_step_config c = {.model = student(), .micro_batch = BATCH, .micro_count = 1, .lanes = 1, .image_dtype = VT_U8,
                        .loss = {.bce_threshold = -1, .distill_alpha = 0.5, .distill_tau = 1}, .train = true,
                        .erase_boxes = 1, .erase = VT_ERASE_PIXEL, .mixing = true, .precision = {VT_F32, VT_F32}};
    CHECK_OK(vt_model_find(&c.model, "deit_micro"));
    c.model.classes = CLASSES;
    c.model.in_chans = 1;
    vt_model_normalisation(&c.model);
    CHECK_OK(vt_teacher_open(&c.loss.teacher, path, "deit_micro"));
    CHECK_OK(vt_model_create(&m, &c.model, &(vt_model_options){.threads = 2}));
    CHECK_OK(vt_stores_create(&stores, &m->params, &c));
    CHECK_OK(vt_teacher_load(c.loss.teacher, m->device));
    CHECK_OK(vt_store_bind(&stores.state, m->device));
    CHECK_OK(vt_step_build(&step, &c, &stores, VT_KEEP_LOGITS));
    for (int i = 0, n = 0; i < step.graph->n_nodes && n < 2; i++) {
        if (step.graph->nodes[i]->op != &vt_op_patchify) continue;
        step.graph->nodes[i]->out[0]->keep = true;
        seen[n++] = step.graph->nodes[i]->out[0];
    }
    CHECK(seen[0] && seen[1]);
    CHECK_OK(vt_graph_plan(step.graph));
    CHECK_OK(vt_exec_create(&e, step.graph, &m->workspace));
    const struct { const char *name; const void *data; } inputs[] = {
        {"images", images}, {"labels", labels}, {"slots", slots}, {"step", &number}, {"boxes", boxes}, {"where", where},
        {"weights", weights}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) vt_exec_bind(e, inputs[i].name, inputs[i].data);
    CHECK_OK(vt_exec_run(e));
    float first[BATCH * PIXELS], second[BATCH * PIXELS], said[BATCH * CLASSES];
    vt_exec_read(e, seen[0], first);
    vt_exec_read(e, seen[1], second);
    vt_exec_read(e, step.teacher, said);
    CHECK(memcmp(first, second, sizeof first) == 0);
    CHECK(memcmp(said, unmixed, sizeof said) != 0);
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
    RUN(it_sees_what_the_student_sees);
    RUN(it_serves_one_trainer_at_a_time);
    RUN(memory_running_out);
    unlink(path);
    TEST_END();
}
