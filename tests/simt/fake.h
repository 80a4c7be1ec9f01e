/* fake.h - the fake device's own state: a CUDA device that is slow, small, and checks how it is used.
 *
 * Work is queued and runs only when the host waits for some of it, in any order that streams, events and the legacy
 * default stream allow; SIMT_SEED picks which (0: as queued). A missing wait thus shows as a wrong result under a seed.
 * What was not waited for may not have run at all.
 *
 * Device memory is poisoned (0xFF: NaN), lies between guard pages and cannot be touched by the host (allocations over
 * 1 MiB are locked now and then only, for it takes time), nor by anyone once freed. Copies are checked against
 * allocations, when queued and when run. An asynchronous copy from pageable memory reads it at the call, one from
 * pinned memory when it runs.
 *
 * Stricter than hardware, on purpose: a stream or an event is not destroyed while its work is pending; pageable host
 * memory is not copied while capturing; nothing reads a captured event after its capture. Not modelled: time (an
 * operation takes a made-up time, the same in every run), the memory model, contexts, memory pools, peers.
 *
 * Environment: SIMT_SEED; VT_FAKE_ARCH (80, 86, 90, 120), VT_FAKE_DEVICES, VT_FAKE_MEMORY (bytes), VT_FAKE_SMS;
 * VT_FAKE_FASTEST (the GEMM algorithm of this number takes next to no time); VT_FAKE_LEAKS ("report", or "fail" to exit
 * with 99) lists at exit what was never given back; VT_FAKE_REPORT tells at exit how much memory was in use at most,
 * and what was asked for. */
#ifndef FAKE_H
#define FAKE_H

#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <cuda_runtime.h>

/* What an operation does when its turn comes. False: the device is broken, and *report says by what. */
typedef std::function<bool(std::string *report)> fake_body;

struct fake_op { /* one queued operation: a vertex of the graph of everything not yet done */
    const char *what;
    fake_body body;       /* none for events and joins */
    int lane;             /* the stream it was queued on: scheduling has a priority for each */
    double us;            /* its made-up duration */
    uint64_t serial = 0;  /* the how-manieth queued */
    int waiting = 0;      /* operations it still waits for */
    bool done = false;
    double stamp = 0;     /* the device's clock when it was done, microseconds */
    std::vector<std::shared_ptr<fake_op>> next;
};
typedef std::shared_ptr<fake_op> fake_ref;

struct fake_node { /* an operation of a graph */
    const char *what;
    fake_body body;
    int lane;
    double us;
    std::vector<size_t> after; /* nodes of the same graph, all before it */
};

struct fake_capture {
    CUstream_st *origin;
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    bool invalid = false;
    std::set<CUstream_st *> streams;
    std::vector<fake_node> nodes;
};

struct CUstream_st {
    int device, lane;
    bool blocking;                         /* ordered with the legacy default stream */
    fake_ref tail;                         /* what was queued last */
    std::shared_ptr<fake_capture> capture; /* while capturing */
    std::vector<size_t> frontier;          /* then: the nodes that the next one comes after */
};

struct CUevent_st {
    unsigned flags;
    fake_ref last;                         /* its latest record */
    std::shared_ptr<fake_capture> capture; /* of the latest record, if captured */
    std::vector<size_t> frontier;
};

struct CUgraph_st {
    std::vector<fake_node> nodes;
};

struct CUgraphExec_st {
    std::vector<fake_node> nodes;
    fake_ref last;                         /* its launches run one after another */
};

struct fake_range { /* memory from its address, the key it is kept under */
    size_t bytes;
    int device;
    void *mapped;         /* device memory: with guard pages */
    size_t mapped_bytes;
    bool registered;      /* host memory: by cudaHostRegister */
    bool locked;          /* device memory: out of the host's reach */
};
typedef std::map<uintptr_t, fake_range> fake_ranges;

struct fake_state {
    std::recursive_mutex lock;
    fake_ranges device, freed, pinned;
    bool unlocked = false;                 /* device memory can be touched: an operation runs */
    bool in_kernel = false;
    std::map<int, size_t> used;            /* bytes of device memory, by device */
    size_t asked = 0, most_asked = 0;      /* bytes in use as they were asked for, of all devices; at most so far */
    size_t heuristics = 0;                 /* calls of cublasLtMatmulAlgoGetHeuristic */
    std::set<CUstream_st *> streams;
    std::set<CUevent_st *> events;
    std::set<CUgraph_st *> graphs;
    std::set<CUgraphExec_st *> execs;
    std::set<std::shared_ptr<fake_capture>> captures;
    std::map<int, CUstream_st> legacy;     /* default streams, by device */
    int lanes = 0;

    std::vector<fake_ref> ready;
    size_t pending = 0;                    /* operations not done, ready or not */
    uint64_t serial = 0;                   /* operations ever queued */
    bool shuffled = true;                  /* no: they run as they were queued */
    std::map<int, uint64_t> priority;      /* of lanes */
    std::mt19937_64 random;
    double clock = 0;                      /* microseconds */

    cudaError_t broken = cudaSuccess;      /* sticky */
    std::string report;                    /* the latest */
};

fake_state &fake();

/* ---- calls (fake_device.cpp) ------------------------------------------------------------------------------------- */

/* SAFE calls are allowed while capturing; UNSAFE ones are not where a capture forbids them; SYNC ones never are. */
enum fake_kind { FAKE_SAFE, FAKE_UNSAFE, FAKE_SYNC };

cudaError_t fake_open(const char *call, fake_kind kind);
cudaError_t fake_close(cudaError_t err); /* keeps the error as the thread's last */
int fake_current();                      /* the thread's device */
size_t fake_env(const char *name, size_t otherwise);
int fake_arch();
size_t fake_smem_limit();

/* Tells on stderr what was misused, and returns `err`. */
cudaError_t fake_misuse(cudaError_t err, const char *format, ...) __attribute__((format(printf, 2, 3)));
std::string fake_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fake_seed(uint64_t seed);           /* for tests; else SIMT_SEED */

template <typename F> static inline cudaError_t fake_call(const char *call, fake_kind kind, F body)
{
    std::lock_guard<std::recursive_mutex> hold(fake().lock);
    cudaError_t err = fake_open(call, kind);
    return fake_close(err != cudaSuccess ? err : body());
}

/* ---- scheduling (fake_stream.cpp) -------------------------------------------------------------------------------- */

fake_ref fake_push(const char *what, int lane, double us, fake_body body, const std::vector<fake_ref> &after);
void fake_run(const fake_ref &until);    /* what it needs, and perhaps more */
void fake_drain();
CUstream_st *fake_stream(cudaStream_t stream); /* NULL: no such stream, or of another device */

/* Queues an operation on a stream, or adds it to the graph it captures. *queued may be NULL; it is left alone when
 * capturing. */
cudaError_t fake_enqueue(CUstream_st *s, const char *what, double us, fake_body body, fake_ref *queued = nullptr);

/* ---- memory (fake_memory.cpp) ------------------------------------------------------------------------------------ */

void fake_memory_unlock(bool open);      /* whether device memory can be touched */
bool fake_memory_is_device(const void *p);
bool fake_memory_is_pinned(const void *p, size_t bytes);
/* Whether [p, p + bytes) lies in one allocation of device memory; *why says what it does instead. */
bool fake_memory_holds(const void *p, size_t bytes, std::string *why);
bool fake_memory_intact(std::string *why); /* nobody wrote beyond an allocation's ends */
void fake_fault_watch();                 /* (fake_fault.cpp) bad accesses are told from the first allocation on */

#endif
