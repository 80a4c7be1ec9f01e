/* sgd.cu - one step of SGD with momentum over all parameters, and of their average and copies.
 *
 * Moves 20 bytes an element (p and the buffer read and written, grad read), 8 for the average, 2 for the copy. */
#include "optimizer.cuh"

struct sgd_rule {
    enum { MOMENTS = 1, READS_GRAD = 1 };
    float momentum, of_grad, of_buffer;
    float clip, lr, decay;

    VT_METHOD void begin(const vt_update &u, const update_chunk<MOMENTS> &c)
    {
        clip = (float)u.clip;
        lr = (float)c.lr;
        decay = (float)c.decay;
    }

    VT_METHOD void operator()(float &p, float g, float *m) const
    {
        g = g * clip + decay * p;
        m[0] = momentum * m[0] + g;
        p -= lr * (of_grad * g + of_buffer * m[0]);
    }
};

static void sgd(const vt_run *r)
{
    const vt_update_attrs *a = update_attrs(r);
    float momentum = (float)a->momentum;
    sgd_rule rule = {momentum, a->nesterov ? 1.0f : 0.0f, a->nesterov ? momentum : 1.0f};
    update_all(r, rule);
}

VT_CUDA_OP(sgd) = {sgd, update_scratch};
