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
    return device->backend->alloc(device, vt_store_bytes(store), &store->data);
}

void vt_store_unbind(vt_store *store, vt_device *device)
{
    if (store->data) device->backend->free(device, store->data);
    store->data = NULL;
}

/* Through the host in pieces: it happens once a run. */
void vt_store_copy(vt_store *to, const vt_store *from, vt_device *device)
{
    unsigned char block[4096];
    size_t bytes = vt_store_bytes(from);
    for (size_t at = 0; at < bytes; at += sizeof block) {
        size_t n = bytes - at < sizeof block ? bytes - at : sizeof block;
        device->backend->read(device, (const char *)from->data + at, block, n);
        device->backend->write(device, (char *)to->data + at, block, n);
    }
}

void vt_workspace_free(vt_workspace *w)
{
    if (!w->device) return;
    if (w->data) w->device->backend->free(w->device, w->data);
    if (w->scratch) w->device->backend->free(w->device, w->scratch);
    *w = (vt_workspace){.device = w->device};
}
