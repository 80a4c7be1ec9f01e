/* smem.cpp - a block's shared memory: regions between red zones, and where each would lie on the device. */
#include "engine.h"

#include <simt_hopper.h>

#include <stdio.h>
#include <stdlib.h>

#include "sanitizers.h"

enum {
    PERIOD = 1024,              /* pointers agree with the device's addresses modulo this: swizzles are the device's */
    MAX_TAKES = 64,
    CAPACITY = 227 * 1024 + (MAX_TAKES + 2) * 2 * PERIOD,
    UNWRITTEN = 0xFF,
    ZONE = 0xA5,
};

struct region {
    unsigned char *at;
    size_t bytes, align;
    uint32_t address;           /* on the device */
};

static struct {
    unsigned char *base;        /* CAPACITY bytes, a red zone first */
    size_t limit;
    region takes[MAX_TAKES];
    int count;
    uint32_t used;
    unsigned char *end;         /* behind the last region */
    short writer[227 * 1024 / 16]; /* of each 16 bytes: the thread + 1 that has not fenced them for wgmma; 0: none */
} smem;

void smem_begin(size_t bytes)
{
    if (!smem.base) {
        smem.base = (unsigned char *)aligned_alloc(PERIOD, CAPACITY);
        if (!smem.base) abort();
        SIMT_POISON(smem.base, CAPACITY);
    }
    for (int i = 0; i < smem.count; i++) SIMT_POISON(smem.takes[i].at, smem.takes[i].bytes);
    smem.limit = bytes;
    smem.count = 0;
    smem.used = 0;
    smem.end = smem.base;
    memset(smem.writer, 0, sizeof smem.writer);
}

static void fill(unsigned char *from, unsigned char *to, int byte)
{
    SIMT_UNPOISON(from, (size_t)(to - from));
    memset(from, byte, (size_t)(to - from));
}

/* The first thread that comes makes the region: at least half a period behind the last one. */
static void make_region(size_t bytes, size_t align)
{
    region *r = &smem.takes[smem.count];
    uintptr_t least = (uintptr_t)smem.end + PERIOD / 2;
    uintptr_t at = least + (smem.used - least) % PERIOD;
    *r = {(unsigned char *)at, bytes, align, smem.used};
    fill(smem.end, r->at, ZONE);
    fill(r->at, r->at + bytes, UNWRITTEN);
    fill(r->at + bytes, r->at + bytes + PERIOD / 2, ZONE); /* the last one's */
    SIMT_POISON(smem.end, (size_t)(r->at - smem.end));
    SIMT_POISON(r->at + bytes, PERIOD / 2);
    smem.end = r->at + bytes;
    smem.used += (uint32_t)bytes;
    smem.count++;
}

simt_cursor simt_smem_open()
{
    return {0};
}

void *simt_smem_take(simt_cursor &at, size_t bytes, size_t align)
{
    int k = at.next++;
    bytes = (bytes + 15) / 16 * 16;
    if (k < smem.count) {
        region *r = &smem.takes[k];
        if (r->bytes != bytes || r->align != align)
            simt_fail("take %d of shared memory: %zu bytes aligned to %zu, others took %zu aligned to %zu", k, bytes,
                      align, r->bytes, r->align);
        return r->at;
    }
    if (k > smem.count || k >= MAX_TAKES) simt_fail("take %d of shared memory, more than %d", k, MAX_TAKES);
    if (smem.used + bytes > smem.limit)
        simt_fail("take %d of shared memory: %zu bytes from %u, the launch gave %zu", k, bytes, smem.used, smem.limit);
    if (!align || align > PERIOD || (align & (align - 1)) || smem.used % align)
        simt_fail("take %d of shared memory: starts at %u, not aligned to %zu", k, smem.used, align);
    make_region(bytes, align);
    return smem.takes[k].at;
}

static const region *region_of(const void *p, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)p;
    for (const region *r = smem.takes; r < smem.takes + smem.count; r++)
        if (at >= r->at && at < r->at + r->bytes && bytes <= (size_t)(r->at + r->bytes - at)) return r;
    return NULL;
}

bool simt_smem_holds(const void *p, size_t bytes)
{
    return region_of(p, bytes) != NULL;
}

uint32_t simt_smem_address(const void *p)
{
    const region *r = region_of(p, 1);
    if (!r) simt_fail("%p is not in shared memory", p);
    return r->address + (uint32_t)((const unsigned char *)p - r->at);
}

void *simt_smem_pointer(uint32_t address)
{
    for (const region *r = smem.takes; r < smem.takes + smem.count; r++)
        if (address >= r->address && address - r->address < r->bytes) return r->at + (address - r->address);
    simt_fail("address %u is in nothing taken of shared memory", address);
}

const void *simt_aligned(const void *p, size_t align)
{
    if ((uintptr_t)p % align) simt_fail("%p is not aligned to %zu bytes", p, align);
    return p;
}

/* ---- the asynchronous proxy -------------------------------------------------------------------------------------- */

void smem_written(const void *p)
{
    uint32_t at = simt_smem_address(p) / 16;
    smem.writer[at] = (short)(simt_thread() + 1);
    the_block.now->unfenced.push_back(at);
}

void simt_fence_proxy()
{
    for (uint32_t at : the_block.now->unfenced)
        if (smem.writer[at] == simt_thread() + 1) smem.writer[at] = 0;
    the_block.now->unfenced.clear();
}

bool simt_smem_fenced(uint32_t address)
{
    return smem.writer[address / 16] == 0;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* AddressSanitizer has seen every access to the zones already. */
const char *smem_end()
{
#ifndef SIMT_ASAN
    static char text[160];
    const unsigned char *at = smem.base;
    for (int i = 0; i <= smem.count; i++) {
        const unsigned char *to = i < smem.count ? smem.takes[i].at : smem.count ? smem.end + PERIOD / 2 : at;
        for (const unsigned char *p = at; p < to; p++) {
            if (*p == ZONE) continue;
            if (i) snprintf(text, sizeof text, "written %td bytes past take %d of shared memory", p - at, i - 1);
            else snprintf(text, sizeof text, "written %td bytes before take 0 of shared memory", to - p);
            return text;
        }
        if (i < smem.count) at = to + smem.takes[i].bytes;
    }
#endif
    return NULL;
}
