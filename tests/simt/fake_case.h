/* fake_case.h - what the tests of the fake device share. */
#ifndef FAKE_CASE_H
#define FAKE_CASE_H

#include "fake.h"
#include "test.h"

enum { N = 256 };
#define CUDA_OK(call) CHECK_MSG((call) == cudaSuccess, "%s", fake().report.c_str())
#define CUDA_FAILS(call, err) CHECK_MSG((call) == (err), "not %s", #err)

static inline float *device_floats(size_t n)
{
    float *p = nullptr;
    CUDA_OK(cudaMalloc(&p, n * sizeof(float)));
    return p;
}

static inline cudaStream_t new_stream(unsigned flags = cudaStreamNonBlocking)
{
    cudaStream_t s = nullptr;
    CUDA_OK(cudaStreamCreateWithFlags(&s, flags));
    return s;
}

static inline cudaEvent_t new_event()
{
    cudaEvent_t e = nullptr;
    CUDA_OK(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    return e;
}

/* x[i] = x[i] * by + plus, on N threads */
static inline cudaError_t scale(float *x, float by, float plus, cudaStream_t s)
{
    return simt_launch(dim3(N / 32), dim3(32), 0, s, [=] {
        unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
        x[i] = x[i] * by + plus;
    });
}

static inline float read_first(const float *x, cudaStream_t s)
{
    float v = 0;
    CUDA_OK(cudaMemcpyAsync(&v, x, sizeof v, cudaMemcpyDeviceToHost, s));
    return v;
}

#endif
