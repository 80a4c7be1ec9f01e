/* fake_stream.cpp - the queue of everything not done yet and the order in which it runs; streams, events, launches.
 *
 * Each lane (a stream) has a random priority, drawn anew now and then: so one stream may run far ahead of another, or
 * they may alternate, and over some seeds every order is met that the dependencies allow. */
#include "fake.h"

#include <algorithm>

static uint64_t priority(int lane)
{
    auto it = fake().priority.find(lane);
    if (it == fake().priority.end()) it = fake().priority.emplace(lane, fake().random()).first;
    return it->second;
}

/* Whether b runs rather than a. */
static bool behind(const fake_ref &a, const fake_ref &b)
{
    return fake().shuffled ? priority(a->lane) < priority(b->lane) : a->serial > b->serial;
}

static fake_ref next_ready()
{
    fake_state &f = fake();
    if (f.shuffled) std::shuffle(f.ready.begin(), f.ready.end(), f.random); /* a lane's branches have no order either */
    auto best = std::max_element(f.ready.begin(), f.ready.end(), behind);
    fake_ref op = *best;
    f.ready.erase(best);
    if (f.random() % 4 == 0) f.priority[op->lane] = f.random();
    return op;
}

static void step()
{
    fake_state &f = fake();
    fake_ref op = next_ready();
    std::string report;
    if (op->body && f.broken == cudaSuccess && !op->body(&report))
        f.broken = fake_misuse(cudaErrorIllegalAddress, "%s: %s", op->what, report.c_str());
    f.clock += op->us;
    op->stamp = f.clock;
    op->done = true;
    op->body = nullptr;
    f.pending--;
    for (auto &n : op->next)
        if (--n->waiting == 0) f.ready.push_back(n);
    op->next.clear();
}

void fake_run(const fake_ref &until)
{
    if (!until || until->done) return;
    fake_memory_unlock(true);
    while (!until->done) step();
    fake_memory_unlock(false);
}

void fake_drain()
{
    if (!fake().pending) return;
    fake_memory_unlock(true);
    while (fake().pending) step();
    fake_memory_unlock(false);
}

/* What someone who polls gives time for: a little at each look. */
static cudaError_t poll(const fake_ref &op)
{
    fake_memory_unlock(true);
    for (uint64_t n = 1 + fake().random() % 3; n > 0 && op && !op->done; n--) step();
    fake_memory_unlock(false);
    if (fake().broken != cudaSuccess) return fake().broken;
    return !op || op->done ? cudaSuccess : cudaErrorNotReady;
}

