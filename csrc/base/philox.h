/* base/philox.h - every random number of vitc, on the host and in kernels (common subset of C and C++).
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a pure function of a 64-bit
 * key and a 128-bit counter, so there is no state to save and a number does not depend on who draws it.
 *
 *   data    key = seed                 counter = { draw, epoch, sample, purpose << 24 | repeat }
 *   mixing  key = seed                 counter = { draw, step of the run, slot in the global batch, purpose << 24 }
 *   graph   key = seed mixed with the  counter = { element / 4, slot in the global batch, step, 0xffffffff }
 *           hash of the op's name
 *
 * Draws of variable number (crop tries, Beta) count `draw` upwards within their key. */
#ifndef VT_BASE_PHILOX_H
#define VT_BASE_PHILOX_H

#include <stdint.h>

#ifdef __CUDACC__
#define VT_HD __host__ __device__ static inline
#else
#define VT_HD static inline
#endif

typedef struct vt_philox {
    uint32_t v[4];
} vt_philox;

VT_HD vt_philox vt_philox_4x32(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    vt_philox r = {{c0, c1, c2, c3}};
    return r;
}

/* [0, 1), 24 bits: exact in fp32. */
VT_HD float vt_uniform(uint32_t bits)
{
    return (float)(bits >> 8) * (1.0f / 16777216.0f);
}

/* FNV-1a over the bytes of a name: the stable identity of an op, a parameter, a purpose. */
VT_HD uint64_t vt_hash_name(const char *name)
{
    uint64_t h = 0xCBF29CE484222325ull;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001B3ull;
    return h;
}

/* A key from a seed and a name's hash (the finaliser of SplitMix64). */
VT_HD uint64_t vt_mix_key(uint64_t seed, uint64_t hash)
{
    uint64_t z = seed * 0x9E3779B97F4A7C15ull + hash;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/* The graph's draws for elements 4 * quad .. 4 * quad + 3 of one sample, that of slot `slot` at `step`. */
VT_HD vt_philox vt_graph_draw(uint64_t key, uint32_t step, uint32_t slot, uint32_t quad)
{
    return vt_philox_4x32(key, quad, slot, step, 0xFFFFFFFFu);
}

/* For element `e` alone. */
VT_HD float vt_graph_uniform(uint64_t key, uint32_t step, uint32_t slot, uint32_t e)
{
    return vt_uniform(vt_graph_draw(key, step, slot, e / 4).v[e % 4]);
}

/* A stream of draws under one data key. */
enum vt_purpose {
    VT_PURPOSE_SHUFFLE = 1,
    VT_PURPOSE_CROP,
    VT_PURPOSE_FLIP,
    VT_PURPOSE_SPLIT,
    VT_PURPOSE_INIT,
    VT_PURPOSE_AUGMENT,
    VT_PURPOSE_ERASE,
    VT_PURPOSE_MIX
};

typedef struct vt_rng {
    uint64_t key;
    uint32_t draw, epoch, sample, tag;
    vt_philox block;
} vt_rng;

VT_HD vt_rng vt_rng_data(uint64_t seed, enum vt_purpose purpose, uint32_t epoch, uint32_t sample, uint32_t repeat)
{
    vt_rng r = {seed, 0, epoch, sample, (uint32_t)purpose << 24 | (repeat & 0xFFFFFFu), {{0, 0, 0, 0}}};
    return r;
}

/* Of the samples that one draw mixes: `slot` is that of the first. */
VT_HD vt_rng vt_rng_mix(uint64_t seed, uint32_t step, uint32_t slot)
{
    return vt_rng_data(seed, VT_PURPOSE_MIX, step, slot, 0);
}

VT_HD uint32_t vt_rng_bits(vt_rng *r)
{
    if (r->draw % 4 == 0) r->block = vt_philox_4x32(r->key, r->draw / 4, r->epoch, r->sample, r->tag);
    return r->block.v[r->draw++ % 4];
}

VT_HD float vt_rng_uniform(vt_rng *r)
{
    return vt_uniform(vt_rng_bits(r));
}

/* Uniform on 0..n-1 without bias worth naming (64-bit multiply). */
VT_HD uint32_t vt_rng_below(vt_rng *r, uint32_t n)
{
    return (uint32_t)(((uint64_t)vt_rng_bits(r) * n) >> 32);
}

#endif
