/* The fake device's streams, events and graphs: what is ordered comes out right with every seed, what is not shows, and
 * what cannot be captured is refused. */
#include "fake_case.h"

enum { SEEDS = 24 };

/* ---- order ------------------------------------------------------------------------------------------------------- */

TEST(a_stream_keeps_its_order)
{
    float *x = device_floats(N);
    cudaStream_t s = new_stream();
    for (int seed = 0; seed < SEEDS; seed++) {
        fake_seed((uint64_t)seed);
        CUDA_OK(cudaMemsetAsync(x, 0, N * sizeof(float), s));
        CUDA_OK(scale(x, 1, 3, s));
        CUDA_OK(scale(x, 2, 1, s));
        CUDA_OK(scale(x, 10, 0, s));
        CHECK_EQ(read_first(x, s), 70);
    }
    CUDA_OK(cudaStreamDestroy(s));
    CUDA_OK(cudaFree(x));
}

/* How many seeds see the first stream's result from the second. */
static int seen_across(bool wait)
{
    float *x = device_floats(N);
    cudaStream_t first = new_stream(), second = new_stream();
    cudaEvent_t ready = new_event();
    int seen = 0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        fake_seed((uint64_t)seed);
        CUDA_OK(cudaMemsetAsync(x, 0, N * sizeof(float), first));
        CUDA_OK(cudaDeviceSynchronize());
        CUDA_OK(scale(x, 1, 1, first));
        CUDA_OK(scale(x, 1, 1, first));
        CUDA_OK(cudaEventRecord(ready, first));
        if (wait) CUDA_OK(cudaStreamWaitEvent(second, ready, 0));
        CUDA_OK(scale(x, 10, 0, second));
        CUDA_OK(cudaDeviceSynchronize());
        seen += read_first(x, second) == 20;
    }
    CUDA_OK(cudaDeviceSynchronize());
    CUDA_OK(cudaEventDestroy(ready));
    CUDA_OK(cudaStreamDestroy(first));
    CUDA_OK(cudaStreamDestroy(second));
    CUDA_OK(cudaFree(x));
    return seen;
}

TEST(a_missing_wait_shows)
{
    CHECK_EQ(seen_across(true), SEEDS);
    int without = seen_across(false);
    CHECK_MSG(without > 0 && without < SEEDS, "%d of %d seeds", without, (int)SEEDS);
}

TEST(what_nobody_waits_for_may_not_have_run)
{
    float *x = device_floats(N), *pinned = nullptr;
    CUDA_OK(cudaMallocHost(&pinned, sizeof(float)));
    cudaStream_t s = new_stream();
    cudaEvent_t e = new_event();
    CUDA_OK(cudaMemsetAsync(x, 0, N * sizeof(float), s));
    *pinned = 5;
    CUDA_OK(cudaMemcpyAsync(pinned, x, sizeof(float), cudaMemcpyDeviceToHost, s));
    CHECK_EQ(*pinned, 5);
    CUDA_OK(cudaEventRecord(e, s));
    CUDA_FAILS(cudaEventDestroy(e), cudaErrorIllegalState);
    CUDA_FAILS(cudaStreamDestroy(s), cudaErrorIllegalState);
    int polls = 0;
    while (cudaEventQuery(e) == cudaErrorNotReady) polls++;
    CHECK(polls < 10);
    CHECK_EQ(*pinned, 0);
    CUDA_OK(cudaEventDestroy(e));
    CUDA_OK(cudaStreamDestroy(s));
    CUDA_OK(cudaFreeHost(pinned));
    CUDA_OK(cudaFree(x));
}

