/*
 * test_vm_backends.c - shared directories and sockets of whole machines: their lives, and snapshots
 * of machines that have them.
 */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/unix_socket.h"
#include "vm_fixture.h"

struct place { /* a directory of the test's own */
    char base[64], socket[96], snapshot[96];
};

static void place_make(struct place *p)
{
    snprintf(p->base, sizeof(p->base), "/tmp/ringer-XXXXXX");
    assert_non_null(mkdtemp(p->base));
    snprintf(p->socket, sizeof(p->socket), "%s/socket", p->base);
    snprintf(p->snapshot, sizeof(p->snapshot), "%s/snapshot", p->base);
}

static void place_remove(struct place *p)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", p->base);
    assert_int_equal(system(command), 0);
}

static struct ringer *make(const struct ringer_device *devices, unsigned count)
{
    struct ringer_config config = small_config();
    char error[512] = "";
    struct ringer *m;

    config.devices = devices;
    config.device_count = count;
    if (ringer_create(&config, &m, error, sizeof(error)) < 0) {
        fail_msg("%s", error);
    }
    assert_int_equal(ringer_load(m, RINGER_PROTOCOL_AUTO, NULL, NULL, NULL), 0);
    return m;
}

static void refuse(const struct ringer_device *device, int expected, const char *words)
{
    struct ringer_config config = small_config();
    char error[512] = "";
    struct ringer *m;

    config.devices = device;
    config.device_count = 1;
    assert_int_equal(ringer_create(&config, &m, error, sizeof(error)), expected);
    assert_null(m);
    assert_non_null(strstr(error, words));
}

struct outcome {
    int error;
    char line[512];
};

static void done(void *context, int error, const char *line)
{
    struct outcome *o = context;

    o->error = error;
    snprintf(o->line, sizeof(o->line), "%s", line ? line : "");
}

static struct outcome take(struct ringer *m, const struct place *p)
{
    struct outcome o = {.error = 0};
    const struct ringer_snapshot_order order = {.done = done, .context = &o};
    int error = ringer_snapshot_take(m, p->snapshot, &order);

    if (error) {
        done(&o, error, ringer_error(m));
    }
    return o;
}

/* ------------------------------------------------------------------ shared directories */

/* Each has a server of its own, which ends with its machine. */
static void shares_live_with_their_machines(void **state)
{
    struct place p;
    struct ringer *first, *second;

    (void)state;
    place_make(&p);
    const struct ringer_device shares[] = {
        {.kind = RINGER_DEVICE_SHARE, .share = {.directory = p.base}},
        {.kind = RINGER_DEVICE_SHARE, .share = {.directory = "/", .tag = "all", .read_only = true}},
    };
    first = make(shares, 2);
    second = make(shares, 1);
    ringer_destroy(first);
    ringer_destroy(second);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD); /* nobody is left */
    place_remove(&p);
}

static void a_share_hinders_a_snapshot(void **state)
{
    struct place p;
    struct outcome o;
    struct ringer *m;

    (void)state;
    place_make(&p);
    m = make(&(struct ringer_device){.kind = RINGER_DEVICE_SHARE, .share = {.directory = p.base}},
             1);
    o = take(m, &p);
    assert_true(o.error < 0);
    assert_non_null(strstr(o.line, "virtio-fs"));
    assert_int_not_equal(access(p.snapshot, F_OK), 0);
    ringer_destroy(m);
    place_remove(&p);
}

static void bad_shares_are_refused(void **state)
{
    (void)state;
    refuse(&(struct ringer_device){.kind = RINGER_DEVICE_SHARE}, -EINVAL, "no directory");
    refuse(&(struct ringer_device){.kind = RINGER_DEVICE_SHARE,
                                   .share = {.directory = "/", .tag = ""}},
           -EINVAL, "no tag");
    refuse(
        &(struct ringer_device){.kind = RINGER_DEVICE_SHARE, .share = {.directory = "/dev/null"}},
        -ENOTDIR, "/dev/null");
}

/* ------------------------------------------------------------------ sockets */

static bool is_listening(const struct place *p)
{
    int fd = host_unix_connect(p->socket);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* A machine is kept, ends, and goes on: its socket is there, not there, and there again. */
static void a_socket_is_kept(void **state)
{
    struct ringer_config config = small_config();
    struct ringer_snapshot *snapshot;
    char error[512] = "";
    struct outcome o;
    struct ringer *m;
    struct place p;

    (void)state;
    place_make(&p);
    const struct ringer_device device = {.kind = RINGER_DEVICE_VSOCK,
                                         .vsock = {.path = p.socket, .cid = 5}};
    m = make(&device, 1);
    assert_true(is_listening(&p));
    refuse(&device, -EADDRINUSE, p.socket);
    assert_true(is_listening(&p));
    o = take(m, &p);
    assert_string_equal(o.error ? o.line : "", "");
    ringer_destroy(m);
    assert_int_not_equal(access(p.socket, F_OK), 0);

    assert_int_equal(ringer_snapshot_open(p.snapshot, &snapshot, error, sizeof(error)), 0);
    ringer_snapshot_configure(snapshot, &config);
    if (ringer_create(&config, &m, error, sizeof(error)) < 0) {
        fail_msg("%s", error);
    }
    ringer_snapshot_close(snapshot);
    assert_true(is_listening(&p));
    ringer_destroy(m);
    place_remove(&p);
}

static void bad_sockets_are_refused(void **state)
{
    (void)state;
    refuse(&(struct ringer_device){.kind = RINGER_DEVICE_VSOCK}, -EINVAL, "no path");
    refuse(&(struct ringer_device){.kind = RINGER_DEVICE_VSOCK, .vsock = {.path = "/x", .cid = 2}},
           -EINVAL, "cid 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_live_with_their_machines),
        cmocka_unit_test(a_share_hinders_a_snapshot),
        cmocka_unit_test(bad_shares_are_refused),
        cmocka_unit_test(a_socket_is_kept),
        cmocka_unit_test(bad_sockets_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
