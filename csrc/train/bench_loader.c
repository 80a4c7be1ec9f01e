#include "train/bench_loader.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"

enum { SIZE = 224, MADE_UP = 8, ROUNDS = 15, MOST_FILES = 1000 };

typedef struct paths {
    vt_arena arena;
    const char *items[MOST_FILES];
    int count;
} paths;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static vt_status add_folder(paths *p, const char *folder)
{
    DIR *d = opendir(folder);
    int first = p->count;
    if (!d) return vt_fail(VT_INVALID, "--images %s: cannot be opened", folder);
    for (struct dirent *entry; p->count < MOST_FILES && (entry = readdir(d));) {
        if (entry->d_name[0] == '.') continue;
        const char *path = vt_arena_printf(&p->arena, "%s/%s", folder, entry->d_name);
        if (!path) break;
        p->items[p->count++] = path;
    }
    closedir(d);
    if (p->count == first) return vt_fail(VT_INVALID, "--images %s: no files there", folder);
    qsort(p->items + first, (size_t)(p->count - first), sizeof *p->items, by_name);
    return VT_OK;
}

static vt_status find_files(paths *p, const vt_strings *images)
{
    vt_status st = VT_OK;
    for (int i = 0; i < images->count && st == VT_OK && p->count < MOST_FILES; i++) {
        struct stat about;
        if (stat(images->items[i], &about) == 0 && S_ISDIR(about.st_mode)) st = add_folder(p, images->items[i]);
        else p->items[p->count++] = images->items[i];
    }
    return st;
}

static vt_status time_jpeg(vt_bench_loader *r, const vt_strings *images, const vt_settings *settings)
{
    const vt_recipe *recipe = &settings->recipe;
    vt_transform t = vt_transform_default(SIZE, SIZE, 3, true);
    vt_status st = vt_recipe_augment(recipe, &t.augment);
    if (st) return st;
    t.train_interpolation = recipe->train_interpolation;
    t.jpeg_scale = settings->images.jpeg_scale == VT_JPEG_AUTO;
    paths *p = vt_alloc(sizeof *p);
    if (!p) return vt_fail_memory("files to measure with");
    st = find_files(p, images);
    r->size = SIZE;
    r->made_up = p->count == 0;
    if (st == VT_OK)
        st = vt_data_bench_run(&r->jpeg, r->made_up ? NULL : p->items, r->made_up ? MADE_UP : p->count, &t, ROUNDS);
    vt_arena_free(&p->arena);
    vt_free(p);
    return st;
}

/* The first micro-batches fill the ring; then the clock runs. */
static vt_status time_loader(vt_bench_loader *r, vt_run_parts *parts, double seconds)
{
    vt_loader *loader = NULL;
    const vt_batch *batch;
    vt_status st;
    VT_TRY(vt_run_open_data(parts));
    parts->loading.epochs = UINT32_MAX;
    r->workers = parts->loading.workers;
    VT_TRY(vt_loader_create(&loader, parts->train, &parts->loading));
    int warm_up = vt_loader_slots(&parts->loading);
    int64_t made = 0;
    double start = vt_seconds();
    while (vt_seconds() - start < seconds || !made) {
        VT_TRY(vt_loader_next(loader, &batch));
        if (!batch) break;
        if (warm_up-- > 0) start = vt_seconds();
        else made += batch->valid;
        vt_loader_release(loader, batch);
    }
    r->images_per_second = (double)made / (vt_seconds() - start);
fail:
    vt_loader_destroy(loader);
    return st;
}

vt_status vt_bench_loader_run(vt_bench_loader *r, const vt_strings *images, vt_run_parts *parts, double seconds)
{
    *r = (vt_bench_loader){0};
    vt_status st = parts->settings->data.data_path ? time_loader(r, parts, seconds) : VT_OK;
    return st ? st : time_jpeg(r, images, parts->settings);
}

void vt_bench_loader_table(vt_text *t, const vt_bench_loader *r)
{
    vt_text_printf(t, "JPEG to training samples of %d px, one thread, %d %s of %.0f bytes\n", r->size, r->jpeg.images,
                   r->made_up ? "made-up photographs (--images takes real ones)" : "photographs", r->jpeg.bytes);
    vt_text_printf(t, "  libjpeg-turbo's full decode   %8.1f images/s\n", r->jpeg.decode_per_second);
    vt_text_printf(t, "  decode, crop, resize, flip    %8.1f images/s, %.0f %% of it\n", r->jpeg.sample_per_second,
                   100 * r->jpeg.share);
    if (r->jpeg.augmented_per_second > 0)
        vt_text_printf(t, "  and augmented, as --aa says   %8.1f images/s, %.0f %% of it\n",
                       r->jpeg.augmented_per_second, 100 * r->jpeg.augmented_share);
    if (r->images_per_second > 0)
        vt_text_printf(t, "loader with %d workers          %8.1f images/s\n", r->workers, r->images_per_second);
}

void vt_bench_loader_json(vt_text *t, const vt_bench_loader *r)
{
    const struct { const char *key; double value; bool told; } numbers[] = {
        {"images", r->jpeg.images, true}, {"image_bytes", r->jpeg.bytes, true},
        {"decode_images_per_second", r->jpeg.decode_per_second, true},
        {"sample_images_per_second", r->jpeg.sample_per_second, true}, {"share_of_decode", r->jpeg.share, true},
        {"augmented_images_per_second", r->jpeg.augmented_per_second, r->jpeg.augmented_per_second > 0},
        {"augmented_share_of_decode", r->jpeg.augmented_share, r->jpeg.augmented_per_second > 0},
        {"loader_images_per_second", r->images_per_second, r->images_per_second > 0},
        {"workers", r->workers, r->images_per_second > 0}};
    vt_json_open(t, '{');
    vt_json_key(t, "made_up");
    vt_json_bool(t, r->made_up);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!numbers[i].told) continue;
        vt_json_key(t, numbers[i].key);
        vt_json_number(t, numbers[i].value);
    }
    vt_json_close(t, '}');
}
