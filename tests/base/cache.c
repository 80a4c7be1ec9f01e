#include "base/cache.h"

#include <stdlib.h>
#include <unistd.h>

#include "test.h"

TEST(the_folder)
{
    char path[VT_CACHE_PATH], longest[2 * VT_CACHE_PATH];
    setenv("HOME", "/home/some", 1);
    setenv("XDG_CACHE_HOME", "/cache", 1);
    setenv("VT_CACHE_DIR", "/here", 1);
    CHECK(vt_cache_path(path, "f") && strcmp(path, "/here/f") == 0);
    setenv("VT_CACHE_DIR", "", 1); /* off, whatever else there is */
    CHECK(!vt_cache_path(path, "f"));
    unsetenv("VT_CACHE_DIR");
    CHECK(vt_cache_path(path, "f") && strcmp(path, "/cache/vitc/f") == 0);
    setenv("XDG_CACHE_HOME", "", 1);
    CHECK(vt_cache_path(path, "f") && strcmp(path, "/home/some/.cache/vitc/f") == 0);
    unsetenv("HOME");
    CHECK(!vt_cache_path(path, "f"));
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    setenv("HOME", longest, 1);
    CHECK(!vt_cache_path(path, "f"));
}

TEST(folders_are_made)
{
    char root[] = "/tmp/vitc-cache-XXXXXX", path[VT_CACHE_PATH], more[2 * VT_CACHE_PATH];
    vt_file f;
    CHECK(mkdtemp(root));
    setenv("VT_CACHE_DIR", root, 1);
    CHECK(vt_cache_path(path, "a/b/c"));
    for (int i = 0; i < 2; i++) CHECK_OK(vt_cache_write(path, "text", 4));
    CHECK_OK(vt_file_read(&f, path));
    CHECK_EQ(f.size, 4);
    vt_file_close(&f);
    snprintf(more, sizeof more, "%s/d", path); /* below a file */
    CHECK_FAILS(vt_cache_write(more, "text", 4), VT_FAILED, "");
    unlink(path);
    for (const char *folder = "/a/b"; *folder; folder = strcmp(folder, "/a/b") == 0 ? "/a" : "") {
        snprintf(more, sizeof more, "%s%s", root, folder);
        rmdir(more);
    }
    CHECK(rmdir(root) == 0);
}

int main(void)
{
    RUN(the_folder);
    RUN(folders_are_made);
    TEST_END();
}
