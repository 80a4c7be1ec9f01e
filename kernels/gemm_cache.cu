/* gemm_cache.cu - choices as text: a file in the cache folder, and a checkpoint's metadata.
 *
 *     vitc-gemm 2; NVIDIA H100 80GB HBM3; 9.0; cuBLASLt 130100; driver 13000
 *     576 50432 192 192 192 576 1 0 BF16 BF16 0 4 0 0 0 0 0 0 0 0 1f00…  a line a shape: see write_choice
 *     sum 90b5c7a1f0e2d344                                               FNV-1a of all before this line
 *
 * The first line is the key: an algorithm means nothing to another cuBLASLt or device. */
#include "gemm_choice.cuh"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include "base/alloc.h"
#include "base/cache.h"
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text, size_t n)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

/* gemm_shape's members, tf32, fused, the algorithm. */
static void write_choice(vt_text *t, const gemm_choice *choice)
{
    const gemm_shape *s = &choice->shape;
    const int64_t sizes[] = {s->m, s->n, s->k, s->lda, s->ldb, s->ldd, s->ta, s->tb};
    const int64_t more[] = {s->accumulate, s->epilogue, s->activation, s->gradient, s->batch, s->step_a, s->step_b,
                            s->step_d, choice->tf32, choice->fused};
    for (int64_t v : sizes) vt_text_printf(t, "%" PRId64 " ", v);
    vt_text_printf(t, "%s %s ", vt_dtype_name((vt_dtype)s->in), vt_dtype_name((vt_dtype)s->out));
    for (int64_t v : more) vt_text_printf(t, "%" PRId64 " ", v);
    for (size_t i = 0; i < sizeof choice->algo; i++)
        vt_text_printf(t, "%02x", ((const unsigned char *)&choice->algo)[i]);
    vt_text_add(t, "\n");
}

static void write_sum(vt_text *t)
{
    vt_text_printf(t, "sum %016" PRIx64 "\n", hash_of(vt_text_str(t), t->size));
}

