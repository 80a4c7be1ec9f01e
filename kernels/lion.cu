/* lion.cu - one step of Lion over all parameters, and of their average and copies.
 *
 * Moves 20 bytes an element (p and m read and written, grad read), 8 for the average, 2 for the copy. */
#include "optimizer.cuh"

struct lion_rule {
    enum { MOMENTS = 1, READS_GRAD = 1 };
    float beta1, new1, beta2, new2;
    float clip, lr, shrink;

    VT_METHOD void begin(const vt_update &u, const update_chunk<MOMENTS> &c)
    {
        clip = (float)u.clip;
        lr = (float)c.lr;
        shrink = (float)(1 - c.lr * c.decay);
    }

    VT_METHOD void operator()(float &p, float g, float *m) const
    {
        g *= clip;
        float towards = beta1 * m[0] + new1 * g;
        p = p * shrink - (towards > 0 ? lr : towards < 0 ? -lr : 0);
        m[0] = beta2 * m[0] + new2 * g;
    }
};

static void lion(const vt_run *r)
{
    const vt_update_attrs *a = update_attrs(r);
    lion_rule rule = {(float)a->beta1, (float)(1 - a->beta1), (float)a->beta2, (float)(1 - a->beta2)};
    update_all(r, rule);
}

VT_CUDA_OP(lion) = {lion, update_scratch};
