/* fake_device.cpp - devices, errors, and the door through which every call of the fake runtime goes. */
#include "fake.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

static thread_local int current_device;
static thread_local cudaError_t last_error;

size_t fake_env(const char *name, size_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? (size_t)strtoull(text, nullptr, 10) : otherwise;
}

static size_t leaks(std::string *list)
{
    fake_state &f = fake();
    size_t pinned = 0;
    for (auto &r : f.pinned) pinned += !r.second.registered;
    for (auto &r : f.device) *list += fake_text("  %zu bytes of device memory\n", r.second.bytes);
    const struct { const char *what; size_t n; } kinds[] = {
        {"blocks of pinned memory", pinned}, {"registered host ranges", f.pinned.size() - pinned},
        {"streams", f.streams.size()}, {"events", f.events.size()},
        {"graphs", f.graphs.size()}, {"executable graphs", f.execs.size()}};
    size_t n = f.device.size();
    for (auto &k : kinds) {
        if (k.n) *list += fake_text("  %zu %s\n", k.n, k.what);
        n += k.n;
    }
    return n;
}

static void at_exit()
{
    const char *wish = getenv("VT_FAKE_LEAKS");
    std::string list;
    if (getenv("VT_FAKE_REPORT"))
        fprintf(stderr, "fake device: at most %zu bytes in use, algorithms asked for %zu times\n", fake().most_asked,
                fake().heuristics);
    if (!wish || fake().broken != cudaSuccess || !leaks(&list)) return;
    fprintf(stderr, "fake device: not given back at exit:\n%s", list.c_str());
    fflush(nullptr);
    if (!strcmp(wish, "fail")) _exit(99);
}

fake_state &fake()
{
    static fake_state *state = [] { /* outlives every static destructor that might still call */
        fake_state *made = new fake_state;
        size_t seed = fake_env("SIMT_SEED", 1);
        made->random.seed(seed);
        made->shuffled = seed != 0;
        atexit(at_exit);
        return made;
    }();
    return *state;
}

void fake_seed(uint64_t seed)
{
    fake().random.seed(seed);
    fake().shuffled = seed != 0;
    fake().priority.clear();
}

/* ---- reports ----------------------------------------------------------------------------------------------------- */

static std::string text_of(const char *format, va_list args)
{
    char buf[1024];
    vsnprintf(buf, sizeof buf, format, args);
    return buf;
}

std::string fake_text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    std::string text = text_of(format, args);
    va_end(args);
    return text;
}

cudaError_t fake_misuse(cudaError_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fake().report = text_of(format, args);
    va_end(args);
    fprintf(stderr, "fake device: %s\n", fake().report.c_str());
    return err;
}

/* ---- the door ---------------------------------------------------------------------------------------------------- */

int fake_current()
{
    return current_device;
}

int fake_arch()
{
    return (int)fake_env("VT_FAKE_ARCH", 80);
}

size_t fake_smem_limit()
{
    int arch = fake_arch();
    bool large = arch == 80 || arch == 87, largest = arch >= 90 && arch < 120;
    return (largest ? 227 : large ? 163 : 99) * 1024;
}

static int device_count()
{
    return (int)fake_env("VT_FAKE_DEVICES", 1);
}

/* As the runtime has it: a call that waits or allocates would put something outside the graph that a capture records,
 * so it fails and spoils the capture. */
static cudaError_t forbidden_by_capture(const char *call, fake_kind kind)
{
    cudaError_t err = cudaSuccess;
    for (auto &c : fake().captures) {
        bool own = c->thread == std::this_thread::get_id();
        if (kind == FAKE_UNSAFE && c->mode == cudaStreamCaptureModeRelaxed) continue;
        if (kind == FAKE_UNSAFE && c->mode == cudaStreamCaptureModeThreadLocal && !own) continue;
        c->invalid = true;
        err = fake_misuse(cudaErrorStreamCaptureUnsupported, "%s while a stream captures", call);
    }
    return err;
}

