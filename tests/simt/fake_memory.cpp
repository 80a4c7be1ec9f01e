/* fake_memory.cpp - device memory between guard pages, pinned host memory, and copies that are checked. */
#include "fake.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGN = 256, POISON = 0xFF, CANARY = 0xA5, FREED_KEPT = 256, LARGE = 1 << 20, LOCK_LARGE_EVERY = 16 };

static uintptr_t address(const void *p)
{
    return (uintptr_t)p;
}

static size_t up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* The range that p lies in, or one past it where `end`. */
static const fake_range *find(const fake_ranges &ranges, const void *p, uintptr_t *start)
{
    auto it = ranges.upper_bound(address(p));
    if (it == ranges.begin()) return nullptr;
    --it;
    if (start) *start = it->first;
    return address(p) < it->first + it->second.bytes ? &it->second : nullptr;
}

bool fake_memory_is_device(const void *p)
{
    return find(fake().device, p, nullptr) || find(fake().freed, p, nullptr);
}

bool fake_memory_is_pinned(const void *p, size_t bytes)
{
    uintptr_t start;
    const fake_range *r = find(fake().pinned, p, &start);
    return r && address(p) + bytes <= start + r->bytes;
}

bool fake_memory_holds(const void *p, size_t bytes, std::string *why)
{
    uintptr_t start;
    const fake_range *r = find(fake().device, p, &start);
    if (!r) {
        *why = fake_text("%p is %s", p, find(fake().freed, p, nullptr) ? "freed device memory" : "no device memory");
        return false;
    }
    size_t left = start + r->bytes - address(p);
    if (bytes <= left) return true;
    *why = fake_text("%zu bytes at %p, where an allocation of %zu bytes has %zu left", bytes, p, r->bytes, left);
    return false;
}

/* The pages on which the allocation lies, without the guards. */
static void protect(fake_range *r, int rights)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    mprotect((char *)r->mapped + page, r->mapped_bytes - 2 * page, rights);
    r->locked = rights == PROT_NONE;
}

void fake_memory_unlock(bool open)
{
    static unsigned closed;
    if (fake().unlocked == open) return;
    fake().unlocked = open;
    bool all = !open && ++closed % LOCK_LARGE_EVERY == 0; /* some milliseconds for 32 MiB */
    for (auto &r : fake().device) {
        if (open && r.second.locked) protect(&r.second, PROT_READ | PROT_WRITE);
        if (!open && (all || r.second.bytes < LARGE)) protect(&r.second, PROT_NONE);
    }
}

/* The bytes of a page before and behind an allocation that no guard page covers. */
static bool around(uintptr_t start, const fake_range &r, bool set)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *p = (unsigned char *)start, *low = (unsigned char *)r.mapped + page;
    unsigned char *high = (unsigned char *)r.mapped + r.mapped_bytes - page;
    if (set) {
        memset(low, CANARY, (size_t)(p - low));
        memset(p + r.bytes, CANARY, (size_t)(high - (p + r.bytes)));
        return true;
    }
    for (; low < p; low++)
        if (*low != CANARY) return false;
    for (p += r.bytes; p < high; p++)
        if (*p != CANARY) return false;
    return true;
}

bool fake_memory_intact(std::string *why)
{
    for (auto &r : fake().device)
        if (!around(r.first, r.second, false)) {
            *why = fake_text("a write just outside an allocation of %zu bytes at %p", r.second.bytes, (void *)r.first);
            return false;
        }
    return true;
}

/* ---- allocation -------------------------------------------------------------------------------------------------- */

static cudaError_t take(void **p, size_t bytes)
{
    fake_state &f = fake();
    if (!p) return cudaErrorInvalidValue;
    *p = nullptr;
    if (bytes == 0) return cudaSuccess;
    fake_fault_watch();
    size_t total = fake_env("VT_FAKE_MEMORY", (size_t)8 << 30), used = f.used[fake_current()];
    if (bytes > total || up(bytes, ALIGN) > total - used) return cudaErrorMemoryAllocation;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), all = up(bytes, page) + 2 * page;
    void *mapped = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return cudaErrorMemoryAllocation;
    fake_range r = {bytes, fake_current(), mapped, all, false, true};
    uintptr_t start = address(mapped) + all - page - up(bytes, ALIGN); /* its end close to the guard */
    protect(&r, PROT_READ | PROT_WRITE);
    memset((void *)start, POISON, bytes);
    around(start, r, true);
    if (!f.unlocked) protect(&r, PROT_NONE);
    f.device[start] = r;
    f.used[fake_current()] += up(bytes, ALIGN);
    f.asked += bytes;
    f.most_asked = std::max(f.most_asked, f.asked);
    *p = (void *)start;
    return cudaSuccess;
}

