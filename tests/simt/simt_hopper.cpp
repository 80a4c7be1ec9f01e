/* simt_hopper.cpp - wgmma m64nNk16; layouts as the PTX ISA gives them. */
#include <simt.h>
#include <simt_hopper.h>

#include <vector>

enum { LANES = 32, WARPS_OF_BLOCK = 32, GROUP = 4 /* warps of a warpgroup */, ROWS = 16 /* of d, a warp's */, K = 16 };

/* What all threads of a warpgroup must agree on. */
struct shape {
    int n, a_major, b_major;
    bool add, a_in_registers;
    uint64_t a, b;
    bool operator==(const shape &o) const
    {
        return n == o.n && a_major == o.a_major && b_major == o.b_major && add == o.add &&
               a_in_registers == o.a_in_registers && a == o.a && b == o.b;
    }
};

struct call {                   /* of one thread */
    float *d;                   /* [n / 2] */
    const uint32_t *a_pairs;    /* [4] or NULL */
    shape is;
};

struct product {                /* of one warp */
    call by[LANES];
    uint32_t a_pairs[LANES][4]; /* as they were at the issue */
    int group;                  /* commits before it */
    bool read;                  /* operands are here */
    std::vector<float> d;       /* [LANES][n / 2]: what to add to; empty: an earlier product's result, when it lands */
    float a[ROWS][K];
    std::vector<float> b;       /* [K][n] */
};

static struct warp {
    std::vector<product> flying;
    int commits, issued;
    bool fenced, returned;
} warps[WARPS_OF_BLOCK];

static std::vector<shape> issued_by_group[WARPS_OF_BLOCK / GROUP];

static const uint32_t IN_FLIGHT = 0x7FC0DEADu;  /* a NaN, of an accumulator */
static const uint32_t A_IN_FLIGHT = 0x7FDE7FDEu; /* two, of operand A */

struct named {                  /* registers as a thread's fence found them */
    const char *at;
    std::vector<char> was;
};

static std::vector<named> fenced[WARPS_OF_BLOCK * LANES];

static int this_warp()
{
    return simt_thread() / LANES;
}

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float of_bf16(uint16_t bits)
{
    return of_bits((uint32_t)bits << 16);
}

/* ---- operands in shared memory ----------------------------------------------------------------------------------- */

/* PTX ISA, "Matrix Descriptor Format": bits 0-13 start address, 16-29 leading and 32-45 stride dimension byte offset,
 * all in 16 bytes; 49-51 base offset; 62-63 swizzle, 1: 128 bytes. */
struct descriptor {
    uint32_t start, leading, stride, base_offset, swizzle;
};

static descriptor decode(uint64_t d)
{
    return {(uint32_t)(d & 0x3FFF) << 4, (uint32_t)(d >> 16 & 0x3FFF) << 4, (uint32_t)(d >> 32 & 0x3FFF) << 4,
            (uint32_t)(d >> 49 & 7), (uint32_t)(d >> 62)};
}

/* PTX ISA, "Strides" and "Canonical Layouts", 128-byte swizzle, 16-bit elements. A pattern is eight rows of 128 bytes,
 * repeated from a multiple of 1024 on.
 * K-major: a row is 64 elements of k for one mn; eight mn a pattern, the next eight `stride` on; `leading` unused.
 * MN-major: a row is 64 elements of mn for one k; eight k a pattern, the next eight k `stride` on, the next 64 mn
 * `leading` on.
 * Then bits 4-6 of the address are exchanged by (xor) its bits 7-9. Here: the eight elements that share 16 bytes. */
static const uint16_t *eight_elements(const descriptor &m, int major, int mn, int k)
{
    uint32_t row, patterns, column;
    if (major == 0) {
        row = (uint32_t)mn % 8;
        patterns = (uint32_t)mn / 8 * m.stride;
        column = (uint32_t)k * 2;
    } else {
        row = (uint32_t)k % 8;
        patterns = (uint32_t)k / 8 * m.stride + (uint32_t)mn / 64 * m.leading;
        column = (uint32_t)mn % 64 * 2;
    }
    uint32_t at = m.start + patterns + row * 128 + column;
    at ^= (at >> 7 & 7) << 4;
    static const uint16_t unseen[8] = {0x7FDE, 0x7FDE, 0x7FDE, 0x7FDE, 0x7FDE, 0x7FDE, 0x7FDE, 0x7FDE}; /* NaNs */
    const uint16_t *eight = (const uint16_t *)simt_smem_pointer(at);
    return simt_smem_fenced(at) ? eight : unseen;
}