cudaError_t fake_open(const char *call, fake_kind kind)
{
    if (device_count() == 0) return cudaErrorNoDevice;
    if (fake().broken != cudaSuccess) return fake().broken;
    return kind == FAKE_SAFE ? cudaSuccess : forbidden_by_capture(call, kind);
}

cudaError_t fake_close(cudaError_t err)
{
    if (err != cudaSuccess) last_error = err;
    return err;
}

cudaError_t cudaGetLastError(void)
{
    std::lock_guard<std::recursive_mutex> hold(fake().lock);
    cudaError_t err = fake().broken != cudaSuccess ? fake().broken : last_error;
    last_error = cudaSuccess;
    return err;
}

cudaError_t cudaPeekAtLastError(void)
{
    std::lock_guard<std::recursive_mutex> hold(fake().lock);
    return fake().broken != cudaSuccess ? fake().broken : last_error;
}

static const struct { cudaError_t error; const char *name, *text; } ERRORS[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidDevicePointer, "cudaErrorInvalidDevicePointer", "invalid device pointer"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched", "capture was not ended in the same stream"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

const char *cudaGetErrorName(cudaError_t error)
{
    for (auto &e : ERRORS)
        if (e.error == error) return e.name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (auto &e : ERRORS)
        if (e.error == error) return e.text;
    return "unrecognized error code";
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count)
{
    if (!count) return fake_close(cudaErrorInvalidValue);
    *count = device_count();
    return fake_close(*count ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    return fake_call("cudaSetDevice", FAKE_SAFE, [=] {
        if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
        current_device = device;
        return cudaSuccess;
    });
}

cudaError_t cudaGetDevice(int *device)
{
    return fake_call("cudaGetDevice", FAKE_SAFE, [=] {
        if (!device) return cudaErrorInvalidValue;
        *device = current_device;
        return cudaSuccess;
    });
}

static void describe(struct cudaDeviceProp *p)
{
    bool hopper = fake_arch() >= 90;
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "simulated sm_%d", fake_arch());
    p->major = fake_arch() / 10;
    p->minor = fake_arch() % 10;
    p->multiProcessorCount = (int)fake_env("VT_FAKE_SMS", 5); /* few: persistent kernels start a block for each */
    p->totalGlobalMem = fake_env("VT_FAKE_MEMORY", (size_t)8 << 30);
    p->sharedMemPerBlock = 48 * 1024;
    p->sharedMemPerBlockOptin = fake_smem_limit();
    p->l2CacheSize = (hopper ? 50 : 40) << 20;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    return fake_call("cudaGetDeviceProperties", FAKE_SAFE, [=] {
        if (!prop) return cudaErrorInvalidValue;
        if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
        describe(prop);
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    return fake_call("cudaDeviceGetAttribute", FAKE_SAFE, [=] {
        if (!value) return cudaErrorInvalidValue;
        if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
        struct cudaDeviceProp p;
        describe(&p);
        switch (attr) {
        case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
        case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; break;
        case cudaDevAttrWarpSize: *value = p.warpSize; break;
        case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
        case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
        case cudaDevAttrUnifiedAddressing: *value = 1; break;
        case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
        case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)p.sharedMemPerBlockOptin; break;
        default: return cudaErrorInvalidValue;
        }
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    return fake_call("cudaDeviceGetStreamPriorityRange", FAKE_SAFE, [=] {
        if (least) *least = 0;
        if (greatest) *greatest = -5;
        return cudaSuccess;
    });
}

cudaError_t cudaDriverGetVersion(int *version)
{
    if (!version) return fake_close(cudaErrorInvalidValue);
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    return cudaDriverGetVersion(version);
}

cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr, int value)
{
    return fake_call("cudaFuncSetAttribute", FAKE_SAFE, [=] {
        if (!func) return cudaErrorInvalidDeviceFunction;
        if (attr == cudaFuncAttributeMaxDynamicSharedMemorySize && (value < 0 || (size_t)value > fake_smem_limit()))
            return cudaErrorInvalidValue;
        return cudaSuccess;
    });
}
