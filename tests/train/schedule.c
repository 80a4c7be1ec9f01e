#define _XOPEN_SOURCE 700 /* M_PI */
#include "train/schedule.h"

#include "test.h"

static const vt_schedule deit = {
    .lr = 1e-3, .warmup_lr = 1e-6, .min_lr = 1e-5, .total = 3000, .warmup = 50, .per_epoch = 10};

TEST(warm_up_then_cosine)
{
    CHECK_NEAR(vt_schedule_lr(&deit, 0), 1e-6, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&deit, 25), 0.5005e-3, 1e-12);
    /* Not shifted by the warm-up: step 50 is 50 / 3000 of the way. */
    CHECK_NEAR(vt_schedule_lr(&deit, 50), 1e-5 + 0.5 * 0.99e-3 * (1 + cos(M_PI / 60)), 1e-12);
    CHECK_NEAR(vt_schedule_lr(&deit, 1500), 0.505e-3, 1e-12);
    CHECK_NEAR(vt_schedule_lr(&deit, 2999), 1e-5, 1e-9);
}

/* DeiT sets the rate after each epoch: epochs 0 and 1 share the first, epoch e has that of e - 1. */
TEST(per_epoch)
{
    vt_schedule s = deit;
    s.per_epoch_updates = true;
    s.lag = 1;
    CHECK_NEAR(vt_schedule_lr(&s, 9), 1e-6, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 19), 1e-6, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 20), vt_schedule_lr(&deit, 10), 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 1519), vt_schedule_lr(&deit, 1500), 1e-15);
    s.lag = 0; /* timm: epoch e has its own */
    CHECK_NEAR(vt_schedule_lr(&s, 9), 1e-6, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 19), vt_schedule_lr(&deit, 10), 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 1519), vt_schedule_lr(&deit, 1510), 1e-15);
}

TEST(constant)
{
    vt_schedule s = deit;
    s.kind = VT_SCHED_CONSTANT;
    CHECK_NEAR(vt_schedule_lr(&s, 25), 0.5005e-3, 1e-12);
    CHECK_NEAR(vt_schedule_lr(&s, 2000), 1e-3, 1e-15);
}

/* Not shifted by the warm-up: at its end the line is already W / T of the way down. */
TEST(linear)
{
    vt_schedule s = deit;
    s.kind = VT_SCHED_LINEAR;
    CHECK_NEAR(vt_schedule_lr(&s, 25), 0.5005e-3, 1e-12);
    CHECK_NEAR(vt_schedule_lr(&s, 50), 1e-5 + 0.99e-3 * (1 - 50 / 3000.0), 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 1500), 0.505e-3, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 2999), 1e-5 + 0.99e-3 / 3000, 1e-15);
}

/* Falls at whole multiples from step 0 on, below min_lr too. */
TEST(step)
{
    vt_schedule s = deit;
    s.kind = VT_SCHED_STEP;
    s.decay_every = 300;
    s.decay_rate = 0.1;
    CHECK_NEAR(vt_schedule_lr(&s, 49), 1e-6 + 0.999e-3 * 49 / 50, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 50), 1e-3, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 299), 1e-3, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 300), 1e-4, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 2999), 1e-12, 1e-18);
    s.per_epoch_updates = true;
    s.lag = 1; /* the epoch before: 30 epochs are over in epoch 31 */
    CHECK_NEAR(vt_schedule_lr(&s, 309), 1e-3, 1e-15);
    CHECK_NEAR(vt_schedule_lr(&s, 310), 1e-4, 1e-15);
}

TEST(average)
{
    CHECK_NEAR(vt_ema_decay(0.9, false, 0), 0.9, 0);
    CHECK_NEAR(vt_ema_decay(0.9, true, 0), 0, 0);
    CHECK_NEAR(vt_ema_decay(0.9, true, 7), 0.75, 1e-15); /* 8^(-2/3) is a quarter */
    CHECK_NEAR(vt_ema_decay(0.9, true, 26), 1 - 1 / 9.0, 1e-15);
    CHECK_NEAR(vt_ema_decay(0.9, true, 63), 0.9, 0);
    CHECK_NEAR(vt_ema_half_life(sqrt(0.5)), 2, 1e-12);
    CHECK(vt_ema_half_life(0) == 0 && vt_ema_half_life(1) == INFINITY);
    CHECK_NEAR(vt_ema_initial_share(0.9, false, 3), 0.729, 1e-15);
    CHECK_NEAR(vt_ema_initial_share(0.9, false, 0), 1, 0);
    CHECK_NEAR(vt_ema_initial_share(0.9, true, 1), 0, 0);
}

int main(void)
{
    RUN(warm_up_then_cosine);
    RUN(per_epoch);
    RUN(constant);
    RUN(linear);
    RUN(step);
    RUN(average);
    TEST_END();
}