static void check_descriptor(const char *operand, const descriptor &m)
{
    if (m.swizzle != 1) simt_fail("wgmma: operand %s has swizzle code %u, not 1 (128 bytes)", operand, m.swizzle);
    if (m.base_offset) simt_fail("wgmma: operand %s has a base offset", operand);
    if (m.start & 0x380) /* else bits 7-9 are the base offset's */
        simt_fail("wgmma: operand %s begins at %u, in row %u of a pattern of eight", operand, m.start,
                  m.start >> 7 & 7);
}

static void read_operands(product *p, int warp_of_group)
{
    const shape &is = p->by[0].is;
    descriptor a = decode(is.a), b = decode(is.b);
    p->read = true;
    if (!is.a_in_registers) {
        for (int row = 0; row < ROWS; row++)
            for (int k = 0; k < K; k++) {
                int m = warp_of_group * ROWS + row;
                const uint16_t *eight = is.a_major ? eight_elements(a, 1, m & ~7, k) : eight_elements(a, 0, m, k & ~7);
                p->a[row][k] = of_bf16(eight[(is.a_major ? m : k) % 8]);
            }
    }
    p->b.resize((size_t)K * is.n);
    if (is.b_major) {
        for (int k = 0; k < K; k++)
            for (int n = 0; n < is.n; n += 8) {
                const uint16_t *eight = eight_elements(b, 1, n, k);
                for (int i = 0; i < 8; i++) p->b[(size_t)k * is.n + n + i] = of_bf16(eight[i]);
            }
    } else {
        for (int n = 0; n < is.n; n++)
            for (int k = 0; k < K; k += 8) {
                const uint16_t *eight = eight_elements(b, 0, n, k);
                for (int i = 0; i < 8; i++) p->b[(size_t)(k + i) * is.n + n] = of_bf16(eight[i]);
            }
    }
}

/* PTX ISA, "Matrix Fragments for wgmma.mma_async.m64nNk16": of a warp's 16 rows, with g = lane / 4 and t = lane % 4,
 * register i of d is row g + 8 * (i / 2 % 2), column 8 * (i / 4) + 2t + i % 2; register i of a is row g + 8 * (i % 2),
 * columns 2t + 8 * (i / 2) (lower half) and the next. */
static void a_from_registers(product *p)
{
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + 8 * (i % 2), k = lane % 4 * 2 + 8 * (i / 2);
            p->a[row][k] = of_bf16((uint16_t)p->a_pairs[lane][i]);
            p->a[row][k + 1] = of_bf16((uint16_t)(p->a_pairs[lane][i] >> 16));
        }
}

static int d_row(int lane, int i)
{
    return lane / 4 + 8 * (i / 2 % 2);
}

static int d_column(int lane, int i)
{
    return 8 * (i / 4) + lane % 4 * 2 + i % 2;
}

/* ---- issue and landing ------------------------------------------------------------------------------------------- */

static void fill(float *d, int registers)
{
    for (int i = 0; i < registers; i++) memcpy(&d[i], &IN_FLIGHT, sizeof d[i]);
}

static const product *flying_with(const warp *w, int lane, const uint32_t *a_pairs, const product *but)
{
    for (const product &f : w->flying)
        if (&f != but && f.by[lane].a_pairs == a_pairs) return &f;
    return NULL;
}

/* Operand A is taken at the issue; what the program would read of it from then on is a NaN. */
static void take_a(const warp *w, product *p, int lane)
{
    const uint32_t *a = p->by[lane].a_pairs;
    const product *other = flying_with(w, lane, a, p);
    memcpy(p->a_pairs[lane], other ? other->a_pairs[lane] : a, sizeof p->a_pairs[lane]);
    for (int i = 0; i < 4; i++) const_cast<uint32_t *>(a)[i] = A_IN_FLIGHT;
}

static void give_back_a(const warp *w, const product *p, int lane)
{
    const uint32_t *a = p->by[lane].a_pairs;
    for (int i = 0; i < 4; i++)
        if (a[i] != A_IN_FLIGHT) simt_fail("wgmma: lane %d's registers of operand a were written in flight", lane);
    if (!flying_with(w, lane, a, p)) memcpy(const_cast<uint32_t *>(a), p->a_pairs[lane], sizeof p->a_pairs[lane]);
}

