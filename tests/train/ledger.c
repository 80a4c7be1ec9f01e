#include "train/ledger.h"

#include "base/alloc.h"
#include "test.h"

static vt_model_config tiny(void)
{
    vt_model_config c;
    CHECK_OK(vt_model_find(&c, "deit_micro"));
    c.depth = 2;
    c.classes = 5;
    return c;
}

static vt_device *open_device(void)
{
    vt_device *d = NULL;
    CHECK_OK(vt_device_open(&d, &(vt_device_options){.name = "cpu", .cpu = "auto", .threads = 2}));
    return d;
}

/* Every byte that the trainer really takes is one that the ledger told. */
TEST(slabs_to_the_byte)
{
    vt_model_config c = tiny();
    for (int k = 0; k < 8; k++) {
        vt_train_options o = vt_train_defaults();
        o.batch_size = 3;
        o.micro_batches = k & 4 ? 4 : 1;
        o.ema = k & 1;
        o.recompute = k & 2;
        vt_model *model;
        vt_trainer *trainer;
        vt_ledger l;
        CHECK_OK(vt_model_create(&model, &c, NULL));
        CHECK_OK(vt_trainer_create(&trainer, model, &o));
        CHECK_OK(vt_ledger_read(&l, &c, &o, model->device, NULL));
        CHECK_EQ(l.parameters, vt_model_parameters(model));
        CHECK_EQ(l.workspace, model->workspace.bytes);
        CHECK_EQ(l.bytes[VT_BYTES_SCRATCH], model->workspace.scratch_bytes);
        CHECK_EQ(l.bytes[VT_BYTES_PARAMETERS], vt_store_bytes(&model->params));
        CHECK_EQ(l.bytes[VT_BYTES_COPIES], 0);
        CHECK_EQ(l.bytes[VT_BYTES_EMA], o.ema ? vt_store_bytes(&trainer->stores.ema) : 0);
        CHECK_EQ(l.bytes[VT_BYTES_OPTIMIZER], 2 * vt_store_bytes(&trainer->stores.moment[0]));
        CHECK_EQ(l.bytes[VT_BYTES_ACTIVATIONS] + l.bytes[VT_BYTES_GRADIENTS] + l.bytes[VT_BYTES_GAPS], l.workspace);
        CHECK(l.bytes[VT_BYTES_GAPS] < l.workspace / 20);
        CHECK((l.flops_recomputed > 0) == o.recompute);
        CHECK_EQ(l.images, 3 * o.micro_batches);
        vt_trainer_destroy(trainer);
        vt_model_destroy(model);
    }
}

/* A step of many micro-batches is planned as a short one; the real graph agrees. */
TEST(repeated_micro_batches_take_no_more)
{
    vt_model_config c = tiny();
    vt_model *model;
    CHECK_OK(vt_model_create(&model, &c, NULL));
    static const int cases[][2] = {{1, 150}, {2, 150}, {4, 132}, {8, 136}, {2, 4}, {8, 6}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        vt_train_options o = vt_train_defaults();
        vt_trainer *trainer;
        vt_ledger l;
        double flops, recomputed;
        o.batch_size = 2;
        o.lanes = cases[k][0];
        o.micro_batches = cases[k][1];
        CHECK_OK(vt_trainer_create(&trainer, model, &o));
        CHECK_OK(vt_ledger_read(&l, &c, &o, model->device, NULL));
        CHECK_EQ(l.workspace, trainer->step.graph->workspace_bytes);
        CHECK_OK(vt_graph_flops(trainer->step.graph, &flops, &recomputed));
        CHECK_NEAR(l.flops_step, flops, 1e-12 * flops);
        vt_trainer_destroy(trainer);
    }
    vt_model_destroy(model);
}

TEST(the_loader_ring_is_counted)
{
    vt_model_config c = tiny();
    vt_device *d = open_device();
    vt_train_options o = vt_train_defaults();
    vt_ledger l;
    vt_loader_options ring = {.prefetch = 3, .micro_end = 2, .sampler = {.micro_batch = 5}};
    ring.transform = vt_transform_default(28, 28, 3, true);
    CHECK_OK(vt_ledger_read(&l, &c, &o, d, &ring));
    CHECK_EQ(l.bytes[VT_BYTES_LOADER], 5 * ((5 * 28 * 28 * 3 + 63) / 64 * 64));
    size_t sum = 0;
    for (int i = 0; i < VT_BYTES_CLASSES; i++) sum += l.bytes[i];
    CHECK_EQ(l.peak, sum);
    vt_device_close(d);
}

TEST(what_fits)
{
    vt_model_config c = tiny();
    vt_device *d = open_device();
    vt_fit f = {.batch_size = 48, .accumulation = 1, .options = vt_train_defaults()};
    CHECK_OK(vt_ledger_fit(&f, SIZE_MAX, &c, d, NULL));
    CHECK(f.options.batch_size == 48 && f.options.micro_batches == 1 && !f.options.recompute);
    size_t whole = f.ledger.peak;
    CHECK_OK(vt_ledger_fit(&f, whole - 1, &c, d, NULL));
    CHECK(f.options.batch_size == 24 && f.options.micro_batches == 2 && !f.options.recompute);
    CHECK(f.ledger.peak < whole);
    f.batch_size = 7; /* a prime below the small ones: recomputation before single images */
    CHECK_OK(vt_ledger_fit(&f, SIZE_MAX, &c, d, NULL));
    whole = f.ledger.peak;
    CHECK_OK(vt_ledger_fit(&f, whole - 1, &c, d, NULL));
    CHECK(f.options.batch_size == 7 && f.options.recompute);
    CHECK_FAILS(vt_ledger_fit(&f, 1000, &c, d, NULL), VT_FAILED, "nothing fits");
    vt_device_close(d);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    vt_model_config c = tiny();
    vt_device *d = open_device();
    vt_train_options o = vt_train_defaults();
    long before = vt_alloc_live();
    for (int sticky = 0; sticky < 2; sticky++) {
        long n = 0;
        vt_status st;
        do {
            vt_ledger l;
            vt_alloc_fail_at(++n, sticky);
            st = vt_ledger_read(&l, &c, &o, d, NULL);
            vt_alloc_fail_at(0, 0);
            CHECK_MSG(st == VT_OK || st == VT_NO_MEMORY, "allocation %ld: status %d, %s", n, (int)st, vt_error());
            CHECK_MSG(vt_alloc_live() == before, "allocation %ld leaks", n);
        } while (st != VT_OK && n < 10000);
        CHECK(n > 15);
    }
    vt_device_close(d);
#endif
}

int main(void)
{
    RUN(slabs_to_the_byte);
    RUN(repeated_micro_batches_take_no_more);
    RUN(the_loader_ring_is_counted);
    RUN(what_fits);
    RUN(memory_running_out);
    TEST_END();
}
