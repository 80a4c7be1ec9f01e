/* piece.cuh - elementwise kernels: a thread takes PIECE consecutive elements of one sample, a block PIECE_BLOCK.
 *
 * A tensor is [samples, each]; where an op does not care for samples it is [1, count]. Accesses are of 16 bytes where a
 * piece is whole and aligned, else by element: one kernel serves any shape, and odd ones lose speed alone. */
#ifndef VT_PIECE_CUH
#define VT_PIECE_CUH

#include "types.cuh"

enum { PIECE = 8, PIECE_THREADS = 256, PIECE_BLOCK = PIECE * PIECE_THREADS };

typedef struct piece {
    int64_t sample, at;     /* its sample; its first element, counted from the tensor's start */
    int64_t in_sample;      /* ... from the sample's start, a multiple of PIECE */
    int n;                  /* its elements; at most 0: nothing to do */
    bool whole;             /* PIECE of them and aligned */
} piece;

/* What this thread takes, under a grid of piece_grid(samples, each). */
VT_DEVICE piece piece_of(int64_t each)
{
    unsigned blocks = (unsigned)((each + PIECE_BLOCK - 1) / PIECE_BLOCK);
    piece p;
    p.sample = blockIdx.x / blocks;
    p.in_sample = (int64_t)(blockIdx.x % blocks) * PIECE_BLOCK + (int64_t)threadIdx.x * PIECE;
    p.at = p.sample * each + p.in_sample;
    p.n = each - p.in_sample < PIECE ? (int)(each - p.in_sample) : PIECE;
    p.whole = p.n == PIECE && p.at % PIECE == 0;
    return p;
}

static inline dim3 piece_grid(int64_t samples, int64_t each)
{
    return dim3((unsigned)(samples * ((each + PIECE_BLOCK - 1) / PIECE_BLOCK)));
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

template <typename T> VT_DEVICE void store_piece(T *tensor, const floats<PIECE> &f, const piece &p)
{
    store_some(tensor + p.at, f, p.n, p.whole);
}

#endif
