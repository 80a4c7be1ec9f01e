/* attention: softmax(scale * q k^T + bias) v for each head on packed qkv, and the gradient, which computes the
 * probabilities again from the log-sum-exp. Scores are never stored, so the bodies want no scratch. */
#include "ops/draw.h"

/* One head of one sample. Row i of q, k and v begins at q + i * stride, and so on. */
typedef struct head {
    const vt_attention_attrs *a;
    const vt_real *q, *k, *v, *bias; /* bias [N, N] or NULL */
    const int32_t *step;
    int64_t n, d, stride, index;     /* stride 3*H*D; index: of the head, for its draws */
    int32_t slot;
} head;

/* qkv, bias, random: which inputs of the node these are (random: step, then slots); the gradient has them elsewhere. */
static head head_of(const vt_run *r, int qkv, int bias, int random, int64_t b, int64_t h)
{
    const vt_attention_attrs *a = r->node->attrs;
    const vt_tensor *t = r->node->in[qkv], *bt = r->node->in[bias];
    int64_t n = t->shape[1], stride = t->shape[2], width = stride / 3, d = width / a->heads;
    const vt_real *q = (const vt_real *)r->in[qkv] + b * n * stride + h * d;
    const vt_real *bias_data = r->in[bias];
    if (bt && bt->shape[0] > 1) bias_data += h * n * n;
    const int32_t *slots = r->in[random + 1];
    return (head){a, q, q + width, q + 2 * width, bias_data, r->in[random], n, d, stride, h, slots ? slots[b] : 0};
}

static vt_real dot(const vt_real *a, const vt_real *b, int64_t n)
{
    vt_real sum = 0;
    for (int64_t k = 0; k < n; k++) sum += a[k] * b[k];
    return sum;
}

static vt_real score(const head *h, int64_t i, int64_t j)
{
    vt_real s = (vt_real)h->a->scale * dot(h->q + i * h->stride, h->k + j * h->stride, h->d);
    return h->bias ? s + h->bias[i * h->n + j] : s;
}

/* What dropout multiplies probability (i, j) by. */
static vt_real keep_factor(const head *h, int64_t i, int64_t j)
{
    float rate = h->a->dropout;
    if (rate == 0) return 1;
    bool kept = vt_is_kept(h->a->key, h->step, h->slot, (h->index * h->n + i) * h->n + j, rate);
    return kept ? 1 / (1 - (vt_real)rate) : 0;
}

/* Of row i's scores, in one pass; a score of -inf is a masked one. */
static vt_real row_lse(const head *h, int64_t i)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < h->n; j++) {
        double s = score(h, i, j);
        if (s > most) {
            sum = sum * exp(most - s) + 1;
            most = s;
        } else if (s != -INFINITY) {
            sum += exp(s - most);
        }
    }
    return (vt_real)(most + log(sum));
}

/* in: qkv [B, N, 3*H*D], bias [1 or H, N, N]?, step?, slots [B]?; out: out [B, N, H*D], lse [B, H, N] */
VT_BODY(attention)
{
    const vt_attention_attrs *a = r->node->attrs;
    const vt_tensor *qkv = r->node->in[0];
    int64_t n = qkv->shape[1], width = qkv->shape[2] / 3;
    vt_real *out = r->out[0], *lse = r->out[1];
    for (int64_t bh = 0; bh < qkv->shape[0] * a->heads; bh++) {
        int64_t b = bh / a->heads, at = bh % a->heads;
        head h = head_of(r, 0, 1, 2, b, at);
        for (int64_t i = 0; i < n; i++) {
            vt_real *o = out + (b * n + i) * width + at * h.d, l = row_lse(&h, i);
            for (int64_t k = 0; k < h.d; k++) o[k] = 0;
            for (int64_t j = 0; j < n; j++) {
                vt_real p = (vt_real)exp(score(&h, i, j) - l) * keep_factor(&h, i, j);
                for (int64_t k = 0; k < h.d; k++) o[k] += p * h.v[j * h.stride + k];
            }
            lse[bh * n + i] = l;
        }
    }
}

/* Row i of one head: with p the probabilities, f the dropout's factors, dp_j = f_j * (dout . v_j) and
 * ds_j = p_j * (dp_j - dout . out), adds to dq_i, dk, dv and dbias's row i. dq, dk, dv are strided as q is. */
static void row_grad(const head *h, int64_t i, const vt_real *dout, const vt_real *out, vt_real lse, vt_real *dq,
                     vt_real *dbias)
{
    const vt_real *q = h->q + i * h->stride;
    vt_real delta = dot(dout, out, h->d), *dk = dq + (h->k - h->q), *dv = dq + (h->v - h->q);
    for (int64_t j = 0; j < h->n; j++) {
        const vt_real *k = h->k + j * h->stride, *v = h->v + j * h->stride;
        vt_real p = (vt_real)exp(score(h, i, j) - lse), f = keep_factor(h, i, j);
        vt_real ds = p * (f * dot(dout, v, h->d) - delta), scaled = (vt_real)h->a->scale * ds;
        for (int64_t e = 0; e < h->d; e++) {
            dq[i * h->stride + e] += scaled * k[e];
            dk[j * h->stride + e] += scaled * q[e];
            dv[j * h->stride + e] += p * f * dout[e];
        }
        if (dbias) dbias[i * h->n + j] += ds;
    }
}

