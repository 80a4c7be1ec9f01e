/* patchify: images [B, H, W, C] to patches [B, P, ph * pw * C] in one pass; u8 is normalised to
 * (v / 255 - mean) * inv_std, as one multiply-add, real images are taken as they are. With effects they are erased and
 * mixed on the way (ops/ops.h, vt_effects), by a kernel of its own: the plain one stays as lean as it is.
 *
 * A thread writes PIECE consecutive elements, 16 bytes an access. Where lines, steps and rows of a patch are multiples
 * of PIECE elements (16 x 16 patches of 3 channels are) they are consecutive in the image too and read at once; a warp
 * then reads runs of pw * C elements, whole sectors but for their ends. Otherwise pixels are gathered one by one.
 *
 * Floor: the image read and the patches written: 1 + 2 bytes an element for u8 and bf16, 1 more for a partner's pixels.
 * Noise costs 10 rounds of Philox and two Box-Mullers for 4 elements, where pixels are erased: 4 % of them with DeiT's
 * settings. */
#include "cuda.cuh"
#include "piece.cuh"

extern "C" {
#include "base/normal.h"
}

/* n / by for n below 2^31, by a multiplication. */
typedef struct divider {
    uint32_t by, factor, shift;
} divider;

VT_DEVICE uint32_t divide(const divider &d, uint32_t n)
{
    return (uint32_t)((uint64_t)(2 * n) * d.factor >> 32) >> d.shift;
}

/* Elements: of a patch, of its rows, of the image's lines; from patch to patch, rightwards and downwards. */
typedef struct patchify_shape {
    divider patch, row, line;
    divider across;     /* patches in a line */
    divider channels;
    uint32_t right, down;
    int64_t image;      /* elements of an image */
    bool whole;         /* pieces are consecutive and aligned in the image, and whole */
} patchify_shape;

/* v * factor + shift, by channel, going round: a piece's stand side by side wherever it begins. */
enum { TERMS = VT_MAX_CHANNELS + PIECE };
struct __align__(8) pixel_term {
    float factor, shift;
};
typedef struct pixel_scale {
    pixel_term terms[TERMS];
} pixel_scale;

/* Where in an image element e of its patches comes from. */
VT_DEVICE uint32_t pixel_at(const patchify_shape &s, uint32_t e)
{
    uint32_t patch = divide(s.patch, e), in_patch = e - patch * s.patch.by;
    uint32_t down = divide(s.across, patch), across = patch - down * s.across.by;
    uint32_t row = divide(s.row, in_patch), in_row = in_patch - row * s.row.by;
    return down * s.down + across * s.right + row * s.line.by + in_row;
}

/* PIECE consecutive pixels, as they are in memory and as numbers. */
VT_DEVICE packed<float, PIECE> fetch_pixels(const float *p) { return fetch<PIECE>(p); }
VT_DEVICE uint64_t fetch_pixels(const uint8_t *p)
{
    return *reinterpret_cast<const uint64_t *>(p); /* one access; byte by byte it would be eight */
}

VT_DEVICE floats<PIECE> numbers_of(const packed<float, PIECE> &pixels) { return unpack(pixels); }
VT_DEVICE floats<PIECE> numbers_of(uint64_t pixels)
{
    floats<PIECE> f;
#pragma unroll
    for (int i = 0; i < PIECE; i++) f.v[i] = (float)(uint8_t)(pixels >> 8 * i);
    return f;
}

template <typename I> using pixels_of = decltype(fetch_pixels((const I *)nullptr));

/* Where each element of a piece is in its image, and whose turn of the channels the first has. */
typedef struct sources {
    uint32_t at[PIECE];
    int channel;
} sources;

/* WHOLE, here and below: s.whole. */
template <bool WHOLE> VT_DEVICE sources sources_of(const patchify_shape &s, const piece &p)
{
    sources from;
    uint32_t e = (uint32_t)p.in_sample;
    from.channel = (int)(e - divide(s.channels, e) * s.channels.by); /* a patch has whole pixels */
    uint32_t first = pixel_at(s, e);
#pragma unroll
    for (int i = 0; i < PIECE; i++)
        from.at[i] = WHOLE ? first + (uint32_t)i : pixel_at(s, i < p.n ? e + (uint32_t)i : e);
    return from;
}

template <typename I> VT_DEVICE floats<PIECE> gather(const I *image, const sources &from, int n)
{
    floats<PIECE> f = {};
#pragma unroll
    for (int i = 0; i < PIECE; i++)
        if (i < n) f.v[i] = (float)image[from.at[i]];
    return f;
}

