/* The fake device's memory: copies are checked, it runs out, and a bad access breaks the device for good. */
#include <sys/wait.h>
#include <unistd.h>

#include "fake_case.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

TEST(copies_are_checked_against_allocations)
{
    float *x = device_floats(4), host[8] = {};
    CUDA_FAILS(cudaMemcpy(host, x, 20, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    CHECK(fake().report.find("an allocation of 16 bytes has 16 left") != std::string::npos);
    CUDA_FAILS(cudaMemcpy(x + 2, host, 12, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    CUDA_FAILS(cudaMemset(x + 3, 0, 5), cudaErrorInvalidValue);
    CUDA_FAILS(cudaMemcpy(host, x, 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    CUDA_FAILS(cudaMemcpy(host, host + 4, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    CUDA_FAILS(cudaMemcpy(x, x, 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    CUDA_OK(cudaMemcpy(host, x, 16, cudaMemcpyDefault));
    CHECK(isnan(host[0]) && isnan(host[3]));
    CUDA_OK(cudaFree(x));
    CUDA_FAILS(cudaMemcpy(host, x, 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    CHECK(fake().report.find("freed device memory") != std::string::npos);
    CUDA_FAILS(cudaFree(x), cudaErrorInvalidValue);
    CHECK(fake().report.find("freed twice") != std::string::npos);
    cudaGetLastError();
}

TEST(memory_runs_out)
{
    setenv("VT_FAKE_MEMORY", "1048576", 1);
    void *p = nullptr, *q = nullptr;
    size_t left = 0, all = 0;
    CUDA_OK(cudaMalloc(&p, 1000000));
    CUDA_FAILS(cudaMalloc(&q, 100000), cudaErrorMemoryAllocation);
    CHECK(!q);
    CUDA_OK(cudaMemGetInfo(&left, &all));
    CHECK_EQ(all, 1048576);
    CHECK(left < 48576 + 1);
    CUDA_OK(cudaFree(p));
    CUDA_OK(cudaMalloc(&p, 1048576));
    CUDA_OK(cudaFree(p));
    unsetenv("VT_FAKE_MEMORY");
    cudaGetLastError();
}

TEST(devices_are_described)
{
    int n = 0;
    struct cudaDeviceProp prop;
    setenv("VT_FAKE_DEVICES", "0", 1);
    CUDA_FAILS(cudaGetDeviceCount(&n), cudaErrorNoDevice);
    CUDA_FAILS(cudaSetDevice(0), cudaErrorNoDevice);
    setenv("VT_FAKE_DEVICES", "2", 1);
    setenv("VT_FAKE_ARCH", "90", 1);
    CUDA_OK(cudaGetDeviceCount(&n));
    CHECK_EQ(n, 2);
    CUDA_OK(cudaGetDeviceProperties(&prop, 1));
    CHECK_EQ(prop.major * 10 + prop.minor, 90);
    CHECK_EQ(prop.sharedMemPerBlockOptin, 232448);
    CUDA_OK(simt_launch(dim3(1), dim3(32), 200000, nullptr, [] {}));
    setenv("VT_FAKE_ARCH", "80", 1);
    CUDA_FAILS(simt_launch(dim3(1), dim3(32), 200000, nullptr, [] {}), cudaErrorInvalidValue);
    setenv("VT_FAKE_ARCH", "120", 1); /* less than older ones */
    CUDA_FAILS(simt_launch(dim3(1), dim3(32), 101377, nullptr, [] {}), cudaErrorInvalidValue);
    CUDA_OK(simt_launch(dim3(1), dim3(32), 101376, nullptr, [] {}));
    setenv("VT_FAKE_ARCH", "80", 1);
    CUDA_FAILS(simt_launch(dim3(0), dim3(32), 0, nullptr, [] {}), cudaErrorInvalidConfiguration);
    CUDA_FAILS(simt_launch(dim3(1), dim3(2048), 0, nullptr, [] {}), cudaErrorInvalidConfiguration);
    unsetenv("VT_FAKE_DEVICES");
    cudaGetLastError();
    CUDA_OK(cudaDeviceSynchronize());
}

/* ---- faults: each in a process of its own ------------------------------------------------------------------------ */

static int ends_with(const std::function<int()> &body)
{
    fflush(nullptr);
    pid_t child = fork();
    if (child == 0) _exit(body());
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* A kernel makes `access`; 1 where the device breaks for good and the report names the kind. */
static int kernel_fault(const char *kind, const std::function<void(float *)> &access, bool freed, size_t n = N)
{
    float *x = device_floats(n);
    if (freed) CUDA_OK(cudaFree(x));
    CUDA_OK(simt_launch(dim3(1), dim3(32), 0, nullptr, [=] { access(x); }));
    bool broken = cudaDeviceSynchronize() == cudaErrorIllegalAddress && cudaGetLastError() == cudaErrorIllegalAddress;
    void *p;
    bool sticky = cudaMalloc(&p, 4) == cudaErrorIllegalAddress && cudaGetLastError() == cudaErrorIllegalAddress;
    return broken && sticky && fake().report.find(kind) != std::string::npos;
}

TEST(faults_break_the_device)
{
    auto write_at = [](int64_t at) {
        return [=](float *x) { *(volatile float *)(x + at) = 1; };
    };
    CHECK_EQ(ends_with([&] { return kernel_fault("freed device memory", write_at(0), true); }), 1);
    CHECK_EQ(ends_with([&] { return kernel_fault("just outside", write_at(N), false); }), 1);
    CHECK_EQ(ends_with([&] { return kernel_fault("just outside", write_at(-1), false); }), 1);
    CHECK_EQ(ends_with([&] { return kernel_fault("just outside", write_at(N + 900), false); }), 1);
    CHECK_EQ(ends_with([&] { return kernel_fault("just outside", write_at(N - 1), false, N - 1); }), 1);
    CHECK_EQ(ends_with([&] { return kernel_fault("just outside", [](float *) {}, false); }), 0);
    CHECK(ends_with([] { /* the host reads device memory */
        float *x = device_floats(N);
        return (int)*(volatile float *)x;
    }) != 0);
    CHECK_EQ(ends_with([] { /* a graph outlives what it copies */
        float *x = device_floats(N), *y = device_floats(N);
        cudaStream_t s = new_stream();
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
        cudaMemcpyAsync(x, y, 4, cudaMemcpyDeviceToDevice, s);
        cudaStreamEndCapture(s, &graph);
        cudaGraphInstantiate(&exec, graph, 0);
        cudaFree(y);
        cudaGraphLaunch(exec, s);
        return (int)(cudaStreamSynchronize(s) == cudaErrorIllegalAddress);
    }), 1);
    CHECK_EQ(ends_with([] { /* what is not given back is told */
        setenv("VT_FAKE_LEAKS", "fail", 1);
        device_floats(N);
        exit(0);
        return 0;
    }), 99);
}

int main(void)
{
    RUN(copies_are_checked_against_allocations);
    RUN(memory_runs_out);
    RUN(devices_are_described);
    RUN(faults_break_the_device);
    TEST_END();
}