TEST(the_default_stream_waits_for_blocking_ones)
{
    float *x = device_floats(N);
    cudaStream_t blocking = new_stream(cudaStreamDefault), apart = new_stream();
    int early = 0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        float v = 0;
        fake_seed((uint64_t)seed);
        CUDA_OK(cudaMemset(x, 0, N * sizeof(float)));
        CUDA_OK(scale(x, 1, 7, blocking));
        CUDA_OK(cudaMemcpy(&v, x, sizeof v, cudaMemcpyDeviceToHost));
        CHECK_EQ(v, 7);
        CUDA_OK(scale(x, 1, 7, apart));
        CUDA_OK(cudaMemcpy(&v, x, sizeof v, cudaMemcpyDeviceToHost));
        early += v != 14;
        CUDA_OK(cudaDeviceSynchronize());
    }
    CHECK_MSG(early > 0, "a stream apart was waited for with every seed");
    CUDA_OK(cudaDeviceSynchronize());
    CUDA_OK(cudaStreamDestroy(blocking));
    CUDA_OK(cudaStreamDestroy(apart));
    CUDA_OK(cudaFree(x));
}

TEST(pageable_copies_read_at_the_call_pinned_ones_when_they_run)
{
    float *x = device_floats(2), *pinned = nullptr, pageable = 1, out[2];
    CUDA_OK(cudaMallocHost(&pinned, sizeof(float)));
    cudaStream_t s = new_stream();
    *pinned = 1;
    CUDA_OK(cudaMemcpyAsync(x, &pageable, sizeof(float), cudaMemcpyHostToDevice, s));
    CUDA_OK(cudaMemcpyAsync(x + 1, pinned, sizeof(float), cudaMemcpyHostToDevice, s));
    pageable = *pinned = 2;
    CUDA_OK(cudaMemcpyAsync(out, x, sizeof out, cudaMemcpyDeviceToHost, s));
    CHECK_EQ(out[0], 1);
    CHECK_EQ(out[1], 2);
    CUDA_OK(cudaStreamDestroy(s));
    CUDA_OK(cudaFreeHost(pinned));
    CUDA_OK(cudaFree(x));
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/* y = (x + 1) * 2 on one stream while z = x * 3 runs on another; then y += z. */
static void diamond(const float *x, float *y, float *z, cudaStream_t s, cudaStream_t side, cudaEvent_t fork,
                    cudaEvent_t join)
{
    size_t bytes = N * sizeof(float);
    CUDA_OK(cudaMemcpyAsync(y, x, bytes, cudaMemcpyDeviceToDevice, s));
    CUDA_OK(cudaEventRecord(fork, s));
    CUDA_OK(cudaStreamWaitEvent(side, fork, 0));
    CUDA_OK(cudaMemcpyAsync(z, y, bytes, cudaMemcpyDeviceToDevice, side));
    CUDA_OK(scale(z, 3, 0, side));
    CUDA_OK(cudaEventRecord(join, side));
    CUDA_OK(cudaStreamWaitEvent(s, join, 0));
    CUDA_OK(scale(y, 2, 2, s));
    CUDA_OK(simt_launch(dim3(1), dim3(N), 0, s, [=] { y[threadIdx.x] += z[threadIdx.x]; }));
}

TEST(replay_gives_what_direct_execution_gives)
{
    float *x = device_floats(N), *y = device_floats(N), *z = device_floats(N);
    cudaStream_t s = new_stream(), side = new_stream();
    cudaEvent_t fork = new_event(), join = new_event();
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    size_t nodes = 0;
    CUDA_OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    diamond(x, y, z, s, side, fork, join);
    CUDA_OK(cudaStreamEndCapture(s, &graph));
    CUDA_OK(cudaGraphGetNodes(graph, nullptr, &nodes));
    CHECK_EQ(nodes, 5);
    CUDA_OK(cudaGraphInstantiate(&exec, graph, 0));
    CUDA_OK(cudaGraphDestroy(graph));
    for (int seed = 1; seed <= SEEDS; seed++)
        for (float in : {1.0f, 4.0f}) {
            fake_seed((uint64_t)seed);
            std::vector<float> host(N, in);
            CUDA_OK(cudaMemcpyAsync(x, host.data(), N * sizeof(float), cudaMemcpyHostToDevice, s));
            CUDA_OK(cudaGraphLaunch(exec, s));
            float replayed = read_first(y, s);
            diamond(x, y, z, s, side, fork, join);
            CHECK_EQ(replayed, (in + 1) * 2 + in * 3);
            CHECK_EQ(replayed, read_first(y, s));
        }
    CUDA_OK(cudaGraphExecDestroy(exec));
    for (cudaEvent_t e : {fork, join}) CUDA_OK(cudaEventDestroy(e));
    for (cudaStream_t each : {s, side}) CUDA_OK(cudaStreamDestroy(each));
    for (float *p : {x, y, z}) CUDA_OK(cudaFree(p));
}

/* Captures `body`, which makes a mistake: the capture's end must tell `err`. */
static void capture_fails(cudaStream_t s, cudaError_t err, const std::function<void()> &body)
{
    cudaGraph_t graph = nullptr;
    CUDA_OK(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal));
    body();
    CUDA_FAILS(cudaStreamEndCapture(s, &graph), err);
    CHECK(!graph);
    CHECK_EQ(cudaGetLastError(), err);
    CHECK_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(captures_refuse_what_cannot_be_in_a_graph)
{
    float *x = device_floats(N), host = 0;
    cudaStream_t s = new_stream(), side = new_stream(), blocking = new_stream(cudaStreamDefault);
    cudaEvent_t e = new_event(), outside = new_event();
    CUDA_OK(cudaEventRecord(outside, side));
    const cudaError_t unsupported = cudaErrorStreamCaptureUnsupported, invalidated = cudaErrorStreamCaptureInvalidated;
    capture_fails(s, invalidated, [&] {
        void *p;
        CUDA_FAILS(cudaMalloc(&p, 4), unsupported);
        CUDA_FAILS(scale(x, 1, 1, s), invalidated);
    });
    capture_fails(s, invalidated, [&] { CUDA_FAILS(cudaFree(x), unsupported); });
    capture_fails(s, invalidated, [&] { CUDA_FAILS(cudaStreamSynchronize(s), unsupported); });
    capture_fails(s, invalidated, [&] { CUDA_FAILS(cudaDeviceSynchronize(), unsupported); });
    capture_fails(s, invalidated, [&] {
        CUDA_FAILS(cudaMemcpyAsync(x, &host, 4, cudaMemcpyHostToDevice, s), unsupported);
    });
    capture_fails(s, invalidated, [&] {
        CUDA_FAILS(cudaStreamWaitEvent(s, outside, 0), cudaErrorStreamCaptureIsolation);
    });
    capture_fails(blocking, invalidated, [&] { CUDA_FAILS(scale(x, 1, 1, nullptr), cudaErrorStreamCaptureImplicit); });
    capture_fails(s, cudaErrorStreamCaptureUnjoined, [&] {
        CUDA_OK(cudaEventRecord(e, s));
        CUDA_OK(cudaStreamWaitEvent(side, e, 0));
        CUDA_OK(scale(x, 1, 1, side));
    });
    capture_fails(s, invalidated, [&] {
        CUDA_OK(cudaEventRecord(e, s));
        CUDA_FAILS(cudaEventQuery(e), cudaErrorCapturedEvent);
    });
    capture_fails(s, invalidated, [&] { CUDA_FAILS(cudaEventQuery(outside), unsupported); });
    CUDA_FAILS(cudaStreamWaitEvent(side, e, 0), cudaErrorCapturedEvent);
    cudaGetLastError();
    CUDA_OK(cudaDeviceSynchronize());
    for (cudaEvent_t each : {e, outside}) CUDA_OK(cudaEventDestroy(each));
    for (cudaStream_t each : {s, side, blocking}) CUDA_OK(cudaStreamDestroy(each));
    CUDA_OK(cudaFree(x));
}

int main(void)
{
    RUN(a_stream_keeps_its_order);
    RUN(a_missing_wait_shows);
    RUN(what_nobody_waits_for_may_not_have_run);
    RUN(the_default_stream_waits_for_blocking_ones);
    RUN(pageable_copies_read_at_the_call_pinned_ones_when_they_run);
    RUN(replay_gives_what_direct_execution_gives);
    RUN(captures_refuse_what_cannot_be_in_a_graph);
    TEST_END();
}
