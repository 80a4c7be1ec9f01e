/* copies.cpp - cp.async: the bytes are on their way until the thread waits for them; and ld.global.nc, whose bytes the
 * grid must leave alone. */
#include "engine.h"

#include "sanitizers.h"

enum { COPY_BYTES = 16, REMEMBERED = 65536 };

struct reading {
    const void *from;
    unsigned char was[COPY_BYTES];
};

static bool read_at_landing;
static std::vector<reading> readings;

void copies_begin()
{
    read_at_landing = random_below(2) != 0;
    for (int i = 0; i < MAX_THREADS; i++) the_block.all[i].commits = 0;
    readings.clear();
}

static void land(const async_copy &c)
{
    SIMT_UNPOISON(c.to, COPY_BYTES);
    memcpy(c.to, c.from ? c.from : c.data, COPY_BYTES);
    smem_written(c.to);
}

void simt_copy_async(void *to, const void *from, bool valid)
{
    if (!simt_smem_holds(to, COPY_BYTES)) simt_fail("asynchronous copy to %p, not in shared memory", to);
    simt_aligned(to, COPY_BYTES);
    simt_aligned(from, COPY_BYTES);
    thread *t = the_block.now;
    async_copy c = {(unsigned char *)to, NULL, {0}, t->commits};
    if (valid && read_at_landing) c.from = (const unsigned char *)from;
    else if (valid) memcpy(c.data, from, COPY_BYTES);
    memset(to, 0xFF, COPY_BYTES);
    SIMT_POISON(to, COPY_BYTES);
    t->copies.push_back(c);
}

void simt_copy_commit()
{
    the_block.now->commits++;
}

void simt_copy_wait(int pending)
{
    thread *t = the_block.now;
    size_t landed = 0;
    while (landed < t->copies.size() && t->copies[landed].group < t->commits - pending) land(t->copies[landed++]);
    t->copies.erase(t->copies.begin(), t->copies.begin() + (ptrdiff_t)landed);
}

void copies_end(thread *t)
{
    if (!t->copies.empty())
        simt_fail("returned with %zu asynchronous copies in flight that no copy_wait covers", t->copies.size());
}

void simt_read_once(const void *p)
{
    simt_aligned(p, COPY_BYTES);
    if (readings.size() == REMEMBERED) return;
    readings.push_back({p, {0}});
    memcpy(readings.back().was, p, COPY_BYTES);
}

const void *readings_end()
{
    for (const reading &r : readings)
        if (memcmp(r.from, r.was, COPY_BYTES)) return r.from;
    return NULL;
}
