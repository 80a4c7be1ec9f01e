#include "base/safetensors.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "test.h"

#define NAME "test_base_safetensors.out"

/* Header and data put together by hand: a file as another program might write it. */
static void write_raw(const char *header, size_t claimed, const void *data, size_t size)
{
    unsigned char length[8];
    vt_writer w;
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)claimed >> (8 * i));
    CHECK_OK(vt_writer_open(&w, NAME));
    CHECK_OK(vt_writer_put(&w, length, 8));
    CHECK_OK(vt_writer_put(&w, header, strlen(header)));
    CHECK_OK(vt_writer_put(&w, data, size));
    CHECK_OK(vt_writer_commit(&w));
}

/* Without the syncs of vt_file_write: for many small files. */
static void write_plain(const void *data, size_t size)
{
    FILE *out = fopen(NAME, "wb");
    CHECK(out && fwrite(data, 1, size, out) == size && fclose(out) == 0);
}

static vt_status open_and_close(const char *path)
{
    vt_safetensors f;
    vt_status st = vt_safetensors_open(&f, path);
    vt_safetensors_close(&f);
    return st;
}

static vt_status produce(void *arg, vt_writer *out)
{
    const char *bytes = arg;
    vt_status st = vt_writer_put(out, bytes, 1);
    return st == VT_OK ? vt_writer_put(out, bytes + 1, strlen(bytes) - 1) : st;
}

static const float weight[6] = {1, 2, 3, 4, 5, 6};
static const int64_t step[1] = {-7};
static char mask[] = "\1\1\1";
static const vt_save_tensor tensors[] = {
    {.name = "mask", .dtype = VT_BOOL, .ndim = 1, .shape = {3}, .produce = produce, .arg = mask},
    {.name = "b.weight", .dtype = VT_F32, .ndim = 2, .shape = {2, 3}, .data = weight},
    {.name = "a.\"bias\"", .dtype = VT_F32, .ndim = 1, .shape = {1}, .data = weight + 5},
    {.name = "step", .dtype = VT_I64, .ndim = 0, .data = step},
    {.name = "empty", .dtype = VT_F16, .ndim = 2, .shape = {0, 4}},
};
static const vt_metadata metadata[] = {{"vitc.format", "1"}, {"classes", "[\"caf\xC3\xA9\",\"\\n\"]"}};

static vt_status write_sample(void)
{
    return vt_safetensors_write(NAME, tensors, 5, metadata, 2);
}

TEST(reads_what_it_wrote)
{
    vt_safetensors f;
    CHECK_OK(write_sample());
    CHECK_OK(vt_safetensors_open(&f, NAME));
    CHECK_EQ(f.count, 5);
    CHECK_STR(f.tensors[0].name, "a.\"bias\"");
    CHECK_STR(f.tensors[4].name, "step");
    const vt_safetensor *t = vt_safetensors_find(&f, "b.weight");
    CHECK(t->dtype == VT_F32 && t->ndim == 2 && t->shape[0] == 2 && t->shape[1] == 3 && t->count == 6 &&
          t->bytes == 24);
    CHECK(memcmp(t->data, weight, 24) == 0);
    float got[6];
    vt_safetensor_to_float(vt_safetensors_find(&f, "step"), got);
    CHECK_EQ(got[0], -7);
    vt_safetensor_to_float(vt_safetensors_find(&f, "mask"), got);
    CHECK(got[0] == 1 && got[2] == 1);
    CHECK_EQ(vt_safetensors_find(&f, "empty")->count, 0);
    CHECK(!vt_safetensors_find(&f, "b.weigh"));
    for (int i = 0; i < f.count; i++) CHECK_EQ((uintptr_t)f.tensors[i].data % vt_dtype_bytes(f.tensors[i].dtype), 0);
    CHECK_EQ(f.metadata_count, 3);
    CHECK_STR(vt_safetensors_metadata(&f, "format"), "pt");
    CHECK_STR(vt_safetensors_metadata(&f, "classes"), metadata[1].value);
    CHECK(!vt_safetensors_metadata(&f, "model"));
    vt_safetensors_close(&f);
}

TEST(header_bytes)
{
    vt_file f;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    vt_save_tensor x = {.name = "x", .dtype = VT_F32, .ndim = 1, .shape = {1}, .data = weight};
    CHECK_OK(vt_safetensors_write(NAME, &x, 1, NULL, 0));
    CHECK_OK(vt_file_read(&f, NAME));
    CHECK_EQ(f.data[0] % 8, 0); /* a header under 256 bytes */
    CHECK_EQ(f.size, (size_t)f.data[0] + 12);
    CHECK(memcmp(f.data + 8, header, sizeof header - 1) == 0);
    for (size_t i = 8 + sizeof header - 1; i < f.size - 4; i++) CHECK_EQ(f.data[i], ' ');
    vt_file_close(&f);
}

