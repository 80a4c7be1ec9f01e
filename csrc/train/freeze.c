#include "train/freeze.h"

#include <fnmatch.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

static vt_status matches_nothing(const vt_store *params, const char *glob)
{
    const char **names = vt_alloc(((size_t)params->count + 1) * sizeof *names);
    if (!names) return vt_fail_memory("names");
    for (int i = 0; i < params->count; i++) names[i] = params->entries[i].name;
    const char *near = vt_suggest(glob, names, params->count);
    vt_status st = vt_fail(VT_INVALID, "--freeze %s: matches no parameter%s%s; they are named as in timm, such as %s",
                           glob, near ? ": did you mean " : "", near ? near : "", names[params->count - 1]);
    vt_free(names);
    return st;
}

static vt_status freeze_glob(vt_store *params, const char *glob)
{
    int found = 0;
    for (int i = 0; i < params->count; i++) {
        if (fnmatch(glob, params->entries[i].name, 0)) continue;
        params->entries[i].frozen = true;
        found++;
    }
    return found ? VT_OK : matches_nothing(params, glob);
}

static bool in_attention(const char *name)
{
    static const char *const beside[] = {"head.weight", "head.bias", "pos_embed"};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (strcmp(name, beside[i]) == 0) return true;
    return strstr(name, ".attn.") != NULL;
}

vt_status vt_freeze(vt_store *params, const char *globs, bool attn_only)
{
    vt_status st = VT_OK;
    for (int i = 0; i < params->count; i++)
        params->entries[i].frozen = attn_only && !in_attention(params->entries[i].name);
    while (globs && *globs && st == VT_OK) {
        char glob[256];
        size_t n = strcspn(globs, ",");
        if (n >= sizeof glob) return vt_fail(VT_INVALID, "--freeze: a pattern of more than %zu bytes", sizeof glob - 1);
        memcpy(glob, globs, n);
        glob[n] = 0;
        st = freeze_glob(params, glob);
        globs += n + (globs[n] == ',');
    }
    for (int i = 0; i < params->count && st == VT_OK; i++)
        if (!params->entries[i].frozen) return VT_OK;
    return st ? st : vt_fail(VT_INVALID, "--freeze: no parameter is left to train");
}

int64_t vt_trained_parameters(const vt_store *params)
{
    int64_t n = 0;
    for (int i = 0; i < params->count; i++) n += params->entries[i].frozen ? 0 : params->entries[i].count;
    return n;
}
