#include "train/freeze.h"

#include <fnmatch.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

static vt_status matches_nothing(const vt_store *params, const char *flag, const char *glob)
{
    const char **names = vt_alloc(((size_t)params->count + 1) * sizeof *names);
    if (!names) return vt_fail_memory("names");
    for (int i = 0; i < params->count; i++) names[i] = params->entries[i].name;
    const char *near = vt_suggest(glob, names, params->count);
    vt_status st = vt_fail(VT_INVALID, "--%s %s: matches no parameter%s%s; they are named as in timm, such as %s", flag,
                           glob, near ? ": did you mean " : "", near ? near : "", names[params->count - 1]);
    vt_free(names);
    return st;
}

/* Sets a mark of the entries that the globs match; "none": of none. */
static vt_status mark(vt_store *params, const char *flag, const char *globs, bool *(*mark_of)(vt_entry *))
{
    vt_status st = VT_OK;
    if (globs && strcmp(globs, "none") == 0) return VT_OK;
    while (globs && *globs && st == VT_OK) {
        char glob[256];
        int found = 0;
        size_t n = strcspn(globs, ",");
        if (n >= sizeof glob)
            return vt_fail(VT_INVALID, "--%s: a pattern of more than %zu bytes", flag, sizeof glob - 1);
        memcpy(glob, globs, n);
        glob[n] = 0;
        for (int i = 0; i < params->count; i++) {
            if (fnmatch(glob, params->entries[i].name, 0)) continue;
            *mark_of(&params->entries[i]) = true;
            found++;
        }
        if (!found) st = matches_nothing(params, flag, glob);
        globs += n + (globs[n] == ',');
    }
    return st;
}

static bool *frozen_of(vt_entry *e)
{
    return &e->frozen;
}

static bool *undecayed_of(vt_entry *e)
{
    return &e->undecayed;
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
    for (int i = 0; i < params->count; i++)
        params->entries[i].frozen = attn_only && !in_attention(params->entries[i].name);
    vt_status st = mark(params, "freeze", globs, frozen_of);
    for (int i = 0; i < params->count && st == VT_OK; i++)
        if (!params->entries[i].frozen) return VT_OK;
    return st ? st : vt_fail(VT_INVALID, "--freeze: no parameter is left to train");
}

vt_status vt_undecay(vt_store *params, const char *globs)
{
    for (int i = 0; i < params->count; i++) params->entries[i].undecayed = false;
    return mark(params, "no-decay", globs, undecayed_of);
}

int64_t vt_trained_parameters(const vt_store *params)
{
    int64_t n = 0;
    for (int i = 0; i < params->count; i++) n += params->entries[i].frozen ? 0 : params->entries[i].count;
    return n;
}
