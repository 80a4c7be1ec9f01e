#include "data/resize_row.h"

static const int HALF = 1 << (VT_WEIGHT_BITS - 1);

static const int16_t *weights_of(const vt_taps *taps, int k)
{
    return taps->weights + (size_t)k * 2 * (size_t)taps->room;
}

/* One output, the pixels of its taps `step` bytes apart. */
static uint8_t weigh(const uint8_t *p, size_t step, const int16_t *w, int count)
{
    int high = 0, low = HALF;
    for (int t = 0; t < count; t++, p += step) {
        high += *p * w[t / 2 * 4 + t % 2];
        low += *p * w[t / 2 * 4 + 2 + t % 2];
    }
    int v = (high * (1 << VT_WEIGHT_LOW) + low) >> VT_WEIGHT_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void row_from(int k, uint8_t *out, const uint8_t *row, int channels, const vt_taps *taps)
{
    for (; k < taps->outs; k++)
        for (int c = 0; c < channels; c++)
            out[k * channels + c] =
                weigh(row + taps->first[k] * channels + c, (size_t)channels, weights_of(taps, k), taps->count[k]);
}

static void column_from(size_t x, uint8_t *out, const uint8_t *rows, size_t stride, const vt_taps *taps, int k,
                        size_t bytes)
{
    for (; x < bytes; x++)
        out[x] = weigh(rows + (size_t)taps->first[k] * stride + x, stride, weights_of(taps, k), taps->count[k]);
}

static void plain_rows(uint8_t *out_a, uint8_t *out_b, const uint8_t *row_a, const uint8_t *row_b, int channels,
                       const vt_taps *taps)
{
    row_from(0, out_a, row_a, channels, taps);
    row_from(0, out_b, row_b, channels, taps);
}

static void plain_column(uint8_t *out, const uint8_t *rows, size_t stride, const vt_taps *taps, int k, size_t bytes)
{
    column_from(0, out, rows, stride, taps, k, bytes);
}

const vt_resize_body vt_resize_plain = {plain_rows, plain_column};

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

/* Two taps a vector: a pair of pixels, or of rows, widened, times the high and the low halves of their weights. */
AVX2 static void add_pair(__m256i pair, __m256i high_weights, __m256i low_weights, __m256i *high, __m256i *low)
{
    *high = _mm256_add_epi32(*high, _mm256_madd_epi16(pair, high_weights));
    *low = _mm256_add_epi32(*low, _mm256_madd_epi16(pair, low_weights));
}

/* The sums, without their fraction. Packing them clips. */
AVX2 static __m256i settle(__m256i high, __m256i low)
{
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, VT_WEIGHT_LOW), low), VT_WEIGHT_BITS);
}

/* An RGB pixel of row a and one of row b, each in the low three of four sums. As many taps for every output, weights of
 * zero among them: a branch that is guessed wrong costs more. */
AVX2 static inline __m256i rgb_sums(const uint8_t *a, const uint8_t *b, const int16_t *w, int taps)
{
    const __m256i spread = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /* */
                                            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
    __m256i high = _mm256_setzero_si256(), low = _mm256_set1_epi32(HALF);
    for (int t = 0; t < taps; t += 2, a += 6, b += 6, w += 4) {
        __m256i row_a = _mm256_castsi128_si256(_mm_loadu_si128((const void *)a));
        __m256i both = _mm256_inserti128_si256(row_a, _mm_loadu_si128((const void *)b), 1);
        add_pair(_mm256_shuffle_epi8(both, spread), _mm256_broadcastd_epi32(_mm_loadu_si32(w)),
                 _mm256_broadcastd_epi32(_mm_loadu_si32(w + 2)), &high, &low);
    }
    return settle(high, low);
}

/* 12 bytes: four pixels. */
AVX2 static void store_rgb(uint8_t *out, __m128i pixels)
{
    _mm_storel_epi64((void *)out, pixels);
    _mm_storeu_si32(out + 8, _mm_srli_si128(pixels, 8));
}

