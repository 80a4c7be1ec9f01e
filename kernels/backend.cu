/* backend.cu - the CUDA backend: device memory, uploads into the ring, and a step recorded as one CUDA graph.
 *
 * Two streams: `stream` runs kernels, `copies` uploads. A slot's upload waits for the last run that read the slot; a
 * run waits for its upload. So step k + 1's batch travels while step k computes. */
#include "cuda.cuh"
#include "gemm.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include "base/alloc.h"
#include "base/pool.h"
}

#define VT_OP(name, fast) extern "C" const vt_cuda_op vt_cuda_op_##name;
#include "ops/ops.def"
#undef VT_OP

static const vt_cuda_op *const bodies[] = {
#define VT_OP(name, fast) &vt_cuda_op_##name,
#include "ops/ops.def"
#undef VT_OP
};

static const vt_cuda_op *op_of(const vt_node *n)
{
    return bodies[vt_op_index(n->op)];
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void keep_failure(vt_cuda *c, const char *what, const char *reason)
{
    if (c->status) return;
    c->status = VT_FAILED;
    snprintf(c->failure, sizeof c->failure, "%s: %s", what, reason);
}

extern "C" void vt_cuda_fail(const vt_run *r, const char *call, const char *reason)
{
    char what[192];
    snprintf(what, sizeof what, "op %s (%s): %s", r->node->name, r->node->op->name, call);
    keep_failure(vt_cuda_of(r), what, reason);
}

/* For calls outside a node. */
static void check(vt_cuda *c, cudaError_t err, const char *call)
{
    if (err != cudaSuccess) keep_failure(c, call, cudaGetErrorString(err));
}

static vt_status told(vt_cuda *c)
{
    vt_status st = c->status;
    c->status = VT_OK;
    return st ? vt_fail(st, "--device cuda: %s", c->failure) : VT_OK;
}

/* ---- the device -------------------------------------------------------------------------------------------------- */

/* Drivers before 12.3 cannot load a kernel while a stream is captured, which is when a step's kernels are first
 * started: those load all of them at once. Asked before the driver starts, which is when it reads the variable. */
static void load_kernels_early(void)
{
    int driver = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver < 12030) setenv("CUDA_MODULE_LOADING", "EAGER", 0);
}

static vt_status cuda_answers(void)
{
    int n = 0;
    load_kernels_early();
    cudaError_t err = cudaGetDeviceCount(&n);
    if (err != cudaSuccess) return vt_fail(VT_INVALID, "--device cuda: %s; use --device cpu", cudaGetErrorString(err));
    return n ? VT_OK : vt_fail(VT_INVALID, "--device cuda: there is no CUDA device; use --device cpu");
}

static vt_status set_precision(vt_device *d, vt_cuda *c, const vt_device_options *o)
{
    const char *precision = o->precision ? o->precision : "fp32", *residual = o->residual ? o->residual : "fp32";
    bool half = strcmp(precision, "bf16") == 0, half_stream = strcmp(residual, "bf16") == 0;
    c->tf32 = strcmp(precision, "tf32") == 0;
    if (half_stream && !half) return vt_fail(VT_INVALID, "--residual bf16: only beside --precision bf16");
    d->precision.act = half ? VT_BF16 : VT_F32;
    d->precision.stream = half_stream ? VT_BF16 : VT_F32;
    d->path = half ? (half_stream ? "bf16, residual bf16" : "bf16") : c->tf32 ? "tf32" : "fp32";
    return VT_OK;
}

/* A variable that asks for one of the ways "one|other…", for timing them on one GPU: *to is its first letter. */
static vt_status read_way(const char *variable, const char *ways, char *to)
{
    const char *asked = getenv(variable);
    if (!asked || !*asked) return VT_OK;
    for (const char *way = ways; *way; way += strcspn(way, "|"), way += *way == '|')
        if (strlen(asked) == strcspn(way, "|") && strncmp(asked, way, strlen(asked)) == 0) {
            *to = *asked;
            return VT_OK;
        }
    return vt_fail(VT_INVALID, "%s=%.40s: wants %s; unset it for the default", variable, asked, ways);
}