static bool is_filled(const float *d, int registers)
{
    for (int i = 0; i < registers; i++)
        if (memcmp(&d[i], &IN_FLIGHT, sizeof d[i])) return false;
    return true;
}

/* The latest fence of this thread that named these registers, and how they were. */
static char *at_fence(int thread, const void *registers, size_t bytes)
{
    const char *at = (const char *)registers;
    for (size_t i = fenced[thread].size(); i-- > 0;) {
        named &n = fenced[thread][i];
        if (at >= n.at && at + bytes <= n.at + n.was.size()) return n.was.data() + (at - n.at);
    }
    return NULL;
}

/* The calling thread's, before it meets the others; chained accumulators are not looked at: products in flight have
 * them. */
static void check_fenced(const call &mine)
{
    int thread = simt_thread();
    const char *a = mine.a_pairs ? at_fence(thread, mine.a_pairs, 4 * sizeof(uint32_t)) : NULL;
    if (mine.a_pairs && (!a || memcmp(a, mine.a_pairs, 4 * sizeof(uint32_t))) &&
        !flying_with(&warps[thread / LANES], thread % LANES, mine.a_pairs, NULL))
        simt_fail("wgmma: operand a's registers were touched since a wgmma_fence named them, or none did");
    if (!mine.is.add) return;
    for (const product &f : warps[thread / LANES].flying)
        if (f.by[0].is.n == mine.is.n && f.by[thread % LANES].d == mine.d) return;
    size_t bytes = (size_t)mine.is.n / 2 * sizeof(float);
    const char *d = at_fence(thread, mine.d, bytes);
    if (!d || memcmp(d, mine.d, bytes))
        simt_fail("wgmma: accumulators were touched since a wgmma_fence named them, or none did");
}

static void check_issue(const call *const *all, warp *w)
{
    const shape &is = all[0]->is;
    for (int lane = 1; lane < LANES; lane++)
        if (!(all[lane]->is == is)) simt_fail("wgmma: lanes 0 and %d give different operands or shapes", lane);
    if (is.n % 8 || is.n < 8 || is.n > 256) simt_fail("wgmma: no shape m64n%dk16", is.n);
    if (!w->fenced) simt_fail("wgmma without a wgmma_fence since the last wait");
    if (!is.a_in_registers) check_descriptor("a", decode(is.a));
    check_descriptor("b", decode(is.b));
    std::vector<shape> &list = issued_by_group[this_warp() / GROUP];
    int k = w->issued++;
    if (k < (int)list.size()) {
        if (!(list[k] == is)) simt_fail("wgmma: another product than the other warps' number %d", k);
        return;
    }
    list.push_back(is);
    for (int i = 0, first = this_warp() / GROUP * GROUP; i < GROUP; i++)
        if (warps[first + i].returned) simt_fail("wgmma: warp %d has returned after %d products", first + i, k);
}

static void issue(void *const *lanes, int)
{
    const call *const *all = (const call *const *)lanes;
    warp *w = &warps[this_warp()];
    check_issue(all, w);
    const shape &is = all[0]->is;
    int registers = is.n / 2;
    bool chained = false;
    for (const product &f : w->flying) chained |= f.by[0].d == all[0]->d;
    w->flying.push_back({});
    product *p = &w->flying.back(); /* in static memory: simt_fail leaves this frame for good */
    p->group = w->commits;
    for (int lane = 0; lane < LANES; lane++) {
        p->by[lane] = *all[lane];
        if (is.a_in_registers) take_a(w, p, lane);
        float *d = all[lane]->d;
        if (!is.add) p->d.insert(p->d.end(), registers, 0.0f);
        else if (!chained) p->d.insert(p->d.end(), d, d + registers);
        fill(d, registers);
    }
    if (is.a_in_registers) a_from_registers(p);
    if (simt_random() >> 63) read_operands(p, this_warp() % GROUP);
}

