/* tests/data/open.h - opening a data set that a test made. */
#ifndef VT_TEST_OPEN_H
#define VT_TEST_OPEN_H

#include "base/alloc.h"
#include "data/dataset.h"
#include "data/fixture.h"

static const vt_dataset_options defaults = {.in_chans = 1};

static inline vt_status try_open(const fixture *f, vt_split split, const vt_dataset_options *o)
{
    vt_dataset *ds;
    long live = vt_alloc_live();
    vt_status st = vt_dataset_open(&ds, f->dir, split, o);
    CHECK((st == VT_OK) == (ds != NULL));
    vt_dataset_close(ds);
    CHECK_EQ(vt_alloc_live(), live);
    CHECK(st == VT_OK || !strchr(vt_error(), '\n'));
    return st;
}

static inline vt_dataset *must_open(const fixture *f, vt_split split, vt_dataset_options o)
{
    vt_dataset *ds = NULL;
    CHECK_OK(vt_dataset_open(&ds, f->dir, split, &o));
    if (!ds) exit(1);
    return ds;
}

/* Fails with a message that holds `part`. */
#define OPEN_FAILS(f, split, options, part) CHECK_FAILS(try_open(f, split, options), VT_INVALID, part)

static inline void put_image(const fixture *f, const char *name)
{
    put(f, name, "\x89PNG", 4); /* opening does not decode */
}

#endif