static vt_status set_device(vt_device *d, vt_cuda *c)
{
    struct cudaDeviceProp about;
    check(c, cudaSetDevice(c->ordinal), "cudaSetDevice");
    check(c, cudaGetDeviceProperties(&about, c->ordinal), "cudaGetDeviceProperties");
    if (c->status) return told(c);
    c->arch = about.major * 10 + about.minor;
    c->sms = about.multiProcessorCount;
    c->smem_block = about.sharedMemPerBlockOptin;
    if (c->arch < 80)
        return vt_fail(VT_INVALID, "--device cuda: %s has compute capability %d.%d, 8.0 is the least; use --device cpu",
                       about.name, about.major, about.minor);
    snprintf(d->about, sizeof d->about, "cuda (%.80s, %s)", about.name, d->path);
    d->threads = vt_pool_default_threads();
    d->cache_bytes = (size_t)about.l2CacheSize;
    check(c, cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "cudaStreamCreate");
    check(c, cudaStreamCreateWithFlags(&c->copies, cudaStreamNonBlocking), "cudaStreamCreate");
    check(c, cudaEventCreateWithFlags(&c->copied, cudaEventDisableTiming), "cudaEventCreate");
    for (int i = 0; i < VT_RING; i++)
        check(c, cudaEventCreateWithFlags(&c->used[i], cudaEventDisableTiming), "cudaEventCreate");
    if (cublasLtCreate(&c->blas) != CUBLAS_STATUS_SUCCESS) keep_failure(c, "cublasLtCreate", "failed");
    size_t left = 0;
    if (!c->status) check(c, cudaMemGetInfo(&left, &d->memory_bytes), "cudaMemGetInfo");
    d->taken_bytes = d->memory_bytes - left;
    vt_gemm_open(c, about.name);
    return c->gemms ? told(c) : vt_fail_memory("GEMM algorithms");
}

static void cuda_close(vt_device *d)
{
    vt_cuda *c = vt_cuda_of(d);
    if (!c) return;
    if (c->stream) cudaStreamSynchronize(c->stream);
    vt_gemm_close(c);
    if (c->blas) cublasLtDestroy(c->blas);
    for (int i = 0; i < VT_RING; i++)
        if (c->used[i]) cudaEventDestroy(c->used[i]);
    if (c->copied) cudaEventDestroy(c->copied);
    if (c->copies) cudaStreamDestroy(c->copies);
    if (c->stream) cudaStreamDestroy(c->stream);
    vt_free(c);
    d->state = NULL;
}

