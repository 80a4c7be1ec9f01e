/* main.cpp - runs every primitive of kernels/ptx*.cuh on the device and holds it to formulas and golden vectors.
 *
 * The primitives run in a child process that hands over their words in shared memory: where one kills the device's
 * context, or hangs, the next child goes on behind it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "primitives.h"

#define PRIMITIVE(name, agrees, hopper, n_in, n_out, digest, fill)                 \
    {#name, agrees, hopper, n_in, n_out, digest, fill, run_##name, expect_##name},
const primitive primitives[] = {
#include "primitives.def"
};
#undef PRIMITIVE
const int n_primitives = sizeof primitives / sizeof primitives[0];

enum { MOST = 64, SECONDS = 20 /* for one primitive; the simulator takes up to 1 */, SKIPPED = 77 };

typedef enum fate { WAITING, UNDER_WAY, DONE, FAILED, NOT_HERE } fate;

/* Shared by parent and child. */
static struct results {
    int arch;             /* 90 for compute capability 9.0; 0: no device answers */
    char device[256];     /* its name and the versions of driver and runtime; or why there is none */
    fate fates[MOST];
    char why[MOST][128];  /* FAILED */
    uint32_t words[MOST][MAX_WORDS];
} *results;

static const char usage[] =
    "usage: vitc_primitives [--write DIR] [--check DIR]\n"
    "Runs the primitives of kernels/ptx*.cuh on the device and compares each with a formula.\n"
    "  --write DIR  writes DIR/sm_ARCH.txt, what this device answers; deviations are then told, but no failure\n"
    "  --check DIR  compares with DIR/sm_ARCH.txt too, if there is one\n"
    "Exit 1: something deviates. Exit 77: no CUDA device answers.\n";

/* ---- the child: all that touches the device ---------------------------------------------------------------------- */

static bool device_answers()
{
    int n = 0, driver = 0, runtime = 0;
    cudaError_t err = cudaGetDeviceCount(&n);
    cudaDeviceProp about;
    if (err == cudaSuccess && n) err = cudaGetDeviceProperties(&about, 0);
    if (err != cudaSuccess || !n) {
        snprintf(results->device, sizeof results->device, "%s",
                 err != cudaSuccess ? cudaGetErrorString(err) : "there is no CUDA device");
        return false;
    }
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    snprintf(results->device, sizeof results->device, "%.100s, driver %d, runtime %d", about.name, driver, runtime);
    results->arch = about.major * 10 + about.minor;
    return true;
}

static cudaError_t run_one(const primitive *p, uint32_t *words)
{
    static uint32_t in[MAX_WORDS];
    uint32_t *d_in = NULL, *d_out = NULL;
    cudaStream_t stream = NULL;
    primitive_inputs(p, in);
    cudaError_t err = cudaStreamCreate(&stream);
    if (err == cudaSuccess) err = cudaMalloc(&d_in, sizeof *in * (size_t)p->n_in);
    if (err == cudaSuccess) err = cudaMalloc(&d_out, sizeof *words * (size_t)p->n_out);
    if (err == cudaSuccess) err = cudaMemcpy(d_in, in, sizeof *in * (size_t)p->n_in, cudaMemcpyHostToDevice);
    if (err == cudaSuccess) err = cudaMemset(d_out, 0xCD, sizeof *words * (size_t)p->n_out);
    if (err == cudaSuccess) err = cudaDeviceSynchronize();
    if (err == cudaSuccess) err = p->run(d_in, d_out, stream);
    if (err == cudaSuccess) err = cudaStreamSynchronize(stream);
    if (err == cudaSuccess) err = cudaMemcpy(words, d_out, sizeof *words * (size_t)p->n_out, cudaMemcpyDeviceToHost);
    cudaFree(d_in);
    cudaFree(d_out);
    if (stream) cudaStreamDestroy(stream);
    return err;
}

static void child()
{
    alarm(3 * SECONDS); /* the first call can take long */
    if (!device_answers()) _exit(0);
    for (int i = 0; i < n_primitives; i++) {
        if (results->fates[i] != WAITING) continue;
        if (primitives[i].hopper && results->arch != 90) {
            results->fates[i] = NOT_HERE;
            continue;
        }
        results->fates[i] = UNDER_WAY;
        alarm(SECONDS);
        cudaError_t err = run_one(&primitives[i], results->words[i]);
        results->fates[i] = err == cudaSuccess ? DONE : FAILED;
        if (err == cudaSuccess) continue;
        snprintf(results->why[i], sizeof results->why[i], "%s", cudaGetErrorString(err));
        _exit(1); /* the context may be lost */
    }
    _exit(0);
}

/* Children until every primitive has met its fate. False: one could not be started. */
static bool run_all()
{
    for (;;) {
        int status = 0;
        fflush(NULL);
        const pid_t pid = fork();
        if (pid < 0) return false;
        if (pid == 0) child();
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
        bool went_on = WIFEXITED(status) && WEXITSTATUS(status) == 1;
        for (int i = 0; i < n_primitives; i++) {
            if (results->fates[i] != UNDER_WAY) continue;
            results->fates[i] = FAILED;
            went_on = true;
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
                snprintf(results->why[i], sizeof results->why[i], "no end within %d s", SECONDS);
            else
                snprintf(results->why[i], sizeof results->why[i], "the process ended with status %d", status);
        }
        if (!went_on) return false;
    }
}

