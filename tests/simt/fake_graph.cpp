/* fake_graph.cpp - capture of streams into a graph, and its replay: nodes in any order that their edges allow. */
#include "fake.h"

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    return fake_call("cudaStreamBeginCapture", FAKE_SAFE, [=] {
        if (!stream || stream == cudaStreamLegacy) return cudaErrorStreamCaptureUnsupported;
        CUstream_st *s = fake_stream(stream);
        if (!s) return cudaErrorInvalidResourceHandle;
        if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) return cudaErrorInvalidValue;
        if (s->capture) return cudaErrorIllegalState;
        s->capture = std::make_shared<fake_capture>();
        s->capture->origin = s;
        s->capture->mode = mode;
        s->capture->thread = std::this_thread::get_id();
        s->capture->streams = {s};
        s->frontier.clear();
        fake().captures.insert(s->capture);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    return fake_call("cudaStreamIsCapturing", FAKE_SAFE, [=] {
        CUstream_st *s = fake_stream(stream);
        if (!s) return cudaErrorInvalidResourceHandle;
        if (!status) return cudaErrorInvalidValue;
        *status = !s->capture           ? cudaStreamCaptureStatusNone
                  : s->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
        return cudaSuccess;
    });
}

/* Whether the origin stream comes after every node: else the graph would end before all its work has. */
static bool joined(const std::vector<fake_node> &nodes, const std::vector<size_t> &frontier)
{
    std::vector<bool> reached(nodes.size(), false);
    for (size_t n : frontier) reached[n] = true;
    for (size_t n = nodes.size(); n-- > 0;) { /* edges lead backwards only */
        if (!reached[n]) return false;
        for (size_t before : nodes[n].after) reached[before] = true;
    }
    return true;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    return fake_call("cudaStreamEndCapture", FAKE_SAFE, [=] {
        CUstream_st *s = fake_stream(stream);
        if (!s) return cudaErrorInvalidResourceHandle;
        if (!graph) return cudaErrorInvalidValue;
        *graph = nullptr;
        if (!s->capture) return cudaErrorIllegalState;
        std::shared_ptr<fake_capture> c = s->capture;
        if (c->origin != s) {
            c->invalid = true;
            return fake_misuse(cudaErrorStreamCaptureUnmatched, "cudaStreamEndCapture: the capture began elsewhere");
        }
        if (c->mode != cudaStreamCaptureModeRelaxed && c->thread != std::this_thread::get_id())
            return cudaErrorStreamCaptureWrongThread;
        bool whole = joined(c->nodes, s->frontier);
        for (CUstream_st *each : c->streams) {
            each->capture = nullptr;
            each->frontier.clear();
        }
        fake().captures.erase(c);
        if (c->invalid) return cudaErrorStreamCaptureInvalidated;
        if (!whole)
            return fake_misuse(cudaErrorStreamCaptureUnjoined, "cudaStreamEndCapture: a forked stream was not joined");
        *graph = new CUgraph_st{std::move(c->nodes)};
        fake().graphs.insert(*graph);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    return fake_call("cudaGraphGetNodes", FAKE_SAFE, [=] {
        if (!fake().graphs.count(graph) || !count) return cudaErrorInvalidValue;
        if (nodes) return cudaErrorNotSupported;
        *count = graph->nodes.size();
        return cudaSuccess;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    return fake_call("cudaGraphDestroy", FAKE_SAFE, [=] {
        if (!fake().graphs.erase(graph)) return fake_misuse(cudaErrorInvalidValue, "cudaGraphDestroy: no such graph");
        delete graph;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    return fake_call("cudaGraphInstantiate", FAKE_SAFE, [=] {
        if (!exec || !fake().graphs.count(graph) || flags) return cudaErrorInvalidValue;
        *exec = new CUgraphExec_st{graph->nodes, nullptr};
        fake().execs.insert(*exec);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return fake_call("cudaGraphExecDestroy", FAKE_SAFE, [=] {
        if (!fake().execs.count(exec)) return fake_misuse(cudaErrorInvalidValue, "cudaGraphExecDestroy: no such graph");
        if (exec->last && !exec->last->done)
            return fake_misuse(cudaErrorIllegalState, "cudaGraphExecDestroy of a graph whose launch is pending");
        fake().execs.erase(exec);
        delete exec;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    return fake_call("cudaGraphUpload", FAKE_SAFE, [=] {
        return fake().execs.count(exec) && fake_stream(stream) ? cudaSuccess : cudaErrorInvalidValue;
    });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    return fake_call("cudaGraphLaunch", FAKE_SAFE, [=] {
        CUstream_st *s = fake_stream(stream);
        if (!s || !fake().execs.count(exec)) return cudaErrorInvalidValue;
        if (s->capture) {
            s->capture->invalid = true;
            return fake_misuse(cudaErrorStreamCaptureUnsupported, "cudaGraphLaunch while capturing");
        }
        fake_ref begin;
        cudaError_t err = fake_enqueue(s, "graph", 0, nullptr, &begin);
        if (err != cudaSuccess) return err;
        begin = fake_push("graph", s->lane, 0, nullptr, {begin, exec->last});
        std::vector<fake_ref> ops;
        for (const fake_node &n : exec->nodes) {
            std::vector<fake_ref> after = {begin};
            for (size_t before : n.after) after.push_back(ops[before]);
            ops.push_back(fake_push(n.what, n.lane, n.us, n.body, after));
        }
        ops.push_back(begin);
        s->tail = exec->last = fake_push("graph", s->lane, 0, nullptr, ops);
        return cudaSuccess;
    });
}