fake_ref fake_push(const char *what, int lane, double us, fake_body body, const std::vector<fake_ref> &after)
{
    fake_state &f = fake();
    fake_ref op = std::make_shared<fake_op>();
    op->what = what;
    op->body = std::move(body);
    op->lane = lane;
    op->us = us;
    op->serial = f.serial++;
    for (auto &a : after)
        if (a && !a->done) {
            a->next.push_back(op);
            op->waiting++;
        }
    f.pending++;
    if (op->waiting == 0) f.ready.push_back(op);
    return op;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static CUstream_st *legacy(int device)
{
    auto it = fake().legacy.find(device);
    if (it == fake().legacy.end()) {
        CUstream_st s = {device, fake().lanes++, true, nullptr, nullptr, {}};
        it = fake().legacy.emplace(device, s).first;
    }
    return &it->second;
}

CUstream_st *fake_stream(cudaStream_t stream)
{
    if (!stream || stream == cudaStreamLegacy) return legacy(fake_current());
    return fake().streams.count(stream) ? stream : nullptr;
}

static cudaError_t add_node(CUstream_st *s, const char *what, double us, fake_body body)
{
    if (s->capture->invalid) return cudaErrorStreamCaptureInvalidated;
    auto &nodes = s->capture->nodes;
    nodes.push_back({what, std::move(body), s->lane, us, s->frontier});
    s->frontier = {nodes.size() - 1};
    return cudaSuccess;
}

/* What an operation on s comes after: the one before it; on the legacy stream all blocking streams, and the reverse. */
static cudaError_t predecessors(CUstream_st *s, std::vector<fake_ref> *after)
{
    after->push_back(s->tail);
    if (s != legacy(s->device)) {
        if (s->blocking) after->push_back(legacy(s->device)->tail);
        return cudaSuccess;
    }
    for (CUstream_st *other : fake().streams) {
        if (!other->blocking || other->device != s->device) continue;
        if (other->capture) {
            other->capture->invalid = true;
            return fake_misuse(cudaErrorStreamCaptureImplicit, "work on the default stream while another captures");
        }
        after->push_back(other->tail);
    }
    return cudaSuccess;
}

cudaError_t fake_enqueue(CUstream_st *s, const char *what, double us, fake_body body, fake_ref *queued)
{
    if (s->capture) return add_node(s, what, us, std::move(body));
    std::vector<fake_ref> after;
    cudaError_t err = predecessors(s, &after);
    if (err != cudaSuccess) return err;
    s->tail = fake_push(what, s->lane, us, std::move(body), after);
    if (queued) *queued = s->tail;
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    return fake_call("cudaStreamCreate", FAKE_SAFE, [=] {
        if (!stream || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
        bool blocking = !(flags & cudaStreamNonBlocking);
        *stream = new CUstream_st{fake_current(), fake().lanes++, blocking, nullptr, nullptr, {}};
        fake().streams.insert(*stream);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    return fake_call("cudaStreamDestroy", FAKE_SAFE, [=] {
        if (!fake().streams.count(stream))
            return fake_misuse(cudaErrorInvalidResourceHandle, "cudaStreamDestroy: no such stream, or destroyed twice");
        if (stream->capture) return fake_misuse(cudaErrorIllegalState, "cudaStreamDestroy of a stream that captures");
        if (stream->tail && !stream->tail->done)
            return fake_misuse(cudaErrorIllegalState, "cudaStreamDestroy of a stream with pending work");
        fake().streams.erase(stream);
        delete stream;
        return cudaSuccess;
    });
}

static cudaError_t not_capturing(CUstream_st *s, const char *call)
{
    if (!s) return cudaErrorInvalidResourceHandle;
    if (!s->capture) return cudaSuccess;
    s->capture->invalid = true;
    return fake_misuse(cudaErrorStreamCaptureUnsupported, "%s of a stream that captures", call);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    return fake_call("cudaStreamSynchronize", FAKE_UNSAFE, [=] {
        CUstream_st *s = fake_stream(stream);
        cudaError_t err = not_capturing(s, "cudaStreamSynchronize");
        if (err != cudaSuccess) return err;
        std::vector<fake_ref> wanted;
        err = predecessors(s, &wanted); /* the legacy stream waits for the blocking ones too */
        for (auto &op : wanted) fake_run(op);
        return err != cudaSuccess ? err : fake().broken;
    });
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return fake_call("cudaStreamQuery", FAKE_UNSAFE, [=] {
        CUstream_st *s = fake_stream(stream);
        cudaError_t err = not_capturing(s, "cudaStreamQuery");
        return err != cudaSuccess ? err : poll(s->tail);
    });
}

cudaError_t cudaDeviceSynchronize(void)
{
    return fake_call("cudaDeviceSynchronize", FAKE_SYNC, [] {
        fake_drain();
        return fake().broken;
    });
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    return fake_call("cudaEventCreate", FAKE_SAFE, [=] {
        if (!event || flags > (cudaEventBlockingSync | cudaEventDisableTiming)) return cudaErrorInvalidValue;
        *event = new CUevent_st{flags, nullptr, nullptr, {}};
        fake().events.insert(*event);
        return cudaSuccess;
    });
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return fake_call("cudaEventDestroy", FAKE_SAFE, [=] {
        if (!fake().events.count(event))
            return fake_misuse(cudaErrorInvalidResourceHandle, "cudaEventDestroy: no such event, or destroyed twice");
        if (event->last && !event->last->done)
            return fake_misuse(cudaErrorIllegalState, "cudaEventDestroy of an event that is still to come");
        fake().events.erase(event);
        delete event;
        return cudaSuccess;
    });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return fake_call("cudaEventRecord", FAKE_SAFE, [=] {
        CUstream_st *s = fake_stream(stream);
        if (!s || !fake().events.count(event)) return cudaErrorInvalidResourceHandle;
        if (s->capture && s->capture->invalid) return cudaErrorStreamCaptureInvalidated;
        event->capture = s->capture;
        event->frontier = s->frontier;
        event->last = nullptr;
        return s->capture ? cudaSuccess : fake_enqueue(s, "event", 0, nullptr, &event->last);
    });
}

static cudaError_t spoil(CUstream_st *s, cudaError_t err, const char *why)
{
    if (s->capture) s->capture->invalid = true;
    return fake_misuse(err, "cudaStreamWaitEvent: %s", why);
}

/* A wait on an event that a capture recorded: the stream joins that capture. */
static cudaError_t wait_captured(CUstream_st *s, CUevent_st *e)
{
    if (!fake().captures.count(e->capture)) return spoil(s, cudaErrorCapturedEvent, "the event's capture has ended");
    if (e->capture->invalid) return cudaErrorStreamCaptureInvalidated;
    if (s->capture && s->capture != e->capture) {
        e->capture->invalid = true;
        return spoil(s, cudaErrorStreamCaptureMerge, "the event belongs to another capture");
    }
    if (s == legacy(s->device)) return spoil(s, cudaErrorStreamCaptureImplicit, "the default stream joins no capture");
    s->capture = e->capture;
    s->capture->streams.insert(s);
    for (size_t n : e->frontier)
        if (std::find(s->frontier.begin(), s->frontier.end(), n) == s->frontier.end()) s->frontier.push_back(n);
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    return fake_call("cudaStreamWaitEvent", FAKE_SAFE, [=] {
        CUstream_st *s = fake_stream(stream);
        if (!s || !fake().events.count(event)) return cudaErrorInvalidResourceHandle;
        if (flags) return cudaErrorInvalidValue;
        if (event->capture) return wait_captured(s, event);
        if (!event->last) return cudaSuccess; /* never recorded */
        if (s->capture) return spoil(s, cudaErrorStreamCaptureIsolation, "the event was recorded outside the capture");
        std::vector<fake_ref> after = {event->last};
        cudaError_t err = predecessors(s, &after);
        if (err == cudaSuccess) s->tail = fake_push("event wait", s->lane, 0, nullptr, after);
        return err;
    });
}

/* Whether the host may look at an event now. */
static cudaError_t usable(cudaEvent_t e, const char *call)
{
    if (!fake().events.count(e)) return cudaErrorInvalidResourceHandle;
    if (!e->capture) return fake_open(call, FAKE_UNSAFE);
    e->capture->invalid = true;
    return fake_misuse(cudaErrorCapturedEvent, "%s of an event that a capture recorded", call);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    return fake_call("cudaEventSynchronize", FAKE_SAFE, [=] {
        cudaError_t err = usable(event, "cudaEventSynchronize");
        if (err == cudaSuccess) fake_run(event->last);
        return err != cudaSuccess ? err : fake().broken;
    });
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return fake_call("cudaEventQuery", FAKE_SAFE, [=] {
        cudaError_t err = usable(event, "cudaEventQuery");
        return err != cudaSuccess ? err : poll(event->last);
    });
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    return fake_call("cudaEventElapsedTime", FAKE_SAFE, [=] {
        if (!ms) return cudaErrorInvalidValue;
        for (cudaEvent_t e : {start, end}) {
            cudaError_t err = usable(e, "cudaEventElapsedTime");
            if (err != cudaSuccess) return err;
            if (!e->last || (e->flags & cudaEventDisableTiming)) return cudaErrorInvalidResourceHandle;
        }
        if (!start->last->done || !end->last->done) return cudaErrorNotReady;
        *ms = (float)((end->last->stamp - start->last->stamp) * 1e-3);
        return cudaSuccess;
    });
}

/* ---- launches ---------------------------------------------------------------------------------------------------- */

static cudaError_t check_launch(dim3 grid, dim3 block, size_t smem)
{
    uint64_t threads = (uint64_t)block.x * block.y * block.z, blocks = (uint64_t)grid.x * grid.y * grid.z;
    bool fits = blocks > 0 && threads > 0 && threads <= 1024 && block.x <= 1024 && block.y <= 1024 && block.z <= 64 &&
                grid.x <= 0x7FFFFFFF && grid.y <= 65535 && grid.z <= 65535;
    if (!fits)
        return fake_misuse(cudaErrorInvalidConfiguration, "launch of a grid of %u x %u x %u, blocks of %u x %u x %u",
                           grid.x, grid.y, grid.z, block.x, block.y, block.z);
    if (smem <= fake_smem_limit()) return cudaSuccess;
    return fake_misuse(cudaErrorInvalidValue, "launch with %zu bytes of shared memory a block; sm_%d has %zu", smem,
                       fake_arch(), fake_smem_limit());
}

cudaError_t simt_launch(dim3 grid, dim3 block, size_t smem, cudaStream_t stream, std::function<void()> kernel)
{
    return fake_call("kernel launch", FAKE_SAFE, [=] {
        CUstream_st *s = fake_stream(stream);
        if (!s || s->device != fake_current()) return cudaErrorInvalidResourceHandle;
        cudaError_t err = check_launch(grid, block, smem);
        if (err != cudaSuccess) return err;
        double us = 1 + 1e-3 * grid.x * grid.y * grid.z * (block.x * block.y * block.z);
        return fake_enqueue(s, "kernel", us, [=](std::string *report) {
            fake().in_kernel = true;
            bool ok = simt_run_grid(grid, block, smem, kernel, report);
            fake().in_kernel = false;
            return ok && fake_memory_intact(report);
        });
    });
}
