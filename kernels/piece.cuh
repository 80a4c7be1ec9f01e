/* piece.cuh - elementwise kernels: a thread takes PIECE consecutive elements of one sample, a block PIECE_BLOCK.
 *
 * A tensor is [samples, each]; where an op does not care for samples it is [1, count]. Accesses are of 16 bytes where a
 * piece is whole and aligned, else by element: one kernel serves any shape, and odd ones lose speed alone. */
#ifndef VT_PIECE_CUH
#define VT_PIECE_CUH

#include "types.cuh"

enum { PIECE = 8, PIECE_THREADS = 256, PIECE_BLOCK = PIECE * PIECE_THREADS, PIECE_ROWS = 65535 };

typedef struct piece {
    int64_t sample, at;     /* its sample; its first element, counted from the tensor's start */
    int64_t in_sample;      /* ... from the sample's start, a multiple of PIECE */
    int n;                  /* its elements; at most 0: nothing to do */
    bool whole;             /* PIECE of them and aligned */
} piece;

/* What this thread takes, under a grid of piece_grid(samples, each). */
VT_DEVICE piece piece_of(int64_t each)
{
    unsigned blocks = (unsigned)(((uint64_t)each + PIECE_BLOCK - 1) / PIECE_BLOCK);
    unsigned sample = blockIdx.y, block = blockIdx.x;
    if (gridDim.x != blocks) { /* more samples than a grid has rows */
        sample = block / blocks;
        block %= blocks;
    }
    piece p;
    p.sample = sample;
    p.in_sample = (int64_t)block * PIECE_BLOCK + threadIdx.x * PIECE;
    p.at = p.sample * each + p.in_sample;
    p.n = each - p.in_sample < PIECE ? (int)(each - p.in_sample) : PIECE;
    p.whole = p.n == PIECE && p.at % PIECE == 0;
    return p;
}

static inline dim3 piece_grid(int64_t samples, int64_t each)
{
    int64_t blocks = (each + PIECE_BLOCK - 1) / PIECE_BLOCK;
    return samples <= PIECE_ROWS ? dim3((unsigned)blocks, (unsigned)samples) : dim3((unsigned)(samples * blocks));
}

/* n <= W elements from p, zeros behind them; `whole`: W, and 16-byte accesses will do. */
template <int W, typename T> VT_DEVICE floats<W> load_some(const T *p, int n, bool whole)
{
    if (whole) return load<W>(p);
    floats<W> out;
#pragma unroll
    for (int i = 0; i < W; i++) out.v[i] = i < n ? to_float(p[i]) : 0;
    return out;
}

template <int W, typename T> VT_DEVICE void store_some(T *p, const floats<W> &f, int n, bool whole)
{
    if (whole) {
        store(p, f);
    } else {
#pragma unroll
        for (int i = 0; i < W; i++)
            if (i < n) p[i] = from_float<T>(f.v[i]);
    }
}

template <typename T> VT_DEVICE floats<PIECE> load_piece(const T *tensor, const piece &p)
{
    return load_some<PIECE>(tensor + p.at, p.n, p.whole);
}

/* Of two tensors, the loads of both under way before either is used; NULL: zeros. */
template <typename A, typename B>
VT_DEVICE void load_pieces(const A *a, const B *b, const piece &p, floats<PIECE> &fa, floats<PIECE> &fb)
{
    if (p.whole) {
        packed<A, PIECE> wa = {};
        packed<B, PIECE> wb = {};
        if (a) wa = fetch<PIECE>(a + p.at);
        if (b) wb = fetch<PIECE>(b + p.at);
        fa = unpack(wa);
        fb = unpack(wb);
    } else {
#pragma unroll
        for (int i = 0; i < PIECE; i++) {
            fa.v[i] = a && i < p.n ? to_float(a[p.at + i]) : 0;
            fb.v[i] = b && i < p.n ? to_float(b[p.at + i]) : 0;
        }
    }
}

template <typename T> VT_DEVICE void store_piece(T *tensor, const floats<PIECE> &f, const piece &p)
{
    store_some(tensor + p.at, f, p.n, p.whole);
}

#endif