static void forget_one_freed()
{
    fake_state &f = fake();
    if (f.freed.size() < FREED_KEPT) return;
    auto victim = f.freed.begin();
    munmap(victim->second.mapped, victim->second.mapped_bytes);
    f.freed.erase(victim);
}

static cudaError_t give_back(void *p)
{
    fake_state &f = fake();
    if (!p) return cudaSuccess;
    auto it = f.device.find(address(p));
    if (it == f.device.end()) {
        const char *what = f.freed.count(address(p)) ? "freed twice" : "no allocation of device memory";
        return fake_misuse(cudaErrorInvalidValue, "cudaFree(%p): %s", p, what);
    }
    fake_drain(); /* as the runtime does */
    if (f.broken != cudaSuccess) return f.broken;
    fake_range r = it->second;
    forget_one_freed();
    madvise(r.mapped, r.mapped_bytes, MADV_DONTNEED);
    protect(&r, PROT_NONE); /* stronger than poison: any access stops the program */
    f.used[r.device] -= up(r.bytes, ALIGN);
    f.asked -= r.bytes;
    f.device.erase(it);
    f.freed[address(p)] = r;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    return fake_call("cudaMalloc", FAKE_UNSAFE, [=] { return take(p, bytes); });
}

cudaError_t cudaFree(void *p)
{
    return fake_call("cudaFree", FAKE_UNSAFE, [=] { return give_back(p); });
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    return fake_call("cudaMemGetInfo", FAKE_SAFE, [=] {
        if (!available || !total) return cudaErrorInvalidValue;
        *total = fake_env("VT_FAKE_MEMORY", (size_t)8 << 30);
        *available = *total - fake().used[fake_current()];
        return cudaSuccess;
    });
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned)
{
    return fake_call("cudaHostAlloc", FAKE_UNSAFE, [=] {
        if (!p) return cudaErrorInvalidValue;
        *p = nullptr;
        if (bytes == 0) return cudaSuccess;
        void *got = aligned_alloc(4096, up(bytes, 4096));
        if (!got) return cudaErrorMemoryAllocation;
        memset(got, POISON, bytes);
        fake().pinned[address(got)] = {bytes, fake_current(), nullptr, 0, false, false};
        *p = got;
        return cudaSuccess;
    });
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    return cudaHostAlloc(p, bytes, 0);
}

/* Forgets a range of host memory that copies under way may still use. */
static cudaError_t unpin(void *p, bool registered, const char *call, cudaError_t unknown)
{
    auto it = fake().pinned.find(address(p));
    if (it == fake().pinned.end() || it->second.registered != registered)
        return fake_misuse(unknown, "%s(%p): not pinned so, or twice", call, p);
    fake_drain();
    fake().pinned.erase(it);
    return fake().broken;
}

cudaError_t cudaFreeHost(void *p)
{
    return fake_call("cudaFreeHost", FAKE_UNSAFE, [=] {
        if (!p) return cudaSuccess;
        cudaError_t err = unpin(p, false, "cudaFreeHost", cudaErrorInvalidValue);
        if (err == cudaSuccess) free(p);
        return err;
    });
}

cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned)
{
    return fake_call("cudaHostRegister", FAKE_UNSAFE, [=] {
        if (!p || bytes == 0) return cudaErrorInvalidValue;
        auto after = fake().pinned.lower_bound(address(p));
        if (find(fake().pinned, p, nullptr) ||
            (after != fake().pinned.end() && after->first < address(p) + bytes))
            return cudaErrorHostMemoryAlreadyRegistered;
        fake().pinned[address(p)] = {bytes, fake_current(), nullptr, 0, true, false};
        return cudaSuccess;
    });
}

