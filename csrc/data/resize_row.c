#include "data/resize_row.h"

static const int HALF = 1 << (VT_WEIGHT_BITS - 1);

static const int16_t *weights_of(const vt_taps *taps, int k)
{
    return taps->weights + (size_t)k * 2 * (size_t)taps->most;
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
            out[k * channels + c] = weigh(row + taps->first[k] * channels + c, (size_t)channels, weights_of(taps, k),
                                          taps->count[k]);
}

static void column_from(size_t x, uint8_t *out, const uint8_t *rows, size_t stride, const vt_taps *taps, int k, size_t bytes)
{
    for (; x < bytes; x++)
        out[x] = weigh(rows + (size_t)taps->first[k] * stride + x, stride, weights_of(taps, k), taps->count[k]);
}

static void plain_row(uint8_t *out, const uint8_t *row, int channels, const vt_taps *taps)
{
    row_from(0, out, row, channels, taps);
}

static void plain_column(uint8_t *out, const uint8_t *rows, size_t stride, const vt_taps *taps, int k, size_t bytes)
{
    column_from(0, out, rows, stride, taps, k, bytes);
}

const vt_resize_body vt_resize_plain = {plain_row, plain_column};

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

/* 32-bit sums from their two halves, rounded; what packs them next clips them. */
AVX2 static __m256i settle(__m256i high, __m256i low)
{
    return _mm256_add_epi32(_mm256_slli_epi32(high, VT_WEIGHT_LOW), low);
}

/* An RGB pixel in the low three of four sums. Four taps a step, two in each half of a vector; as many steps for every
 * output, since a branch that is guessed wrong costs more than weights of zero. */
AVX2 static __m128i rgb_sum(const uint8_t *p, const int16_t *w, int most)
{
    const __m256i spread = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /* taps 0 and 1 */
                                            6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    const __m256i take_high = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2), take_low = _mm256_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3);
    __m256i high = _mm256_setzero_si256(), low = high;
    for (int t = 0; t < most; t += VT_TAPS_STEP, p += 3 * VT_TAPS_STEP, w += 2 * VT_TAPS_STEP) {
        __m256i pixels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)p));
        __m256i weights = _mm256_castsi128_si256(_mm_loadu_si128((const void *)w));
        pixels = _mm256_shuffle_epi8(pixels, spread);
        high = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, _mm256_permutevar8x32_epi32(weights, take_high)));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, _mm256_permutevar8x32_epi32(weights, take_low)));
    }
    __m256i sum = settle(high, low);
    __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    return _mm_srai_epi32(_mm_add_epi32(both, _mm_set1_epi32(HALF)), VT_WEIGHT_BITS);
}

AVX2 static void avx2_row(uint8_t *out, const uint8_t *row, int channels, const vt_taps *taps)
{
    const __m128i tight = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    int k = 0;
    for (; channels == 3 && k + 4 <= taps->outs; k += 4) {
        __m128i sums[4];
        for (int i = 0; i < 4; i++) sums[i] = rgb_sum(row + 3 * taps->first[k + i], weights_of(taps, k + i), taps->most);
        __m128i words[2] = {_mm_packs_epi32(sums[0], sums[1]), _mm_packs_epi32(sums[2], sums[3])};
        __m128i bytes = _mm_shuffle_epi8(_mm_packus_epi16(words[0], words[1]), tight);
        _mm_storel_epi64((void *)(out + 3 * k), bytes);
        _mm_storeu_si32(out + 3 * k + 8, _mm_srli_si128(bytes, 8));
    }
    row_from(k, out, row, channels, taps);
}

/* Two rows' bytes side by side, widened, are weighed and added. */
AVX2 static void add_pair(__m256i pair, __m256i high_weights, __m256i low_weights, __m256i *high, __m256i *low)
{
    *high = _mm256_add_epi32(*high, _mm256_madd_epi16(pair, high_weights));
    *low = _mm256_add_epi32(*low, _mm256_madd_epi16(pair, low_weights));
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
        for (int i = 0; i < 4; i++) high[i] = _mm256_srai_epi32(settle(high[i], low[i]), VT_WEIGHT_BITS);
        __m256i words[2] = {_mm256_packs_epi32(high[0], high[1]), _mm256_packs_epi32(high[2], high[3])};
        _mm256_storeu_si256((void *)(out + x), _mm256_packus_epi16(words[0], words[1]));
    }
    column_from(x, out, rows, stride, taps, k, bytes);
}

static const vt_resize_body avx2 = {avx2_row, avx2_column};

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