static void multiply(product *p)
{
    int n = p->by[0].is.n, registers = n / 2;
    std::vector<float> d((size_t)ROWS * n);
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < registers; i++)
            d[(size_t)d_row(lane, i) * n + d_column(lane, i)] = p->d[(size_t)lane * registers + i];
    for (int row = 0; row < ROWS; row++)
        for (int k = 0; k < K; k++) {
            float *to = &d[(size_t)row * n], factor = p->a[row][k];
            const float *from = &p->b[(size_t)k * n];
            for (int col = 0; col < n; col++) to[col] += factor * from[col];
        }
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < registers; i++)
            p->d[(size_t)lane * registers + i] = d[(size_t)d_row(lane, i) * n + d_column(lane, i)];
}

/* Into the accumulators, or to the next product in flight on the same ones. */
static void hand_on(warp *w, product *p)
{
    for (product &next : w->flying) {
        if (&next == p || next.by[0].d != p->by[0].d) continue;
        if (next.by[0].is.add) next.d = std::move(p->d);
        return;
    }
    int registers = p->by[0].is.n / 2;
    for (int lane = 0; lane < LANES; lane++) {
        size_t bytes = (size_t)registers * sizeof(float);
        memcpy(p->by[lane].d, &p->d[(size_t)lane * registers], bytes);
        char *was = at_fence((int)(w - warps) * LANES + lane, p->by[lane].d, bytes);
        if (was) memcpy(was, p->by[lane].d, bytes);
    }
}

static void land_first(warp *w)
{
    product *p = &w->flying.front();
    for (int lane = 0; lane < LANES; lane++) {
        const call &by = p->by[lane];
        if (!is_filled(by.d, by.is.n / 2)) simt_fail("wgmma: lane %d's accumulators were written in flight", lane);
        if (by.a_pairs) give_back_a(w, p, lane);
    }
    if (!p->read) read_operands(p, this_warp() % GROUP);
    multiply(p);
    hand_on(w, p);
    w->flying.erase(w->flying.begin());
}

static void wait_all(void *const *pending, int)
{
    warp *w = &warps[this_warp()];
    while (!w->flying.empty() && w->flying.front().group < w->commits - *(const int *)pending[0]) land_first(w);
    w->fenced = false;
}

static void fence_all(void *const *, int)
{
    warps[this_warp()].fenced = true;
}

static void commit_all(void *const *, int)
{
    warps[this_warp()].commits++;
}

/* ---- what threads call ------------------------------------------------------------------------------------------- */

static void meet(const char *what, size_t shape, void *mine, simt_action act)
{
    simt_meet(what, this_warp() * LANES, LANES, 0xFFFFFFFFu, shape, mine, act);
}

void simt_wgmma(float *d, int registers, const uint32_t *a_pairs, uint64_t a, int a_major, uint64_t b, int b_major,
                bool add)
{
    call mine = {d, a_pairs, {2 * registers, a_major, b_major, add, a_pairs != NULL, a, b}};
    check_fenced(mine);
    meet("wgmma", (size_t)registers, &mine, issue);
}

void simt_wgmma_fence(const simt_registers *registers, int n)
{
    std::vector<named> &list = fenced[simt_thread()];
    for (int i = 0; i < n; i++) {
        const char *at = (const char *)registers[i].at;
        for (size_t k = list.size(); k-- > 0;)
            if (list[k].at < at + registers[i].bytes && at < list[k].at + list[k].was.size())
                list.erase(list.begin() + (ptrdiff_t)k); /* an earlier name of the same, or of what was there once */
        list.push_back({at, std::vector<char>(at, at + registers[i].bytes)});
    }
    meet("wgmma fence", 0, NULL, fence_all);
}

void simt_wgmma_commit()
{
    meet("wgmma commit", 0, NULL, commit_all);
}

void simt_wgmma_wait(int pending)
{
    meet("wgmma wait", (size_t)pending, &pending, wait_all);
}

void simt_hopper_begin()
{
    for (warp &w : warps) w = {};
    for (std::vector<named> &list : fenced) list.clear();
    for (std::vector<shape> &list : issued_by_group) list.clear();
}

void simt_hopper_end(int thread)
{
    warp &w = warps[thread / LANES];
    w.returned = true;
    if (!w.flying.empty()) simt_fail("returned with %zu products in flight that no wgmma_wait covers", w.flying.size());
    size_t all = issued_by_group[thread / LANES / GROUP].size();
    if (w.issued != (int)all) simt_fail("returned after %d products where other warps issued %zu", w.issued, all);
}
