#include "base/arena.h"

#include <stdint.h>

#include "base/alloc.h"
#include "test.h"

TEST(blocks_are_zeroed_aligned_and_apart)
{
    enum { N = 3000 };
    static unsigned char *block[N];
    vt_arena arena = {0};
    size_t size[N], wrong = 0;
    for (size_t i = 0; i < N; i++) {
        size[i] = i % 97 == 96 ? 100000 : i % 200; /* some larger than a chunk, some of no bytes */
        block[i] = vt_arena_alloc(&arena, size[i]);
        CHECK(block[i] != NULL);
        CHECK_EQ((uintptr_t)block[i] % 16, 0);
        for (size_t k = 0; k < size[i]; k++) wrong += block[i][k] != 0;
        memset(block[i], (int)(i % 255 + 1), size[i]);
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < size[i]; k++) wrong += block[i][k] != i % 255 + 1;
    }
    CHECK_EQ(wrong, 0);
    vt_arena_free(&arena);
}

TEST(strings)
{
    vt_arena arena = {0};
    CHECK_STR(vt_arena_printf(&arena, "%s-%d", "x", 42), "x-42");
    CHECK_STR(vt_arena_strndup(&arena, "abcdef", 3), "abc");
    CHECK_STR(vt_arena_strndup(&arena, "", 0), "");
    vt_arena_free(&arena);
    CHECK_STR(vt_arena_printf(&arena, "again"), "again"); /* a freed arena is an empty one */
    vt_arena_free(&arena);
}

TEST(memory_running_out)
{
    vt_arena arena = {0};
    CHECK(!vt_arena_alloc(&arena, SIZE_MAX));
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live();
    vt_alloc_fail_at(1, 1);
    CHECK(!vt_arena_alloc(&arena, 1));
    CHECK(!vt_arena_printf(&arena, "x"));
    CHECK(!vt_arena_strndup(&arena, "x", 1));
    vt_alloc_fail_at(0, 0);
    CHECK(vt_arena_alloc(&arena, 1));
    CHECK_EQ(vt_alloc_live(), live + 1);
    vt_arena_free(&arena);
    CHECK_EQ(vt_alloc_live(), live);
#endif
}

int main(void)
{
    RUN(blocks_are_zeroed_aligned_and_apart);
    RUN(strings);
    RUN(memory_running_out);
    TEST_END();
}