/* ---- the parent -------------------------------------------------------------------------------------------------- */

static FILE *open_golden(const char *dir, const char *mode)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/sm_%d.txt", dir, results->arch);
    return fopen(path, mode);
}

static void report_ok(const primitive *p, const comparison *formula, const comparison *golden)
{
    printf("ok    %-24s %5d words", p->name, formula->words);
    if (p->agrees == ULPS_1 || p->agrees == ULPS_2) printf(", at most %.0f ulps off", formula->worst);
    if (p->agrees == SUMS) printf(", %.3f of the bound", formula->worst);
    if (golden && golden->other_bits) printf("; %d not bit for bit as in the golden file", golden->other_bits);
    putchar('\n');
}

/* One primitive, of which everything may be missing but the fate. False: it deviates. */
static bool examine(int i, FILE *check, FILE *write)
{
    static uint32_t in[MAX_WORDS];
    static expected e;
    static record r;
    const primitive *p = &primitives[i];
    if (results->fates[i] == NOT_HERE) return true;
    if (results->fates[i] != DONE) {
        printf("FAIL  %-24s %s\n", p->name, results->why[i]);
        if (write) fprintf(write, "# %s failed: %s\n", p->name, results->why[i]);
        return false;
    }
    primitive_inputs(p, in);
    memset(&e, 0, sizeof e);
    p->expect(in, &e);
    const comparison formula = compare_formula(p, results->words[i], &e);
    comparison golden = {};
    bool in_file = check && record_find(check, p, &r);
    if (in_file) golden = compare_golden(p, results->words[i], &e, &r);
    if (write) {
        record_of(p, results->words[i], formula.wrong == 0, &r);
        record_write(write, p->name, &r);
    }
    if (formula.wrong)
        printf("FAIL  %-24s against the formula, %d of %d: %s\n", p->name, formula.wrong, formula.words, formula.text);
    if (golden.wrong)
        printf("FAIL  %-24s against the golden file, %d of %d: %s\n", p->name, golden.wrong, golden.words, golden.text);
    if (check && !in_file) printf("note  %-24s is not in the golden file\n", p->name);
    if (!formula.wrong && !golden.wrong) report_ok(p, &formula, in_file ? &golden : NULL);
    return !formula.wrong && !golden.wrong;
}

static bool examine_all(const char *write_dir, const char *check_dir)
{
    FILE *write = write_dir ? open_golden(write_dir, "w") : NULL;
    FILE *check = check_dir ? open_golden(check_dir, "r") : NULL;
    int ran = 0, bad = 0, unwritten = 0;
    bool well[MOST];
    printf("sm_%d: %s\n", results->arch, results->device);
    if (write_dir && !write) {
        fprintf(stderr, "vitc_primitives: %s/sm_%d.txt: %s\n", write_dir, results->arch, strerror(errno));
        unwritten++;
    }
    if (check_dir && !check)
        printf("no golden vectors of sm_%d in %s yet: the formulas alone decide\n", results->arch, check_dir);
    if (write) fprintf(write, "# vitc_primitives --write: sm_%d, %s\n", results->arch, results->device);
    for (int i = 0; i < n_primitives; i++) {
        bad += !(well[i] = examine(i, check, write));
        ran += results->fates[i] != NOT_HERE;
    }
    if (check) fclose(check);
    if (write && fclose(write)) unwritten++;
    printf("%d of %d primitives as they should be", ran - bad, ran);
    for (int i = 0, told = 0; i < n_primitives; i++)
        if (!well[i]) printf("%s%s", told++ ? ", " : "; not so: ", primitives[i].name);
    putchar('\n');
    return unwritten == 0 && (bad == 0 || (write_dir && !check_dir));
}

int main(int argc, char **argv)
{
    const char *write_dir = NULL, *check_dir = NULL;
    for (int i = 1; i < argc; i += 2) {
        const char **dir = !strcmp(argv[i], "--write") ? &write_dir : !strcmp(argv[i], "--check") ? &check_dir : NULL;
        if (!dir || i + 1 == argc) {
            fputs(usage, stderr);
            return 2;
        }
        *dir = argv[i + 1];
    }
    static_assert(sizeof primitives / sizeof primitives[0] <= MOST, "room for results");
    void *shared = mmap(NULL, sizeof *results, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        fprintf(stderr, "vitc_primitives: no shared memory: %s\n", strerror(errno));
        return 1;
    }
    results = (struct results *)shared;
    if (!run_all()) {
        fprintf(stderr, "vitc_primitives: the process that runs them could not do so\n");
        return 1;
    }
    if (!results->arch) {
        printf("skipped: %s\n", results->device);
        return SKIPPED;
    }
    return examine_all(write_dir, check_dir) ? 0 : 1;
}
