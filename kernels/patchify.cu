/* patchify: images [B, H, W, C] to patches [B, P, ph * pw * C] in one pass; u8 is normalised to
 * (v / 255 - mean) * inv_std, as one multiply-add, real images are taken as they are. With effects they are erased and
 * mixed on the way (ops/ops.h, vt_effects), by a kernel of its own: the plain one stays as lean as it is.
 *
 * A thread writes PIECE consecutive elements, 16 bytes an access. Where lines, steps and rows of a patch are multiples
 * of PIECE elements (16 x 16 patches of 3 channels are) they are consecutive in the image too and read at once; a warp
 * then reads runs of pw * C elements, whole sectors but for their ends. Otherwise pixels are gathered one by one.
 *
 * Floor: the image read and the patches written: 1 + 2 bytes an element for u8 and bf16; mixed, the partner's too: 1 more.
 * Noise costs 10 rounds of Philox and two Box-Mullers for 4 elements, where pixels are erased: 4 % of them with DeiT's
 * settings. */
#include "cuda.cuh"
#include "piece.cuh"

extern "C" {
#include "base/normal.h"
}

/* Elements: of a patch, of its rows, of the image's lines; from patch to patch, rightwards and downwards. */
typedef struct patchify_shape {
    uint32_t patch, row, line, right, down;
    uint32_t across;    /* patches in a line */
    int64_t image;      /* elements of an image */
    int channels;
    bool whole;         /* pieces are consecutive and aligned in the image */
} patchify_shape;

typedef struct pixel_scale { /* v * factor + shift, by channel */
    float factor[VT_MAX_CHANNELS], shift[VT_MAX_CHANNELS];
} pixel_scale;

/* Where in an image element e of its patches comes from. */
VT_DEVICE uint32_t pixel_at(const patchify_shape &s, uint32_t e)
{
    uint32_t patch = e / s.patch, in_patch = e % s.patch;
    return patch / s.across * s.down + patch % s.across * s.right + in_patch / s.row * s.line + in_patch % s.row;
}

VT_DEVICE floats<PIECE> load_pixels(const float *p) { return load<PIECE>(p); }
VT_DEVICE floats<PIECE> load_pixels(const uint8_t *p)
{
    uint64_t bytes = *reinterpret_cast<const uint64_t *>(p); /* one access; byte by byte it would be eight */
    floats<PIECE> f;
#pragma unroll
    for (int i = 0; i < PIECE; i++) f.v[i] = (float)(uint8_t)(bytes >> 8 * i);
    return f;
}

/* Where each element of a piece is in its image, and whose turn of the channels the first has. */
typedef struct sources {
    uint32_t at[PIECE];
    int channel;
    bool whole;
} sources;

/* whole: the piece is consecutive and aligned in the image. */
VT_DEVICE sources sources_of(const patchify_shape &s, const piece &p, bool whole)
{
    sources from;
    uint32_t e = (uint32_t)p.in_sample;
    from.whole = whole;
    from.channel = (int)(e % (uint32_t)s.channels); /* a patch has whole pixels */
    uint32_t first = from.whole ? pixel_at(s, e) : 0;
#pragma unroll
    for (int i = 0; i < PIECE; i++)
        from.at[i] = from.whole ? first + (uint32_t)i : pixel_at(s, i < p.n ? e + (uint32_t)i : e);
    return from;
}

typedef struct pixel_terms { /* [VT_MAX_CHANNELS] in shared memory; volatile, lest a loop keep 16 of them in registers */
    volatile float *factor, *shift;
} pixel_terms;

VT_DEVICE pixel_terms share_terms(const pixel_scale &scale)
{
    smem_cursor open = smem_open();
    pixel_terms t;
    t.factor = smem_take<float>(open, VT_MAX_CHANNELS);
    t.shift = smem_take<float>(open, VT_MAX_CHANNELS);
    if (threadIdx.x < VT_MAX_CHANNELS) {
        t.factor[threadIdx.x] = scale.factor[threadIdx.x];
        t.shift[threadIdx.x] = scale.shift[threadIdx.x];
    }
    block_sync();
    return t;
}

template <typename I>
VT_DEVICE floats<PIECE> read_normalised(const I *image, const sources &from, int n, int channels, const pixel_terms &t)
{
    floats<PIECE> f = {};
    if (from.whole) {
        f = load_pixels(image + from.at[0]);
    } else {
#pragma unroll
        for (int i = 0; i < PIECE; i++)
            if (i < n) f.v[i] = (float)image[from.at[i]];
    }
    if (sizeof(I) == 1) {
        int c = from.channel;
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            f.v[i] = f.v[i] * t.factor[c] + t.shift[c];
            c = c + 1 == channels ? 0 : c + 1;
        }
    }
    return f;
}

