/* tensor_list.cuh - one launch over many tensors: the list travels in the kernel's parameters, each tensor is cut into
 * chunks, a block takes a chunk. Which block does what follows from the shapes alone. */
#ifndef VT_TENSOR_LIST_CUH
#define VT_TENSOR_LIST_CUH

#include "cuda.cuh"

enum { LIST_BYTES = 3840 }; /* of the 4096 that a kernel's parameters may take; the rest is the kernel's own */

/* Up to MOST groups of P tensors with the same number of elements: a parameter, its gradient, its moments. */
template <int P> struct tensor_list {
    enum { MOST = LIST_BYTES / (8 * P + 8 + 4 + 4 + 1) };
    void *data[MOST][P];
    int64_t count[MOST];      /* elements of group i */
    int first[MOST + 1];      /* chunk at which group i begins; first[n]: how many chunks there are */
    float number[MOST];       /* the kernel's own, as is */
    unsigned char flag[MOST]; /* this */
    int n;
};

/* Makes the list of the node's inputs from `at` on, group by group, until it is full; returns where to go on. */
template <int P> static inline int list_inputs(tensor_list<P> *list, const vt_run *r, int at, int chunk)
{
    static_assert(sizeof(tensor_list<P>) <= LIST_BYTES + 32, "the list outgrows a kernel's parameters");
    list->n = list->first[0] = 0;
    for (; at < r->node->n_in && list->n < tensor_list<P>::MOST; at += P) {
        int i = list->n++;
        for (int k = 0; k < P; k++) list->data[i][k] = r->in[at + k];
        list->count[i] = vt_tensor_count(r->node->in[at]);
        list->number[i] = 0;
        list->flag[i] = 0;
        list->first[i + 1] = list->first[i] + (int)ceil_div(list->count[i], chunk);
    }
    return at;
}

struct list_chunk {
    int group;
    int64_t begin, end; /* elements */
};

/* This block's: chunk blockIdx.x. */
template <int P> VT_DEVICE list_chunk list_find(const tensor_list<P> &list, int chunk)
{
    int low = 0, high = list.n - 1;
    while (low < high) { /* the last group that begins at or before the chunk */
        int middle = (low + high + 1) / 2;
        if (list.first[middle] <= (int)blockIdx.x) low = middle;
        else high = middle - 1;
    }
    int64_t begin = (int64_t)((int)blockIdx.x - list.first[low]) * chunk, count = list.count[low];
    return {low, begin, begin + chunk < count ? begin + chunk : count};
}

#endif
