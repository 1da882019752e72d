/*
 * test_share_jail.c - the wall behind the server: what a process in its jail can still do, as if a
 * guest had taken it over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "share/jail.h"
#include "share_fixture.h"

enum { NO_LANDLOCK = 77 };

/* In a child: build the jail, then do(tree), whose result is the status. */
static int in_jail(const struct tree *t, bool read_only, int (*work)(const struct tree *t))
{
    pid_t pid = fork();
    int status, error;

    if (pid == 0) {
        error = share_jail_files(t->root, read_only);
        if (error == -ENOSYS) {
            _exit(NO_LANDLOCK);
        }
        if (error || share_jail_calls()) {
            _exit(99);
        }
        _exit(work(t));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void check_work(bool read_only, int (*work)(const struct tree *t))
{
    struct tree t;
    int status;

    tree_init(&t);
    status = in_jail(&t, read_only, work);
    assert_true(tree_is_safe(&t));
    tree_done(&t);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_LANDLOCK) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXPECT(condition)             \
    do {                              \
        if (!(condition)) {           \
            return __LINE__ % 90 + 1; \
        }                             \
    } while (0)

static bool is_denied(int at, const char *name, int flags)
{
    return openat(at, name, flags, 0600) < 0 && errno == EACCES;
}

/* Each of these is a way that the server itself would never take. */
static int reach_out(const struct tree *t)
{
    EXPECT(is_denied(AT_FDCWD, "/etc/passwd", O_RDONLY));
    EXPECT(is_denied(AT_FDCWD, t->secret, O_RDONLY));
    EXPECT(is_denied(AT_FDCWD, t->secret, O_WRONLY));
    EXPECT(is_denied(AT_FDCWD, "/proc/self/status", O_RDONLY));
    EXPECT(is_denied(t->root, "../secret", O_RDONLY));
    EXPECT(is_denied(t->root, "out", O_RDONLY));
    EXPECT(is_denied(t->root, "absolute", O_RDWR));
    EXPECT(is_denied(t->root, "up", O_RDONLY));
    EXPECT(is_denied(t->root, "../new", O_WRONLY | O_CREAT));
    EXPECT(unlinkat(t->root, "../secret", 0) < 0 && errno == EACCES);
    EXPECT(linkat(t->root, "../secret", t->root, "stolen", 0) < 0);
    EXPECT(renameat(t->root, "../secret", t->root, "stolen") < 0);
    EXPECT(renameat(t->root, "file", t->root, "../new") < 0);
    EXPECT(symlinkat("x", t->root, "../new") < 0 && errno == EACCES);
    EXPECT(mkdirat(t->root, "../new", 0700) < 0 && errno == EACCES);
    EXPECT(openat(t->root, "file", O_RDWR) >= 0);
    EXPECT(openat(t->root, "new", O_RDWR | O_CREAT, 0600) >= 0);
    EXPECT(mkdirat(t->root, "directory", 0700) == 0);
    EXPECT(unlinkat(t->root, "new", 0) == 0);
    return 0;
}

static int change_what_is_read_only(const struct tree *t)
{
    EXPECT(openat(t->root, "file", O_RDONLY) >= 0);
    EXPECT(openat(t->root, "folder", O_RDONLY | O_DIRECTORY) >= 0);
    EXPECT(is_denied(t->root, "file", O_WRONLY));
    EXPECT(is_denied(t->root, "file", O_RDWR));
    EXPECT(is_denied(t->root, "new", O_WRONLY | O_CREAT));
    EXPECT(unlinkat(t->root, "file", 0) < 0 && errno == EACCES);
    EXPECT(mkdirat(t->root, "new", 0700) < 0 && errno == EACCES);
    EXPECT(renameat(t->root, "file", t->root, "new") < 0);
    EXPECT(linkat(t->root, "file", t->root, "new", 0) < 0);
    EXPECT(symlinkat("x", t->root, "new") < 0 && errno == EACCES);
    return 0;
}

static void files_outside_are_out_of_reach(void **state)
{
    (void)state;
    check_work(false, reach_out);
}

static void read_only_is_so_in_the_jail_too(void **state)
{
    (void)state;
    check_work(true, change_what_is_read_only);
}

static int make_socket(const struct tree *t)
{
    (void)t;
    socket(AF_INET, SOCK_STREAM, 0);
    return 0;
}

static int make_child(const struct tree *t)
{
    (void)t;
    return fork() < 0;
}

static int run_program(const struct tree *t)
{
    (void)t;
    return execl("/bin/true", "true", NULL);
}

static int signal_another(const struct tree *t)
{
    (void)t;
    kill(1, 0);
    return 0;
}

static void other_calls_are_the_end(void **state)
{
    static int (*const works[])(const struct tree *t) = {make_socket, make_child, run_program,
                                                         signal_another};
    struct tree t;

    (void)state;
    tree_init(&t);
    for (unsigned i = 0; i < ARRAY_SIZE(works); i++) {
        pid_t pid = fork();
        int status;
        if (pid == 0) {
            _exit(share_jail_calls() ? 99 : works[i](&t));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
    tree_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_outside_are_out_of_reach),
        cmocka_unit_test(read_only_is_so_in_the_jail_too),
        cmocka_unit_test(other_calls_are_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