TEST(converts_every_dtype)
{
    static const unsigned char data[] = {0x00, 0x3C, 0x00, 0xC0, 0x01, 0x00, 0xFF, 0x83,
                                         0x00, 0x7C, 0x00, 0x7E, /* f16: 1, -2, 2^-24, -1023 2^-24, inf, nan */
                                         0x80, 0x3F, 0x20, 0xC0, /* bf16: 1, -2.5 */
                                         0,    0,    0,    0,    0,    0,    0xF8, 0x3F, /* f64: 1.5 */
                                         0xFE, 0xFF, 0xFF, 0xFF,                         /* i32: -2 */
                                         200,  1};                                       /* u8, bool */
    const char *header = "{ \"h\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[12,16]},"
                         "\"d\":{\"shape\":[],\"dtype\":\"F64\",\"data_offsets\":[16,24]},"
                         "\"i\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[24,28]},"
                         "\"u\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[28,29]},"
                         "\"t\":{\"dtype\":\"BOOL\",\"shape\":[1,1],\"data_offsets\":[29,30]}}";
    for (int pad = 0; pad < 2; pad++) { /* once with every tensor at an odd address */
        char padded[800];
        vt_safetensors f;
        float v[6];
        snprintf(padded, sizeof padded, "%s%s", header, pad ? " " : "");
        write_raw(padded, strlen(padded), data, sizeof data);
        CHECK_OK(vt_safetensors_open(&f, NAME));
        vt_safetensor_to_float(vt_safetensors_find(&f, "h"), v);
        CHECK(v[0] == 1 && v[1] == -2 && v[2] == 0x1p-24f && v[3] == -1023 * 0x1p-24f && v[4] == INFINITY &&
              isnan(v[5]));
        vt_safetensor_to_float(vt_safetensors_find(&f, "b"), v);
        CHECK(v[0] == 1 && v[1] == -2.5f);
        vt_safetensor_to_float(vt_safetensors_find(&f, "d"), v);
        CHECK(v[0] == 1.5f);
        vt_safetensor_to_float(vt_safetensors_find(&f, "i"), v);
        CHECK(v[0] == -2);
        vt_safetensor_to_float(vt_safetensors_find(&f, "u"), v);
        CHECK(v[0] == 200);
        vt_safetensor_to_float(vt_safetensors_find(&f, "t"), v);
        CHECK(v[0] == 1);
        vt_safetensors_close(&f);
    }
}

#define T(dtype, shape, begin, end)                                                                                    \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

TEST(refuses_bad_headers)
{
    static const struct {
        const char *header;
        size_t size; /* of the data */
        const char *message;
    } cases[] = {
        {"", 0, "header is not JSON"},
        {"[]", 0, "header is not JSON"},
        {"{\"a\"}", 0, "JSON, byte 4"},
        {"{\"a\":3}", 0, "tensor a has no dtype"},
        {"{\"a\":" T("F31", "[1]", 0, 4) "}", 4, "tensor a is F31"},
        {"{\"a\":" T("F32", "[-1]", 0, 4) "}", 4, "tensor a has no valid shape"},
        {"{\"a\":" T("F32", "[1.0]", 0, 4) "}", 4, "tensor a has no valid shape"},
        {"{\"a\":" T("F32", "1", 0, 4) "}", 4, "tensor a has no valid shape"},
        {"{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "at most 8 dimensions"},
        {"{\"a\":" T("F32", "[4611686018427387904,4]", 0, 0) "}", 0, "tensor a has no valid shape"},
        {"{\"a\":" T("U8", "[4294967296,4294967296]", 0, 0) "}", 0, "tensor a has no valid shape"},
        {"{\"a\":" T("F32", "[1]", 4, 0) "}", 4, "no valid data_offsets"},
        {"{\"a\":" T("F32", "[1]", -4, 0) "}", 4, "no valid data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "no valid data_offsets"},
        {"{\"a\":" T("F32", "[2]", 0, 4) "}", 4, "hold 4 bytes, its shape 8"},
        {"{\"a\":" T("F32", "[1]", 0, 4) "}", 3, "truncated? tensor a ends at byte 4"},
        {"{\"a\":" T("F32", "[1]", 0, 4) "}", 5, "1 bytes after the last tensor"},
        {"{\"a\":" T("F32", "[1]", 4, 8) "}", 8, "tensor a does not begin"},
        {"{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[1]", 4, 8) "}", 8, "tensor b does not begin"},
        {"{\"a\":" T("F32", "[1]", 0, 4) ",\"b\":" T("F32", "[1]", 8, 12) "}", 12, "tensor b does not begin"},
        {"{\"a\":" T("F32", "[1]", 0, 4) ",\"a\":" T("F32", "[1]", 4, 8) "}", 8, "tensor a stands there twice"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ a is not a string"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", 0, "__metadata__ has a twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ stands there twice"},
    };
    static const char data[16];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_raw(cases[i].header, strlen(cases[i].header), data, cases[i].size);
        CHECK_FAILS(open_and_close(NAME), VT_INVALID, cases[i].message);
        CHECK_MSG(strncmp(vt_error(), NAME ": ", sizeof NAME + 1) == 0, "%s", vt_error());
    }
    write_raw("{}", 3, data, 0);
    CHECK_FAILS(open_and_close(NAME), VT_INVALID, "truncated? its header has 3 bytes");
    write_raw("{}", SIZE_MAX, data, 16);
    CHECK_FAILS(open_and_close(NAME), VT_INVALID, "not a safetensors file");
    write_raw("{}", 2, data, 0);
    CHECK_OK(open_and_close(NAME));
}