/* Four outputs, k on, of both rows. */
AVX2 static inline void four_rgb(uint8_t *out_a, uint8_t *out_b, const uint8_t *a, const uint8_t *b,
                                 const vt_taps *taps, int k, int most)
{
    const __m256i tight = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, /* */
                                           0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const int16_t *w = weights_of(taps, k);
    ptrdiff_t step = 2 * (ptrdiff_t)taps->room, at[4];
    for (int i = 0; i < 4; i++) at[i] = 3 * (ptrdiff_t)taps->first[k + i];
    __m256i sum0 = rgb_sums(a + at[0], b + at[0], w, most), sum1 = rgb_sums(a + at[1], b + at[1], w + step, most);
    __m256i sum2 = rgb_sums(a + at[2], b + at[2], w + 2 * step, most),
            sum3 = rgb_sums(a + at[3], b + at[3], w + 3 * step, most);
    __m256i words = _mm256_packus_epi16(_mm256_packs_epi32(sum0, sum1), _mm256_packs_epi32(sum2, sum3));
    __m256i bytes = _mm256_shuffle_epi8(words, tight);
    store_rgb(out_a + 3 * k, _mm256_castsi256_si128(bytes));
    store_rgb(out_b + 3 * k, _mm256_extracti128_si256(bytes, 1));
}

AVX2 static void avx2_rows(uint8_t *out_a, uint8_t *out_b, const uint8_t *row_a, const uint8_t *row_b, int channels,
                           const vt_taps *taps)
{
    int k = 0, end = channels == 3 ? taps->outs - 3 : 0;
    switch (taps->most) { /* the loops over so few taps want to be unrolled */
    case 4:
        for (; k < end; k += 4) four_rgb(out_a, out_b, row_a, row_b, taps, k, 4);
        break;
    case 6:
        for (; k < end; k += 4) four_rgb(out_a, out_b, row_a, row_b, taps, k, 6);
        break;
    default:
        for (; k < end; k += 4) four_rgb(out_a, out_b, row_a, row_b, taps, k, taps->most);
    }
    row_from(k, out_a, row_a, channels, taps);
    row_from(k, out_b, row_b, channels, taps);
}

/* 32 bytes at a time. Unpacking and packing keep to halves of a vector, so they undo each other. */
AVX2 static void avx2_column(uint8_t *out, const uint8_t *rows, size_t stride, const vt_taps *taps, int k, size_t bytes)
{
    const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi32(HALF);
    size_t x = 0;
    for (; x + 32 <= bytes; x += 32) {
        const uint8_t *p = rows + (size_t)taps->first[k] * stride + x;
        const int16_t *w = weights_of(taps, k);
        __m256i high[4] = {zero, zero, zero, zero}, low[4] = {half, half, half, half};
        for (int t = 0; t < taps->count[k]; t += 2, p += 2 * stride, w += 4) {
            __m256i weights = _mm256_broadcastq_epi64(_mm_loadl_epi64((const void *)w));
            __m256i wh = _mm256_shuffle_epi32(weights, 0x00), wl = _mm256_shuffle_epi32(weights, 0x55);
            __m256i a = _mm256_loadu_si256((const void *)p), b = _mm256_loadu_si256((const void *)(p + stride));
            __m256i left = _mm256_unpacklo_epi8(a, b), right = _mm256_unpackhi_epi8(a, b);
            add_pair(_mm256_unpacklo_epi8(left, zero), wh, wl, &high[0], &low[0]);
            add_pair(_mm256_unpackhi_epi8(left, zero), wh, wl, &high[1], &low[1]);
            add_pair(_mm256_unpacklo_epi8(right, zero), wh, wl, &high[2], &low[2]);
            add_pair(_mm256_unpackhi_epi8(right, zero), wh, wl, &high[3], &low[3]);
        }
        for (int i = 0; i < 4; i++) high[i] = settle(high[i], low[i]);
        __m256i words[2] = {_mm256_packs_epi32(high[0], high[1]), _mm256_packs_epi32(high[2], high[3])};
        _mm256_storeu_si256((void *)(out + x), _mm256_packus_epi16(words[0], words[1]));
    }
    column_from(x, out, rows, stride, taps, k, bytes);
}

static const vt_resize_body avx2 = {avx2_rows, avx2_column};

const vt_resize_body *vt_resize_fastest(void)
{
    return __builtin_cpu_supports("avx2") ? &avx2 : &vt_resize_plain;
}
#else
const vt_resize_body *vt_resize_fastest(void)
{
    return &vt_resize_plain;
}
#endif