VT_DEVICE const pixel_term *share_terms(const pixel_scale &scale)
{
    smem_cursor open = smem_open();
    pixel_term *terms = smem_take<pixel_term>(open, TERMS);
    if (threadIdx.x < TERMS) terms[threadIdx.x] = scale.terms[threadIdx.x];
    block_sync();
    return terms;
}

template <typename P> VT_DEVICE void normalise(floats<PIECE> &f, const P *terms)
{
#pragma unroll
    for (int i = 0; i < PIECE; i++) f.v[i] = f.v[i] * terms[i].factor + terms[i].shift;
}

template <typename I, typename T, bool WHOLE>
__global__ void __launch_bounds__(PIECE_THREADS)
patchify_kernel(patchify_shape s, int64_t each, pixel_scale scale,
                const I *images, // [B, H, W, C]
                T *patches)      // [B, each], each = P * ph * pw * C
{
    const pixel_term *terms = share_terms(scale);
    piece p = piece_of(each);
    if (p.n <= 0) return;
    p.whole |= WHOLE;
    sources from = sources_of<WHOLE>(s, p);
    const I *image = images + p.sample * s.image;
    floats<PIECE> f = WHOLE ? numbers_of(fetch_pixels(image + from.at[0])) : gather(image, from, p.n);
    if (sizeof(I) == 1) normalise(f, terms + from.channel);
    store_piece(patches, f, p);
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

/* Bit i: element i is within the box (top, left, height, width). */
template <bool WHOLE> VT_DEVICE unsigned within(const int32_t *box, const patchify_shape &s, const sources &from)
{
    int top = box[0], left = box[1], height = box[2], width = box[3];
    unsigned bits = 0;
    if constexpr (WHOLE) { /* all in one line: an interval of it */
        int y = (int)divide(s.line, from.at[0]), x = (int)(from.at[0] - (uint32_t)y * s.line.by);
        int c = (int)s.channels.by;
        int first = left * c - x, end = first + width * c;
        first = first < 0 ? 0 : first < PIECE ? first : PIECE;
        end = end < 0 ? 0 : end < PIECE ? end : PIECE;
        if ((unsigned)(y - top) < (unsigned)height) bits = ((1u << end) - 1) & ~((1u << first) - 1);
    } else {
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            uint32_t y = divide(s.line, from.at[i]), x = divide(s.channels, from.at[i] - y * s.line.by);
            bool inside = (unsigned)((int)y - top) < (unsigned)height && (unsigned)((int)x - left) < (unsigned)width;
            bits |= (unsigned)inside << i;
        }
    }
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

template <bool WHOLE>
VT_DEVICE void erase(const patchify_effects &fx, int sample, const patchify_shape &s, const sources &from,
                     uint32_t in_sample, floats<PIECE> &f)
{
    uint32_t step = (uint32_t)*fx.step, slot = (uint32_t)fx.slots[sample];
    unsigned left = ~0u; /* bits of elements that no later box has */
#pragma unroll 1
    for (int k = fx.most - 1; k >= 0; k--) {
        unsigned bits = within<WHOLE>(fx.boxes + ((int64_t)sample * fx.most + k) * 4, s, from) & left;
        if (!bits) continue;
        left &= ~bits;
        if (fx.erase == VT_ERASE_PIXEL && WHOLE) {
            erase_quads(fx, step, slot, from.at[0], bits, f);
            continue;
        }
#pragma unroll 1
        for (int i = 0; i < PIECE; i++, bits >>= 1) {
            uint32_t e;
            if (fx.erase == VT_ERASE_PIXEL) e = pixel_at(s, in_sample + (uint32_t)i);
            else e = (uint32_t)k * s.channels.by + (uint32_t)(from.channel + i) % s.channels.by;
            if (bits & 1) f.v[0] = fx.erase == VT_ERASE_CONST ? 0 : vt_graph_normal(fx.key, step, slot, e);
            f = turned<1>(f);
        }
    }
}

template <typename I, typename T, bool WHOLE>
__global__ void __launch_bounds__(PIECE_THREADS, 2) /* without the 2 ptxas spills for sm_100 */
patchify_effects_kernel(patchify_shape s, int64_t each, pixel_scale scale, patchify_effects fx,
                        const I *images, // [B, H, W, C]
                        T *patches)      // [B, each]
{
    const volatile pixel_term *terms = share_terms(scale); /* lest the loop keep 16 in registers */
    piece p = piece_of(each);
    if (p.n <= 0) return;
    p.whole |= WHOLE;
    sources from = sources_of<WHOLE>(s, p);
    const int32_t *where = fx.where ? fx.where + 5 * p.sample : NULL;
    float inside = where ? fx.weights[3 * p.sample] : 1, outside = where ? fx.weights[3 * p.sample + 1] : 1;
    unsigned in_box = where ? within<WHOLE>(where + 1, s, from) : 0;
    bool mixed = (in_box && inside != 1) || (in_box != 0xFFu && outside != 1);
    int partner = mixed ? where[0] : 0;
    pixels_of<I> own = {}, other = {}; /* both under way at once */
    if (WHOLE) own = fetch_pixels(images + p.sample * s.image + from.at[0]);
    if (WHOLE && mixed) other = fetch_pixels(images + (int64_t)partner * s.image + from.at[0]);
    floats<PIECE> f = {};
#pragma unroll 1
    for (int side = 0; side < 1 + mixed; side++) { /* its own, its partner's: once in code, for registers' sake */
        int sample = side ? partner : (int)p.sample;
        floats<PIECE> g = WHOLE ? numbers_of(own) : gather(images + (int64_t)sample * s.image, from, p.n);
        own = other;
        if (sizeof(I) == 1) normalise(g, terms + from.channel);
        if (fx.boxes) erase<WHOLE>(fx, sample, s, from, (uint32_t)p.in_sample, g);
        if (side == 0) {
            f = g;
            continue;
        }
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            float w = in_box >> i & 1 ? inside : outside;
            f.v[i] = w * f.v[i] + (1 - w) * g.v[i];
        }
    }
    store_piece(patches, f, p);
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

static divider divider_of(int64_t by) /* 1 .. 2^31 - 1 */
{
    divider d = {(uint32_t)by, 0, 0};
    while (1ll << d.shift < by) d.shift++;
    d.factor = (uint32_t)((1ull << (31 + d.shift)) / (uint64_t)by + 1);
    return d;
}

static patchify_shape shape_of(const vt_tensor *images, const vt_patchify_attrs *a)
{
    patchify_shape s;
    int64_t channels = images->shape[3], line = images->shape[2] * channels, row = a->patch_w * channels;
    s.channels = divider_of(channels);
    s.line = divider_of(line);
    s.row = divider_of(row);
    s.patch = divider_of(a->patch_h * row);
    s.across = divider_of((images->shape[2] - a->patch_w) / a->stride_w + 1);
    s.right = (uint32_t)(a->stride_w * channels);
    s.down = (uint32_t)(a->stride_h * line);
    s.image = images->shape[1] * line;
    s.whole = line % PIECE == 0 && row % PIECE == 0 && s.right % PIECE == 0;
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
    size_t smem = smem_bytes<pixel_term>(TERMS);
    patchify_effects fx = effects_of(r);
    if (!fx.boxes && !fx.where)
        launch(r, s.whole ? patchify_kernel<I, T, true> : patchify_kernel<I, T, false>, grid, PIECE_THREADS, smem, s,
               each, scale, in<I>(r, 0), out<T>(r, 0));
    else
        launch(r, s.whole ? patchify_effects_kernel<I, T, true> : patchify_effects_kernel<I, T, false>, grid,
               PIECE_THREADS, smem, s, each, scale, fx, in<I>(r, 0), out<T>(r, 0));
}

static void patchify(const vt_run *r)
{
    const vt_patchify_attrs *a = (const vt_patchify_attrs *)r->node->attrs;
    const vt_tensor *images = r->node->in[0], *patches = r->node->out[0];
    patchify_shape s = shape_of(images, a);
    int64_t each = patches->shape[1] * patches->shape[2];
    pixel_scale scale = {};
    for (int k = 0; k < TERMS && images->dtype == VT_U8; k++) {
        int c = k % (int)images->shape[3];
        scale.terms[k] = {(float)(a->inv_std[c] / 255.0), -a->mean[c] * a->inv_std[c]};
    }
    if (images->dtype == VT_U8)
        VT_DISPATCH(patches, (start<uint8_t, T>(r, s, each, scale)));
    else
        VT_DISPATCH(patches, (start<float, T>(r, s, each, scale)));
}

VT_CUDA_OP(patchify) = {patchify, NULL};