/* in: dout [B, N, H*D], qkv, out, lse, bias?, step?, slots?; out: dqkv [B, N, 3*H*D], dbias [1 or H, N, N]? */
VT_BODY(attention_grad)
{
    const vt_attention_attrs *a = r->node->attrs;
    const vt_tensor *qkv = r->node->in[1], *bias = r->node->out[1];
    int64_t n = qkv->shape[1], width = qkv->shape[2] / 3, per_bias = bias && bias->shape[0] > 1 ? n * n : 0;
    const vt_real *dout = r->in[0], *out = r->in[2], *lse = r->in[3];
    vt_real *dqkv = r->out[0], *dbias = r->out[1];
    memset(dqkv, 0, vt_tensor_bytes(qkv));
    if (dbias) memset(dbias, 0, vt_tensor_bytes(bias));
    for (int64_t bh = 0; bh < qkv->shape[0] * a->heads; bh++) {
        int64_t b = bh / a->heads, at = bh % a->heads;
        head h = head_of(r, 1, 4, 5, b, at);
        vt_real *dq = dqkv + (h.q - (const vt_real *)r->in[1]), *db = dbias ? dbias + at * per_bias : NULL;
        for (int64_t i = 0; i < n; i++) {
            int64_t row = (b * n + i) * width + at * h.d;
            row_grad(&h, i, dout + row, out + row, lse[bh * n + i], dq, db);
        }
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(attention);
VT_DECLARE_REFERENCE(attention_grad);

static vt_status attention_infer(vt_graph *g, vt_node *n)
{
    const vt_attention_attrs *a = n->attrs;
    const vt_tensor *qkv = n->in[0], *bias = n->in[1];
    VT_EXPECT(vt_is_act(g, qkv) && qkv->ndim == 3, "wants qkv [B, N, 3*H*D]");
    VT_EXPECT(a->heads > 0 && qkv->shape[2] % (3 * a->heads) == 0, "qkv %s does not divide into 3 times %d heads",
              VT_SHAPE(qkv), a->heads);
    int64_t batch = qkv->shape[0], tokens = qkv->shape[1], heads = a->heads;
    VT_EXPECT(!bias || (vt_is_real(g, bias) && bias->ndim == 3 && (bias->shape[0] == 1 || bias->shape[0] == heads) &&
                        bias->shape[1] == tokens && bias->shape[2] == tokens),
              "the bias is %s, not [1 or %d, %lld, %lld]", VT_SHAPE(bias), a->heads, (long long)tokens,
              (long long)tokens);
    vt_status st = vt_expect_draws(g, n, a->dropout, n->in[2], n->in[3], batch, heads * tokens * tokens);
    if (st == VT_OK) st = vt_node_output(g, n, 0, qkv->dtype, 3, (int64_t[]){batch, tokens, qkv->shape[2] / 3});
    return st ? st : vt_node_output(g, n, 1, g->real, 3, (int64_t[]){batch, heads, tokens});
}

static vt_status attention_grad_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *qkv = n->in[1], *bias = n->in[4];
    vt_status st = vt_node_output(g, n, 0, qkv->dtype, 3, qkv->shape);
    if (st || !bias || !bias->wants_grad) return st;
    return vt_node_output(g, n, 1, g->real, 3, bias->shape);
}

static void attention_backward(vt_graph *g, const vt_node *n, vt_tensor *const *dout, vt_tensor **din)
{
    if (dout[1]) {
        vt_node_fail(g, n, "the loss depends on the log-sum-exp, which has no gradient");
        return;
    }
    vt_tensor *in[] = {dout[0], n->in[0], n->out[0], n->out[1], n->in[1], n->in[2], n->in[3]};
    vt_node *grad = vt_node_add(g, &vt_op_attention_grad, vt_graph_name(g, "%s.grad", n->name), n->attrs, in, 7);
    din[0] = vt_out(grad, 0);
    din[1] = vt_out(grad, 1);
}

/* q k^T and p v, each 2*N*N*D a head. */
static void attention_cost(const vt_node *n, vt_cost *cost)
{
    const vt_tensor *out = n->out[0];
    cost->flops = 4.0 * (double)vt_tensor_count(out) * (double)out->shape[1];
}

/* dp, dv, dq, dk: four such products; computing the scores again is not counted. */
static void attention_grad_cost(const vt_node *n, vt_cost *cost)
{
    const vt_tensor *dout = n->in[0];
    cost->flops = 8.0 * (double)vt_tensor_count(dout) * (double)dout->shape[1];
}

vt_tensor *vt_attention(vt_graph *g, const char *name, vt_tensor *qkv, vt_tensor *bias, int heads, float dropout,
                        const vt_random *random)
{
    if (!qkv) return NULL;
    double d = heads > 0 ? (double)vt_cols(qkv) / (3.0 * heads) : 1; /* infer says what is wrong with the heads */
    vt_attention_attrs a = {heads, (float)(1 / sqrt(d)), dropout, vt_draw_key(random, name)};
    bool drawn = random && dropout > 0;
    vt_tensor *in[] = {qkv, bias, drawn ? random->step : NULL, drawn ? random->slots : NULL};
    return vt_out(vt_node_add(g, &vt_op_attention, name, &a, in, 4), 0);
}

const vt_op vt_op_attention = {.name = "attention", .attr_bytes = sizeof(vt_attention_attrs), .n_out = 2,
                               .infer = attention_infer, .grad = attention_backward, .cost = attention_cost,
                               .reference = VT_REFERENCE(attention)};
const vt_op vt_op_attention_grad = {.name = "attention_grad", .attr_bytes = sizeof(vt_attention_attrs), .n_out = 2,
                                    .out_optional = 2, .infer = attention_grad_infer, .cost = attention_grad_cost,
                                    .reference = VT_REFERENCE(attention_grad)};
#endif