static vt_status cuda_open(vt_device *d, const vt_device_options *o)
{
    vt_status st = cuda_answers();
    if (st) return st;
    vt_cuda *c = (vt_cuda *)vt_alloc(sizeof *c);
    if (!c) return vt_fail_memory("device");
    d->state = c;
    st = set_precision(d, c, o);
    if (st == VT_OK) st = read_way("VT_ATTENTION", "whole|stream|mma|plain", &c->attention);
    if (st == VT_OK) st = read_way("VT_ATTENTION_BACKWARD", "a|b", &c->attention_backward);
    if (st == VT_OK) st = read_way("VT_GEMM_ACTIVATION", "fused|apart", &c->gemm_activation);
    if (st == VT_OK) st = set_device(d, c);
    if (st) cuda_close(d);
    return st;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static vt_status cuda_alloc(vt_device *d, size_t bytes, void **data)
{
    vt_cuda *c = vt_cuda_of(d);
    cudaError_t err = cudaMalloc(data, bytes ? bytes : 1);
    if (err == cudaErrorMemoryAllocation) {
        size_t left = 0, all = 0;
        cudaGetLastError(); /* it is told here; later calls start clean */
        cudaMemGetInfo(&left, &all);
        return vt_fail(VT_NO_MEMORY, "out of device memory: %.1f MiB wanted, %.1f MiB of %.1f are free; lower "
                       "--batch-size (vitc plan --device cuda tells what fits)", (double)bytes / 1048576,
                       (double)left / 1048576, (double)all / 1048576);
    }
    check(c, err, "cudaMalloc");
    if (err == cudaSuccess) {
        check(c, cudaMemsetAsync(*data, 0, bytes ? bytes : 1, c->stream), "cudaMemset");
        check(c, cudaStreamSynchronize(c->stream), "cudaStreamSynchronize");
    }
    return told(c);
}

static void cuda_free(vt_device *d, void *data)
{
    vt_cuda *c = vt_cuda_of(d);
    cudaStreamSynchronize(c->copies);
    cudaStreamSynchronize(c->stream);
    check(c, cudaFree(data), "cudaFree");
}

/* Both wait for what the kernels still do. */
static void cuda_write(vt_device *d, void *data, const void *host, size_t bytes)
{
    vt_cuda *c = vt_cuda_of(d);
    check(c, cudaMemcpyAsync(data, host, bytes, cudaMemcpyHostToDevice, c->stream), "cudaMemcpy");
    check(c, cudaStreamSynchronize(c->stream), "cudaStreamSynchronize");
}

static void cuda_read(vt_device *d, const void *data, void *host, size_t bytes)
{
    vt_cuda *c = vt_cuda_of(d);
    check(c, cudaMemcpyAsync(host, data, bytes, cudaMemcpyDeviceToHost, c->stream), "cudaMemcpy");
    check(c, cudaStreamSynchronize(c->stream), "cudaStreamSynchronize");
}

/* ---- bodies ------------------------------------------------------------------------------------------------------ */

static vt_body cuda_body(const vt_device *d, const vt_node *n)
{
    return op_of(n)->body;
}

static size_t cuda_scratch(const vt_device *d, const vt_node *n)
{
    const vt_cuda_op *op = op_of(n);
    return op->scratch ? op->scratch(d, n) : 0;
}

static size_t cuda_room(const vt_device *d, const vt_graph *g)
{
    size_t most = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const vt_cuda_op *op = op_of(g->nodes[i]);
        size_t bytes = op->room ? op->room(d, g->nodes[i]) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static vt_status cuda_prepare(vt_device *d, const vt_graph *g, const vt_room *room)
{
    vt_cuda *c = vt_cuda_of(d);
    vt_status st = VT_OK;
    for (int i = 0; st == VT_OK && i < g->n_nodes; i++) {
        const vt_cuda_op *op = op_of(g->nodes[i]);
        if (op->prepare) st = op->prepare(d, g->nodes[i], room);
    }
    check(c, cudaStreamSynchronize(c->stream), "preparation");
    if (st == VT_OK) st = told(c);
    if (st == VT_OK) vt_gemm_save(c);
    return st;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static vt_status cuda_begin(vt_device *d, int slot, const vt_copy *uploads, int n)
{
    vt_cuda *c = vt_cuda_of(d);
    check(c, cudaStreamWaitEvent(c->copies, c->used[slot], 0), "cudaStreamWaitEvent");
    for (int i = 0; i < n; i++)
        check(c, cudaMemcpyAsync(uploads[i].to, uploads[i].from, uploads[i].bytes, cudaMemcpyHostToDevice, c->copies),
              "upload");
    check(c, cudaEventRecord(c->copied, c->copies), "cudaEventRecord");
    check(c, cudaStreamWaitEvent(c->stream, c->copied, 0), "cudaStreamWaitEvent");
    return told(c);
}

static vt_status cuda_record(vt_device *d, void (*nodes)(void *arg), void *arg, void **recording)
{
    vt_cuda *c = vt_cuda_of(d);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    check(c, cudaStreamBeginCapture(c->stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    if (!c->status) {
        nodes(arg);
        check(c, cudaStreamEndCapture(c->stream, &graph), "cudaStreamEndCapture");
    }
    if (!c->status) check(c, cudaGraphInstantiate(&ready, graph, 0), "cudaGraphInstantiate");
    if (graph) cudaGraphDestroy(graph);
    *recording = ready;
    return told(c);
}

static vt_status cuda_run(vt_device *d, int slot, void *recording, const vt_copy *results, int n)
{
    vt_cuda *c = vt_cuda_of(d);
    check(c, cudaGraphLaunch((cudaGraphExec_t)recording, c->stream), "cudaGraphLaunch");
    for (int i = 0; i < n; i++)
        check(c, cudaMemcpyAsync(results[i].to, results[i].from, results[i].bytes, cudaMemcpyDeviceToHost, c->stream),
              "results");
    check(c, cudaEventRecord(c->used[slot], c->stream), "cudaEventRecord");
    return told(c);
}

static vt_status cuda_wait(vt_device *d, int slot)
{
    vt_cuda *c = vt_cuda_of(d);
    check(c, cudaEventSynchronize(c->used[slot]), "kernels");
    return told(c);
}

static vt_status cuda_pin(vt_device *d, size_t bytes, void **host)
{
    vt_cuda *c = vt_cuda_of(d);
    check(c, cudaMallocHost(host, bytes), "cudaMallocHost");
    return told(c);
}

static void cuda_unpin(vt_device *d, void *host)
{
    cudaStreamSynchronize(vt_cuda_of(d)->copies);
    cudaStreamSynchronize(vt_cuda_of(d)->stream);
    cudaFreeHost(host);
}

static void cuda_discard(vt_device *d, void *recording)
{
    vt_cuda *c = vt_cuda_of(d);
    cudaStreamSynchronize(c->stream);
    check(c, cudaGraphExecDestroy((cudaGraphExec_t)recording), "cudaGraphExecDestroy");
}

static vt_status cuda_finish(vt_device *d)
{
    vt_cuda *c = vt_cuda_of(d);
    check(c, cudaStreamSynchronize(c->copies), "upload");
    check(c, cudaStreamSynchronize(c->stream), "kernels");
    return told(c);
}

/* Queues n pieces of work, an event before the first and behind each: none waits for the host. Adds to seconds [n]. */
static vt_status time_pieces(vt_device *d, void (*queue)(void *arg, int i), void *arg, int n, double *seconds)
{
    vt_cuda *c = vt_cuda_of(d);
    cudaEvent_t *events = (cudaEvent_t *)vt_alloc(((size_t)n + 1) * sizeof(cudaEvent_t));
    if (!events) return vt_fail_memory("events");
    for (int i = 0; i <= n; i++) check(c, cudaEventCreate(&events[i]), "cudaEventCreate");
    check(c, cudaEventRecord(events[0], c->stream), "cudaEventRecord");
    for (int i = 0; i < n && !c->status; i++) {
        queue(arg, i);
        check(c, cudaEventRecord(events[i + 1], c->stream), "cudaEventRecord");
    }
    check(c, cudaStreamSynchronize(c->stream), "kernels");
    for (int i = 0; i < n && !c->status; i++) {
        float ms = 0;
        check(c, cudaEventElapsedTime(&ms, events[i], events[i + 1]), "cudaEventElapsedTime");
        seconds[i] += 1e-3 * ms;
    }
    for (int i = 0; i <= n; i++)
        if (events[i]) cudaEventDestroy(events[i]);
    vt_free(events);
    return told(c);
}

typedef struct launches {
    vt_cuda *c;
    cudaGraphExec_t graph;
} launches;

static void launch_graph(void *arg, int i)
{
    const launches *l = (const launches *)arg;
    check(l->c, cudaGraphLaunch(l->graph, l->c->stream), "cudaGraphLaunch");
}

static vt_status cuda_time(vt_device *d, void *recording, int runs, double *seconds)
{
    launches l = {vt_cuda_of(d), (cudaGraphExec_t)recording};
    memset(seconds, 0, (size_t)runs * sizeof *seconds);
    launch_graph(&l, 0);
    return time_pieces(d, launch_graph, &l, runs, seconds);
}

extern "C" const vt_backend vt_cuda_backend = {"cuda",     cuda_answers, cuda_open,   cuda_close,   cuda_alloc,
                                               cuda_free,  cuda_write,   cuda_read,   cuda_body,    cuda_scratch,
                                               cuda_room,  cuda_prepare, cuda_begin,  cuda_record,  cuda_run,
                                               cuda_wait,  cuda_pin,     cuda_unpin,  cuda_discard, cuda_finish,
                                               cuda_time,  time_pieces,  vt_gemm_choices, vt_gemm_adopt};