vt_status vt_gemm_choices(vt_device *d, vt_text *t)
{
    const vt_cuda *c = vt_cuda_of(d);
    vt_text_printf(t, "%s\n", c->gemm_key);
    for (int i = 0; i < c->gemms->count; i++)
        if (c->gemms->items[i].used && c->gemms->items[i].found) write_choice(t, &c->gemms->items[i]);
    write_sum(t);
    return vt_text_status(t);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* What stands before the next space, which it goes behind; NULL: nothing does. */
static const char *word(const char **at, size_t *length)
{
    const char *start = *at;
    *length = strcspn(start, " \n");
    if (start[*length] != ' ') return NULL;
    *at = start + *length + 1;
    return start;
}

static bool read_int(const char **at, int64_t *value)
{
    size_t n;
    const char *text = word(at, &n);
    return text && vt_parse_int(text, n, value);
}

static bool read_dtype(const char **at, int *dtype)
{
    size_t n;
    const char *text = word(at, &n);
    for (int t : {VT_F32, VT_BF16}) {
        const char *name = vt_dtype_name((vt_dtype)t);
        *dtype = t;
        if (text && strlen(name) == n && memcmp(text, name, n) == 0) return true;
    }
    return false;
}

static bool read_algorithm(const char *hex, cublasLtMatmulAlgo_t *algo)
{
    if (strspn(hex, "0123456789abcdef") != 2 * sizeof *algo || hex[2 * sizeof *algo] != '\n') return false;
    for (size_t i = 0; i < sizeof *algo; i++) {
        const char pair[] = {hex[2 * i], hex[2 * i + 1], 0};
        ((unsigned char *)algo)[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return true;
}

static bool read_choice(const char *line, gemm_choice *choice)
{
    gemm_shape *s = &choice->shape;
    int64_t ta = 0, tb = 0, accumulate = 0, epilogue = 0, activation = 0, gradient = 0, tf32 = 0, fused = 0;
    int64_t *sizes[] = {&s->m, &s->n, &s->k, &s->lda, &s->ldb, &s->ldd, &ta, &tb};
    int64_t *more[] = {&accumulate, &epilogue, &activation, &gradient, &s->batch, &s->step_a, &s->step_b, &s->step_d,
                       &tf32, &fused};
    *choice = {};
    for (int64_t *v : sizes)
        if (!read_int(&line, v)) return false;
    if (!read_dtype(&line, &s->in) || !read_dtype(&line, &s->out)) return false;
    for (int64_t *v : more)
        if (!read_int(&line, v)) return false;
    s->ta = (int)ta;
    s->tb = (int)tb;
    s->accumulate = (int)accumulate;
    s->epilogue = (int)epilogue;
    s->activation = (int)activation;
    s->gradient = (int)gradient;
    choice->tf32 = (int)tf32;
    choice->fused = fused != 0;
    return choice->found = read_algorithm(line, &choice->algo);
}

/* Into an empty list; *whose: the key's line. False: damaged, or out of memory; what was read is of no use. */
static bool read_text(const char *text, size_t size, gemm_list *list, char whose[VT_GEMM_KEY])
{
    const char *at = text, *end = text + size;
    uint64_t sum;
    *whose = 0;
    for (bool first = true; at < end; first = false) {
        const char *line = at, *stop = (const char *)memchr(at, '\n', (size_t)(end - at));
        gemm_choice read;
        if (!stop) return false;
        at = stop + 1;
        if (first) {
            if (stop - line >= VT_GEMM_KEY || strncmp(line, "vitc-gemm ", 10) != 0) return false;
            snprintf(whose, VT_GEMM_KEY, "%.*s", (int)(stop - line), line);
        } else if (sscanf(line, "sum %16" SCNx64, &sum) == 1) {
            return at == end && sum == hash_of(text, (size_t)(line - text));
        } else {
            gemm_choice *kept = read_choice(line, &read) ? gemm_add(list, &read.shape, read.tf32) : NULL;
            if (!kept) return false;
            *kept = read;
        }
    }
    return false;
}

/* But for those in use. */
static vt_status take_over(gemm_list *to, const gemm_list *from)
{
    for (int i = 0; i < from->count; i++) {
        gemm_choice *choice = gemm_add(to, &from->items[i].shape, from->items[i].tf32);
        if (!choice) return vt_fail_memory("GEMM algorithms");
        if (!choice->used) *choice = from->items[i];
    }
    return VT_OK;
}

vt_status vt_gemm_adopt(vt_device *d, const char *text)
{
    vt_cuda *c = vt_cuda_of(d);
    gemm_list read = {};
    char whose[VT_GEMM_KEY];
    vt_status st = VT_OK;
    if (!read_text(text, strlen(text), &read, whose)) st = vt_fail(VT_INVALID, "the GEMM algorithms are damaged");
    else if (strcmp(whose, c->gemm_key) != 0)
        st = vt_fail(VT_INVALID, "the GEMM algorithms are those of another device or library (%s; this is %s)", whose,
                     c->gemm_key);
    else st = take_over(c->gemms, &read);
    gemm_list_free(&read);
    return st;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* NAME-compute capability-cuBLASLt-driver, in characters that any file system takes. */
static bool path_of(const vt_cuda *c, char path[VT_CACHE_PATH])
{
    char name[VT_GEMM_KEY + 8];
    snprintf(name, sizeof name, "%s.txt", c->gemm_key + sizeof "vitc-" - 1);
    for (char *at = name; at < name + strlen(name) - 4; at++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", *at)) *at = '_';
    return vt_cache_path(path, name);
}

static void say(const char *path, const char *what)
{
    fprintf(stderr, "vitc: note: %s: %s\n", path, what);
}

/* What the file holds; `loud`: a file that is not understood is told. Empty where there is none. */
static void read_file(const vt_cuda *c, gemm_list *list, bool loud)
{
    char path[VT_CACHE_PATH], whose[VT_GEMM_KEY];
    vt_file file;
    if (!path_of(c, path) || vt_file_read(&file, path) != VT_OK) return;
    bool whole = read_text((const char *)file.data, file.size, list, whose);
    if (whole && strcmp(whose, c->gemm_key) == 0) return vt_file_close(&file);
    if (loud)
        say(path, whole ? "GEMM algorithms of another device or library; they are not used"
                        : "damaged; GEMM algorithms are searched again");
    gemm_list_free(list);
    vt_file_close(&file);
}

void vt_gemm_open(vt_cuda *c, const char *device_name)
{
    int driver = 0;
    c->gemms = (gemm_list *)vt_alloc(sizeof *c->gemms);
    if (!c->gemms) return;
    cudaDriverGetVersion(&driver);
    snprintf(c->gemm_key, sizeof c->gemm_key, "vitc-gemm 2; %.100s; %d.%d; cuBLASLt %zu; driver %d", device_name,
             c->arch / 10, c->arch % 10, cublasLtGetVersion(), driver);
    read_file(c, c->gemms, true);
}

static void say_refused(vt_cuda *c)
{
    if (c->gemms_refused)
        fprintf(stderr, "vitc: note: cuBLASLt refuses %d GEMM algorithms that were kept; others were searched, results "
                "may differ in their last bits\n", c->gemms_refused);
    c->gemms_refused = 0;
}

/* The file may have grown since: what is fresh here joins what it holds now. */
void vt_gemm_save(vt_cuda *c)
{
    char path[VT_CACHE_PATH];
    gemm_list all = {};
    vt_text t = {};
    bool any = false;
    say_refused(c);
    for (int i = 0; i < c->gemms->count; i++) any |= c->gemms->items[i].fresh;
    if (!any || !path_of(c, path)) return;
    read_file(c, &all, false);
    vt_text_printf(&t, "%s\n", c->gemm_key);
    for (int i = 0; i < all.count; i++) {
        const gemm_choice *ours = gemm_find(c->gemms, &all.items[i].shape, all.items[i].tf32);
        if (!ours || !ours->fresh) write_choice(&t, &all.items[i]);
    }
    for (int i = 0; i < c->gemms->count; i++) {
        gemm_choice *choice = &c->gemms->items[i];
        if (choice->fresh && choice->found) write_choice(&t, choice);
        choice->fresh = false;
    }
    write_sum(&t);
    if (vt_text_status(&t) != VT_OK || vt_cache_write(path, vt_text_str(&t), t.size) != VT_OK)
        say("GEMM algorithms are not kept", vt_error());
    vt_text_free(&t);
    gemm_list_free(&all);
}

void vt_gemm_close(vt_cuda *c)
{
    if (!c->gemms) return;
    gemm_list_free(c->gemms);
    vt_free(c->gemms);
    c->gemms = NULL;
}