TEST(every_truncation_is_an_error)
{
    vt_file f;
    CHECK_OK(write_sample());
    CHECK_OK(vt_file_read(&f, NAME));
    for (size_t n = 0; n < f.size; n++) {
        write_plain(f.data, n);
        CHECK_FAILS(open_and_close(NAME), VT_INVALID, NAME ": truncated?");
    }
    vt_file_close(&f);
}

/* Whatever one byte becomes, the file opens or is refused; what opens can be read to its end. */
TEST(mutated_bytes_do_no_harm)
{
    vt_file f;
    float v[64];
    CHECK_OK(write_sample());
    CHECK_OK(vt_file_read(&f, NAME));
    static const unsigned char flips[] = {0x01, 0x10, 0x80};
    for (size_t i = 0; i < f.size; i++) {
        for (size_t k = 0; k < sizeof flips; k++) {
            vt_safetensors s;
            f.data[i] ^= flips[k];
            write_plain(f.data, f.size);
            f.data[i] ^= flips[k];
            if (vt_safetensors_open(&s, NAME) != VT_OK) continue;
            for (int t = 0; t < s.count; t++) vt_safetensor_to_float(&s.tensors[t], v);
            vt_safetensors_close(&s);
        }
    }
    vt_file_close(&f);
}

TEST(refuses_to_write_nonsense)
{
    vt_save_tensor t[2] = {tensors[1], tensors[1]};
    unlink(NAME);
    CHECK_FAILS(vt_safetensors_write(NAME, t, 2, NULL, 0), VT_INVALID, "two tensors would have the name b.weight");
    t[1].name = "__metadata__";
    CHECK_FAILS(vt_safetensors_write(NAME, t, 2, NULL, 0), VT_INVALID, "__metadata__");
    t[1] = tensors[0];
    t[1].shape[0] = 4; /* the callback makes three */
    CHECK_FAILS(vt_safetensors_write(NAME, t, 2, NULL, 0), VT_FAILED, "tensor mask: 3 bytes were produced for 4");
    t[1].shape[0] = -1;
    CHECK_FAILS(vt_safetensors_write(NAME, t, 2, NULL, 0), VT_INVALID, "tensor mask has no valid shape");
    CHECK(access(NAME, F_OK) != 0);
    CHECK_OK(vt_safetensors_write(NAME, NULL, 0, NULL, 0));
    CHECK_OK(open_and_close(NAME));
}

TEST(a_full_disk_keeps_the_old_file)
{
    struct rlimit old, limit;
    static const float large[4096];
    vt_save_tensor t = {.name = "large", .dtype = VT_F32, .ndim = 1, .shape = {4096}, .data = large};
    vt_safetensors f;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit = (struct rlimit){8192, old.rlim_max};
    CHECK_OK(write_sample());
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK_FAILS(vt_safetensors_write(NAME, &t, 1, NULL, 0), VT_FAILED, NAME ": cannot write: File too large");
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_OK(vt_safetensors_open(&f, NAME));
    CHECK(vt_safetensors_find(&f, "step") != NULL);
    vt_safetensors_close(&f);
    CHECK(access("." NAME ".tmp", F_OK) != 0);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live();
    vt_status st;
    long n = 0;
    do {
        vt_alloc_fail_at(++n, 1);
        st = write_sample();
        vt_alloc_fail_at(0, 0);
        CHECK_EQ(vt_alloc_live(), live);
        CHECK(st == VT_OK || st == VT_NO_MEMORY);
    } while (st != VT_OK && n < 1000);
    CHECK(n > 4 && n < 1000);
    n = 0;
    do {
        vt_alloc_fail_at(++n, 1);
        st = open_and_close(NAME);
        vt_alloc_fail_at(0, 0);
        CHECK_EQ(vt_alloc_live(), live);
        CHECK(st == VT_OK || st == VT_NO_MEMORY);
    } while (st != VT_OK && n < 1000);
    CHECK(n > 1 && n < 1000);
#endif
}

int main(void)
{
    RUN(reads_what_it_wrote);
    RUN(header_bytes);
    RUN(converts_every_dtype);
    RUN(refuses_bad_headers);
    RUN(every_truncation_is_an_error);
    RUN(mutated_bytes_do_no_harm);
    RUN(refuses_to_write_nonsense);
    RUN(a_full_disk_keeps_the_old_file);
    RUN(memory_running_out);
    unlink(NAME);
    TEST_END();
}