cudaError_t cudaHostUnregister(void *p)
{
    return fake_call("cudaHostUnregister", FAKE_UNSAFE,
                     [=] { return unpin(p, true, "cudaHostUnregister", cudaErrorHostMemoryNotRegistered); });
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

typedef struct copy_side {
    const void *p;
    bool device;
    const char *word;
} copy_side;

static cudaError_t check_side(const char *call, copy_side side, size_t bytes)
{
    std::string why;
    if (side.device) {
        if (!fake_memory_holds(side.p, bytes, &why))
            return fake_misuse(cudaErrorInvalidValue, "%s, %s: %s", call, side.word, why.c_str());
    } else if (fake_memory_is_device(side.p)) {
        return fake_misuse(cudaErrorInvalidValue, "%s, %s: %p is device memory, the kind says host", call, side.word,
                           side.p);
    }
    return cudaSuccess;
}

static cudaError_t check_copy(const char *call, copy_side *to, copy_side *from, size_t bytes, cudaMemcpyKind kind)
{
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
    if (!to->p || !from->p) return cudaErrorInvalidValue;
    bool guess = kind == cudaMemcpyDefault;
    to->device = guess ? fake_memory_is_device(to->p)
                       : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    from->device = guess ? fake_memory_is_device(from->p)
                         : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    cudaError_t err = check_side(call, *to, bytes);
    return err != cudaSuccess ? err : check_side(call, *from, bytes);
}

static fake_body copy_body(copy_side to, copy_side from, size_t bytes, bool snapshot)
{
    std::vector<char> kept;
    if (snapshot) kept.assign((const char *)from.p, (const char *)from.p + bytes);
    return [=](std::string *report) {
        for (const copy_side &side : {to, from})
            if (side.device && !fake_memory_holds(side.p, bytes, report)) return false;
        memmove((void *)to.p, snapshot ? kept.data() : from.p, bytes);
        return true;
    };
}

static cudaError_t copy(const char *call, void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                        cudaStream_t stream, bool wait)
{
    copy_side target = {to, false, "to"}, source = {from, false, "from"};
    if (bytes == 0) return cudaSuccess;
    CUstream_st *s = fake_stream(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    cudaError_t err = check_copy(call, &target, &source, bytes, kind);
    if (err != cudaSuccess) return err;
    bool pageable_to = !target.device && !fake_memory_is_pinned(to, bytes);
    bool pageable_from = !source.device && !fake_memory_is_pinned(from, bytes);
    if (s->capture && (pageable_to || pageable_from)) {
        s->capture->invalid = true;
        return fake_misuse(cudaErrorStreamCaptureUnsupported, "%s of pageable memory while capturing", call);
    }
    fake_ref queued;
    err = fake_enqueue(s, call, 1 + (double)bytes * 1e-6, copy_body(target, source, bytes, pageable_from), &queued);
    if (err != cudaSuccess) return err;
    if (queued && (pageable_to || (wait && !(target.device && source.device)))) fake_run(queued);
    return fake().broken;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    return fake_call("cudaMemcpy", FAKE_UNSAFE,
                     [=] { return copy("cudaMemcpy", to, from, bytes, kind, nullptr, true); });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    return fake_call("cudaMemcpyAsync", FAKE_SAFE,
                     [=] { return copy("cudaMemcpyAsync", to, from, bytes, kind, stream, false); });
}

static cudaError_t fill(const char *call, void *p, int value, size_t bytes, cudaStream_t stream)
{
    if (bytes == 0) return cudaSuccess;
    CUstream_st *s = fake_stream(stream);
    if (!s) return cudaErrorInvalidResourceHandle;
    cudaError_t err = check_side(call, {p, true, "at"}, bytes);
    if (err != cudaSuccess) return err;
    return fake_enqueue(s, call, 1 + (double)bytes * 1e-6, [=](std::string *report) {
        if (!fake_memory_holds(p, bytes, report)) return false;
        memset(p, value, bytes);
        return true;
    });
}

cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
    return fake_call("cudaMemset", FAKE_UNSAFE, [=] { return fill("cudaMemset", p, value, bytes, nullptr); });
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    return fake_call("cudaMemsetAsync", FAKE_SAFE,
                     [=] { return fill("cudaMemsetAsync", p, value, bytes, stream); });
}
