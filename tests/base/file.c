#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "test.h"

#define NAME "test_base_file.out"
#define TEMP ".test_base_file.out.tmp"

static int exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

static void check_content(const char *path, const char *content)
{
    vt_file read, mapped;
    CHECK_OK(vt_file_read(&read, path));
    CHECK_OK(vt_file_map(&mapped, path));
    CHECK_EQ(read.size, strlen(content));
    CHECK_STR((const char *)read.data, content);
    CHECK(mapped.size == read.size && memcmp(mapped.data, read.data, read.size) == 0);
    vt_file_close(&read);
    vt_file_close(&mapped);
}

TEST(writes_and_reads)
{
    unlink(NAME);
    CHECK_OK(vt_file_write(NAME, "one", 3));
    check_content(NAME, "one");
    CHECK_OK(vt_file_write("./" NAME, "twofold", 7));
    check_content(NAME, "twofold");
    CHECK_OK(vt_file_write(NAME, "", 0));
    check_content(NAME, "");
    CHECK(!exists(TEMP));
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    stat(NAME, &info);
    CHECK_EQ(info.st_mode & 0777, 0666 & ~mask);
    unlink(NAME);
}

TEST(a_mapped_file_survives_being_replaced)
{
    vt_file f;
    CHECK_OK(vt_file_write(NAME, "before", 6));
    CHECK_OK(vt_file_map(&f, NAME));
    CHECK(f.mapped);
    CHECK_OK(vt_file_write(NAME, "after", 5));
    CHECK(memcmp(f.data, "before", 6) == 0);
    vt_file_close(&f);
    unlink(NAME);
}

TEST(bad_paths_are_named)
{
    vt_file f;
    CHECK_FAILS(vt_file_read(&f, "nowhere/x"), VT_INVALID, "nowhere/x: cannot open: No such file");
    CHECK_FAILS(vt_file_map(&f, "."), VT_INVALID, ".: is a folder");
    CHECK_FAILS(vt_file_write("nowhere/x", "", 0), VT_FAILED, "nowhere/x: cannot write: No such file");
    CHECK_FAILS(vt_file_write(".", "", 0), VT_FAILED, ".: cannot write");
}

TEST(reads_a_pipe)
{
    int ends[2];
    char path[32], *content = malloc(150001);
    memset(content, 'x', 150000);
    content[150000] = 0;
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        for (int i = 0; i < 150; i++) {
            if (write(ends[1], content, 1000) != 1000) _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    vt_file f;
    CHECK_OK(vt_file_map(&f, path));
    CHECK(f.size == 150000 && strcmp((char *)f.data, content) == 0);
    vt_file_close(&f);
    close(ends[0]);
    free(content);
}

TEST(a_full_disk_keeps_the_old_file)
{
    struct rlimit old, small = {4096, 4096};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(vt_file_write(NAME, "precious", 8));
    char block[3000] = {0};
    vt_writer w;
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_OK(vt_writer_open(&w, NAME));
    CHECK_OK(vt_writer_put(&w, block, sizeof block));
    CHECK_FAILS(vt_writer_put(&w, block, sizeof block), VT_FAILED,
                NAME ": cannot write: File too large; what was there");
    vt_writer_abort(&w);
    setrlimit(RLIMIT_FSIZE, &old);
    check_content(NAME, "precious");
    CHECK(!exists(TEMP));
    unlink(NAME);
}

TEST(devices_are_written_in_place)
{
    struct stat info;
    if (exists("/dev/full"))
        CHECK_FAILS(vt_file_write("/dev/full", "x", 1), VT_FAILED, "/dev/full: cannot write: No space left");
    CHECK_OK(vt_file_write("/dev/null", "x", 1));
    CHECK(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
}

TEST(an_abandoned_write_leaves_nothing)
{
    vt_writer w;
    CHECK_OK(vt_file_write(NAME, "old", 3));
    CHECK_OK(vt_writer_open(&w, NAME));
    CHECK_OK(vt_writer_put(&w, "new", 3));
    CHECK(exists(TEMP));
    vt_writer_abort(&w);
    CHECK(!exists(TEMP));
    check_content(NAME, "old");
    unlink(NAME);
}

TEST(what_a_killed_process_left_is_replaced)
{
    int fd = open(TEMP, O_WRONLY | O_CREAT, 0666);
    CHECK(write(fd, "half of a longer file", 21) == 21);
    close(fd);
    CHECK_OK(vt_file_write(NAME, "whole", 5));
    CHECK(!exists(TEMP));
    check_content(NAME, "whole");
    unlink(NAME);
}

TEST(of_two_writers_one_fails)
{
    vt_writer first, second;
    CHECK_OK(vt_writer_open(&first, NAME));
    CHECK_OK(vt_writer_put(&first, "first", 5));
    CHECK_OK(vt_writer_open(&second, NAME));
    CHECK_FAILS(vt_writer_commit(&first), VT_FAILED, "another process");
    CHECK_OK(vt_writer_put(&second, "second", 6));
    CHECK_OK(vt_writer_commit(&second));
    check_content(NAME, "second");
    unlink(NAME);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live(), n = 0;
    vt_status st;
    CHECK_OK(vt_file_write(NAME, "old", 3));
    do {
        vt_alloc_fail_at(++n, 0);
        st = vt_file_write(NAME, "new", 3);
        vt_alloc_fail_at(0, 0);
        CHECK_EQ(vt_alloc_live(), live);
        CHECK(!exists(TEMP));
    } while (st != VT_OK && n < 1000);
    CHECK(n > 2 && n < 1000);
    vt_file f;
    vt_alloc_fail_at(1, 0);
    CHECK_FAILS(vt_file_read(&f, NAME), VT_NO_MEMORY, NAME);
    CHECK_EQ(vt_alloc_live(), live);
    unlink(NAME);
#endif
}

int main(void)
{
    RUN(writes_and_reads);
    RUN(a_mapped_file_survives_being_replaced);
    RUN(bad_paths_are_named);
    RUN(reads_a_pipe);
    RUN(a_full_disk_keeps_the_old_file);
    RUN(devices_are_written_in_place);
    RUN(an_abandoned_write_leaves_nothing);
    RUN(what_a_killed_process_left_is_replaced);
    RUN(of_two_writers_one_fails);
    RUN(memory_running_out);
    TEST_END();
}
