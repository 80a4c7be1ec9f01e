/* ptx_mma.cuh - tensor cores as sm_80 has them: fragments through ldmatrix, products through mma.sync m16n8k16. */
#ifndef VT_PTX_MMA_CUH
#define VT_PTX_MMA_CUH

#include "ptx.cuh"

/* Four 8x8 matrices of 16-bit elements from shared memory. Lane i gives the address of row i % 8 of matrix i / 8 (16
 * bytes, aligned); afterwards r[m] holds row lane / 4, elements 2 * (lane % 4) and the next, of matrix m. */
VT_DEVICE void load_matrix4(uint32_t (&r)[4], const void *row)
{
#ifdef VT_SIMT
    simt_load_matrix(r, 4, row, false);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(smem_address(row)) : "memory");
#endif
}

/* The same, each matrix transposed on the way. */
VT_DEVICE void load_matrix4_transposed(uint32_t (&r)[4], const void *row)
{
#ifdef VT_SIMT
    simt_load_matrix(r, 4, row, true);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(smem_address(row)) : "memory");
#endif
}

/* d += a b, bf16 in, fp32 accumulators.  a [16, 16] row-major, b [16, 8] column-major, d [16, 8].
 * With g = lane / 4, t = lane % 4: d = (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1);
 * a = pairs at (g, 2t), (g+8, 2t), (g, 2t+8), (g+8, 2t+8); b = pairs at (2t, g), (2t+8, g). */
VT_DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
#ifdef VT_SIMT
    simt_mma_bf16(d, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

#endif
