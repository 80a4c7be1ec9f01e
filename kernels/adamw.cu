/* adamw.cu - one step of AdamW over all parameters, and of their average and copies.
 *
 * Moves 28 bytes an element (p, m, v read and written, grad read), 8 for the average, 2 for the copy. */
#include "optimizer.cuh"

struct adamw_rule {
    enum { MOMENTS = 2, READS_GRAD = 1 };
    float beta1, new1, beta2, new2, eps;
    float clip, step, inv_root, shrink;

    VT_METHOD void begin(const vt_update &u, const update_chunk<MOMENTS> &c)
    {
        clip = (float)u.clip;
        step = (float)(c.lr / u.correction1);
        inv_root = (float)u.inv_root2;
        shrink = (float)(1 - c.lr * c.decay);
    }

    VT_METHOD void operator()(float &p, float g, float *m) const
    {
        g *= clip;
        m[0] = beta1 * m[0] + new1 * g;
        m[1] = beta2 * m[1] + new2 * g * g;
        p = p * shrink - step * m[0] / (sqrtf(m[1]) * inv_root + eps);
    }
};

static void adamw(const vt_run *r)
{
    const vt_update_attrs *a = update_attrs(r);
    adamw_rule rule = {(float)a->beta1, (float)(1 - a->beta1), (float)a->beta2, (float)(1 - a->beta2), (float)a->eps};
    update_all(r, rule);
}

VT_CUDA_OP(adamw) = {adamw, update_scratch};