template <typename I, typename T>
__global__ void __launch_bounds__(PIECE_THREADS)
patchify_kernel(patchify_shape s, int64_t each, pixel_scale scale,
                const I *images, // [B, H, W, C]
                T *patches)      // [B, each], each = P * ph * pw * C
{
    pixel_terms terms = share_terms(scale);
    piece p = piece_of(each);
    if (p.n <= 0) return;
    sources from = sources_of(s, p, s.whole && p.whole);
    store_piece(patches, read_normalised(images + p.sample * s.image, from, p.n, s.channels, terms), p);
}

/* ---- with effects ------------------------------------------------------------------------------------------------ */

typedef struct patchify_effects {
    const int32_t *boxes;   /* [B, most, 4]; NULL: nothing is erased */
    int most, erase;        /* erase: a vt_erase_mode */
    uint64_t key;
    const int32_t *step;    /* [1] */
    const int32_t *slots;   /* [B] */
    const int32_t *where;   /* [B, 5]; NULL: nothing is mixed */
    const float *weights;   /* [B, 3] */
} patchify_effects;

typedef struct pixel_places { /* of a piece's elements */
    int y[PIECE], x[PIECE];
} pixel_places;

VT_DEVICE pixel_places places_of(const patchify_shape &s, const sources &from)
{
    pixel_places at;
    int c = from.channel;
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        if (i == 0 || !from.whole) {
            at.y[i] = (int)(from.at[i] / s.line);
            at.x[i] = (int)(from.at[i] % s.line / (uint32_t)s.channels);
        } else { /* in the same line */
            c = c + 1 == s.channels ? 0 : c + 1;
            at.y[i] = at.y[0];
            at.x[i] = at.x[i - 1] + (c == 0);
        }
    }
    return at;
}

/* Bit i: element i is within the box (top, left, height, width). */
VT_DEVICE unsigned within(const int32_t *box, const pixel_places &at)
{
    int top = box[0], left = box[1], height = box[2], width = box[3];
    unsigned bits = 0;
#pragma unroll
    for (int i = 0; i < PIECE; i++)
        bits |= (unsigned)((unsigned)(at.y[i] - top) < (unsigned)height && (unsigned)(at.x[i] - left) < (unsigned)width) << i;
    return bits;
}

/* What is erased is few: code that is not unrolled, and the elements go round so that no index is a variable. */
template <int STEP> VT_DEVICE floats<PIECE> turned(const floats<PIECE> &f)
{
    floats<PIECE> out;
#pragma unroll
    for (int i = 0; i < PIECE; i++) out.v[i] = f.v[(i + STEP) % PIECE];
    return out;
}

/* N(0, 1) a pixel, for the elements in `bits`; `first`, a multiple of 4, is the first one's place in the image. */
VT_DEVICE void erase_quads(const patchify_effects &fx, uint32_t step, uint32_t slot, uint32_t first, unsigned bits,
                           floats<PIECE> &f)
{
#pragma unroll 1
    for (int i = 0; i < PIECE; i += 4, bits >>= 4) {
        float four[4];
        vt_normals(vt_graph_draw(fx.key, step, slot, (first + (uint32_t)i) / 4), four);
#pragma unroll
        for (int k = 0; k < 4; k++) f.v[k] = bits >> k & 1 ? four[k] : f.v[k];
        f = turned<4>(f);
    }
}

VT_DEVICE void erase(const patchify_effects &fx, int64_t sample, const patchify_shape &s, const sources &from,
                     const pixel_places &at, uint32_t in_sample, floats<PIECE> &f)
{
    uint32_t step = (uint32_t)*fx.step, slot = (uint32_t)fx.slots[sample];
    unsigned left = ~0u; /* bits of elements that no later box has */
#pragma unroll 1
    for (int k = fx.most - 1; k >= 0; k--) {
        unsigned bits = within(fx.boxes + (sample * fx.most + k) * 4, at) & left;
        if (!bits) continue;
        left &= ~bits;
        if (fx.erase == VT_ERASE_PIXEL && from.whole) {
            erase_quads(fx, step, slot, from.at[0], bits, f);
            continue;
        }
#pragma unroll 1
        for (int i = 0; i < PIECE; i++, bits >>= 1) {
            uint32_t e = fx.erase == VT_ERASE_PIXEL ? pixel_at(s, in_sample + (uint32_t)i)
                                                    : (uint32_t)(k * s.channels + (from.channel + i) % s.channels);
            if (bits & 1) f.v[0] = fx.erase == VT_ERASE_CONST ? 0 : vt_graph_normal(fx.key, step, slot, e);
            f = turned<1>(f);
        }
    }
}

