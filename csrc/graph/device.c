/* Devices, and what lies on them. */
#include <string.h>

#include "base/alloc.h"
#include "graph/exec.h"

vt_status vt_device_open(vt_device **device, const vt_device_options *options)
{
    *device = NULL;
    vt_device *d = vt_alloc(sizeof *d);
    if (!d) return vt_fail_memory("device");
    for (const vt_backend *const *b = vt_backends; *b; b++)
        if (strcmp((*b)->name, options->name) == 0) d->backend = *b;
    vt_status st = d->backend ? d->backend->open(d, options)
                              : vt_fail(VT_INVALID, "--device %s: this build has no such backend; use --device cpu",
                                        options->name);
    if (st) {
        vt_free(d);
        return st;
    }
    *device = d;
    return VT_OK;
}

void vt_device_close(vt_device *device)
{
    if (!device) return;
    device->backend->close(device);
    vt_free(device);
}

vt_status vt_store_bind(vt_store *store, vt_device *device)
{
    if (store->data) return VT_OK;
    vt_status st = device->backend->alloc(device, vt_store_bytes(store), &store->data);
    if (st || !store->low || store->low->dtype != device->precision.act) return st;
    return vt_store_bind(store->low, device);
}

void vt_store_unbind(vt_store *store, vt_device *device)
{
    if (store->low) vt_store_unbind(store->low, device);
    if (store->data) device->backend->free(device, store->data);
    store->data = NULL;
}

static char *entry_data(const vt_store *s, int entry, int64_t at)
{
    return (char *)s->data + (size_t)(s->entries[entry].offset + at) * vt_dtype_bytes(s->dtype);
}

enum { BLOCK = 1 << 14 }; /* each is a copy that the host waits for: DeiT-B has 5,000 of them */

void vt_store_write(const vt_store *s, vt_device *d, int entry, int64_t at, const void *values, int64_t n)
{
    uint16_t rounded[BLOCK];
    const float *from = values; /* where there is a low one to write */
    d->backend->write(d, entry_data(s, entry, at), values, (size_t)n * vt_dtype_bytes(s->dtype));
    if (!s->low || !s->low->data || !s->low->entries[entry].count) return;
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t some = n - i < BLOCK ? n - i : BLOCK;
        for (int64_t k = 0; k < some; k++) rounded[k] = vt_bf16(from[i + k]);
        d->backend->write(d, entry_data(s->low, entry, at + i), rounded, (size_t)some * sizeof *rounded);
    }
}

/* Through the host in pieces: it happens once a run. */
void vt_store_copy(vt_store *to, const vt_store *from, vt_device *device)
{
    double block[BLOCK]; /* of any dtype */
    for (int i = 0; i < from->count; i++)
        for (int64_t at = 0, n = from->entries[i].count; at < n; at += BLOCK) {
            int64_t some = n - at < BLOCK ? n - at : BLOCK;
            device->backend->read(device, entry_data(from, i, at), block, (size_t)some * vt_dtype_bytes(from->dtype));
            vt_store_write(to, device, i, at, block, some);
        }
}

void vt_workspace_free(vt_workspace *w)
{
    if (!w->device) return;
    if (w->data) w->device->backend->free(w->device, w->data);
    if (w->scratch) w->device->backend->free(w->device, w->scratch);
    *w = (vt_workspace){.device = w->device};
}
