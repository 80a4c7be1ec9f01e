/* tests/test.h - the smallest harness that tells what failed, where, with which values.
 *
 *     TEST(adds) { CHECK(1 + 1 == 2); CHECK_EQ(add(2, 2), 4); }
 *     TEST_MAIN(adds, subtracts)
 *
 * Exit status 0: all passed; 1: a check failed; 77: skipped, the reason printed (ctest shows it as skipped). */
#ifndef VT_TEST_H
#define VT_TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static int test_failures;

#define TEST(name) static void test_##name(void)

#define CHECK_MSG(cond, ...)                                              \
    do {                                                                  \
        if (!(cond)) {                                                    \
            test_failures++;                                              \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond);    \
            fprintf(stderr, __VA_ARGS__);                                 \
            fputc('\n', stderr);                                          \
        }                                                                 \
    } while (0)
#define CHECK(cond) CHECK_MSG(cond, "does not hold")
#define CHECK_EQ(a, b) CHECK_MSG((a) == (b), "%lld and %lld", (long long)(a), (long long)(b))
#define CHECK_NEAR(a, b, tol) \
    CHECK_MSG(fabs((double)(a) - (double)(b)) <= (tol), "%.9g and %.9g", (double)(a), (double)(b))
#define CHECK_STR(a, b) CHECK_MSG(strcmp(a, b) == 0, "\"%s\" and \"%s\"", a, b)
#define CHECK_OK(expr) CHECK_MSG((expr) == VT_OK, "%s", vt_error())
/* Fails with this status and a message that contains `part`. */
#define CHECK_FAILS(expr, status, part) \
    CHECK_MSG((expr) == (status) && strstr(vt_error(), part), "expected \"%s\", got \"%s\"", part, vt_error())

#define SKIP(...)                      \
    do {                               \
        printf("skipped: " __VA_ARGS__); \
        putchar('\n');                 \
        exit(77);                      \
    } while (0)

#define RUN(name)                                                                        \
    do {                                                                                 \
        int before = test_failures;                                                      \
        test_##name();                                                                   \
        printf("%s %s\n", test_failures == before ? "ok  " : "FAIL", #name);             \
        fflush(stdout);                                                                  \
    } while (0)

#define TEST_END() return test_failures ? 1 : 0

#endif