/* WHOLE: s.whole, and so is every piece. */
template <typename I, typename T, bool WHOLE>
__global__ void __launch_bounds__(PIECE_THREADS)
patchify_effects_kernel(patchify_shape s, int64_t each, pixel_scale scale, patchify_effects fx,
                        const I *images, // [B, H, W, C]
                        T *patches)      // [B, each]
{
    pixel_terms terms = share_terms(scale);
    piece p = piece_of(each);
    if (p.n <= 0) return;
    sources from = sources_of(s, p, WHOLE);
    pixel_places at = places_of(s, from);
    const int32_t *where = fx.where ? fx.where + 5 * p.sample : NULL;
    float inside = where ? fx.weights[3 * p.sample] : 1, outside = where ? fx.weights[3 * p.sample + 1] : 1;
    unsigned in_box = where ? within(where + 1, at) : 0;
    bool mixed = (in_box && inside != 1) || (in_box != 0xFFu && outside != 1);
    floats<PIECE> f = {};
#pragma unroll 1
    for (int side = 0; side < 1 + mixed; side++) { /* the sample's own, its partner's: once in code, for registers' sake */
        int64_t sample = side ? where[0] : p.sample;
        floats<PIECE> g = read_normalised(images + sample * s.image, from, p.n, s.channels, terms);
        if (fx.boxes) erase(fx, sample, s, from, at, (uint32_t)p.in_sample, g);
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            float w = in_box >> i & 1 ? inside : outside;
            f.v[i] = side ? w * f.v[i] + (1 - w) * g.v[i] : g.v[i];
        }
    }
    store_piece(patches, f, p);
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

static patchify_shape shape_of(const vt_tensor *images, const vt_patchify_attrs *a)
{
    patchify_shape s;
    s.channels = (int)images->shape[3];
    s.line = (uint32_t)(images->shape[2] * s.channels);
    s.row = (uint32_t)(a->patch_w * s.channels);
    s.patch = (uint32_t)a->patch_h * s.row;
    s.right = (uint32_t)(a->stride_w * s.channels);
    s.down = (uint32_t)a->stride_h * s.line;
    s.across = (uint32_t)((images->shape[2] - a->patch_w) / a->stride_w + 1);
    s.image = images->shape[1] * s.line;
    s.whole = s.line % PIECE == 0 && s.row % PIECE == 0 && s.right % PIECE == 0;
    return s;
}

static patchify_effects effects_of(const vt_run *r)
{
    const vt_patchify_attrs *a = (const vt_patchify_attrs *)r->node->attrs;
    patchify_effects fx = {in<int32_t>(r, 1), 0, a->erase, a->key, in<int32_t>(r, 2), in<int32_t>(r, 3),
                           in<int32_t>(r, 4), in<float>(r, 5)};
    if (fx.boxes) fx.most = (int)r->node->in[1]->shape[1];
    return fx;
}

template <typename I, typename T>
static void start(const vt_run *r, const patchify_shape &s, int64_t each, const pixel_scale &scale)
{
    dim3 grid = piece_grid(r->node->out[0]->shape[0], each);
    size_t smem = 2 * smem_bytes<float>(VT_MAX_CHANNELS);
    patchify_effects fx = effects_of(r);
    if (!fx.boxes && !fx.where)
        launch(r, patchify_kernel<I, T>, grid, PIECE_THREADS, smem, s, each, scale, in<I>(r, 0), out<T>(r, 0));
    else if (s.whole)
        launch(r, patchify_effects_kernel<I, T, true>, grid, PIECE_THREADS, smem, s, each, scale, fx, in<I>(r, 0),
               out<T>(r, 0));
    else
        launch(r, patchify_effects_kernel<I, T, false>, grid, PIECE_THREADS, smem, s, each, scale, fx, in<I>(r, 0),
               out<T>(r, 0));
}

static void patchify(const vt_run *r)
{
    const vt_patchify_attrs *a = (const vt_patchify_attrs *)r->node->attrs;
    const vt_tensor *images = r->node->in[0], *patches = r->node->out[0];
    patchify_shape s = shape_of(images, a);
    int64_t each = patches->shape[1] * patches->shape[2];
    pixel_scale scale = {};
    for (int c = 0; c < VT_MAX_CHANNELS; c++) {
        scale.factor[c] = (float)(a->inv_std[c] / 255.0);
        scale.shift[c] = -a->mean[c] * a->inv_std[c];
    }
    if (images->dtype == VT_U8)
        VT_DISPATCH(patches, (start<uint8_t, T>(r, s, each, scale)));
    else
        VT_DISPATCH(patches, (start<float, T>(r, s, each, scale)));
}

VT_CUDA_OP(patchify) = {patchify, NULL};
