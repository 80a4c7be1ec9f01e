/* patchify: images [B, H, W, C] to patches [B, P, ph * pw * C] in one pass; u8 is normalised to
 * (v / 255 - mean) * inv_std, as one multiply-add, real images are taken as they are.
 *
 * A thread writes PIECE consecutive elements, 16 bytes an access. Where lines, steps and rows of a patch are multiples
 * of PIECE elements (16 x 16 patches of 3 channels are) they are consecutive in the image too and read at once; a warp
 * then reads runs of pw * C elements, whole sectors but for their ends. Otherwise pixels are gathered one by one.
 *
 * Floor: the image read and the patches written: 1 + 2 bytes an element for u8 and bf16. */
#include "cuda.cuh"
#include "piece.cuh"

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

template <typename I, typename T>
__global__ void __launch_bounds__(PIECE_THREADS)
patchify_kernel(patchify_shape s, int64_t each, pixel_scale scale,
                const I *images, // [B, H, W, C]
                T *patches)      // [B, each], each = P * ph * pw * C
{
    smem_cursor open = smem_open();
    float *factor = smem_take<float>(open, VT_MAX_CHANNELS), *shift = smem_take<float>(open, VT_MAX_CHANNELS);
    if (threadIdx.x < VT_MAX_CHANNELS) {
        factor[threadIdx.x] = scale.factor[threadIdx.x];
        shift[threadIdx.x] = scale.shift[threadIdx.x];
    }
    block_sync();
    piece p = piece_of(each);
    if (p.n <= 0) return;
    const I *image = images + p.sample * s.image;
    uint32_t e = (uint32_t)p.in_sample;
    floats<PIECE> f = {};
    if (s.whole && p.whole) {
        f = load_pixels(image + pixel_at(s, e));
    } else {
#pragma unroll
        for (int i = 0; i < PIECE; i++)
            if (i < p.n) f.v[i] = (float)image[pixel_at(s, e + (uint32_t)i)];
    }
    if (sizeof(I) == 1) {
        int c = (int)(e % (uint32_t)s.channels); /* a patch has whole pixels */
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            f.v[i] = f.v[i] * factor[c] + shift[c];
            c = c + 1 == s.channels ? 0 : c + 1;
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
    dim3 grid = piece_grid(patches->shape[0], each);
    size_t smem = 2 * smem_bytes<float>(VT_MAX_CHANNELS);
    if (images->dtype == VT_U8)
        VT_DISPATCH(patches, launch(r, patchify_kernel<uint8_t, T>, grid, PIECE_THREADS, smem, s, each, scale,
                                    in<uint8_t>(r, 0), out<T>(r, 0)));
    else
        VT_DISPATCH(patches, launch(r, patchify_kernel<float, T>, grid, PIECE_THREADS, smem, s, each, scale,
                                    in<float>(r, 0), out<T>(r, 0)));
}

VT_CUDA_OP(patchify) = {patchify, NULL};
