/* test_vm_serial.c - what may stand behind a serial port, with a guest that echoes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vm_fixture.h"

/* Echoes each byte + 1; ends at a 'q'. */
static const u8 echo[] = {
    0x66,      0xba, 0xfd, 0x03, /* again: mov dx, 0x3fd */
    0xec,                        /* in al, dx */
    0xa8,      0x01,             /* test al, 1 */
    0x74,      0xf7,             /* jz again */
    0x66,      0xba, 0xf8, 0x03, /* mov dx, 0x3f8 */
    0xec,                        /* in al, dx */
    0x3c,      'q',              /* cmp al, 'q' */
    0x74,      0x05,             /* je quit */
    0xfe,      0xc0,             /* inc al */
    0xee,                        /* out dx, al */
    0xeb,      0xe9,             /* jmp again */
    CODE_EXIT,                   /* quit: out 0xf4, al */
    0xeb,      0xfe,
};

/* Sends "abc" for ever. */
static const u8 chatter[] = {
    0x66, 0xba, 0xf8, 0x03, 0xb0, 'a', 0xee, 0xb0, 'b', 0xee, 0xb0, 'c', 0xee, 0xeb, 0xf5,
};

static void *run(void *machine)
{
    struct ringer_exit end;

    assert_int_equal(ringer_run(machine, &end), 0);
    return (void *)(uintptr_t)end.reason;
}

/* Talk with the echoing guest over fd until it ends. */
static void converse(struct ringer *m, int fd)
{
    char text[256];
    size_t size = 0;
    pthread_t thread;
    void *reason;

    assert_int_equal(pthread_create(&thread, NULL, run, m), 0);
    for (int i = 0; i < 50; i++) { /* more than a FIFO full */
        assert_int_equal(write(fd, "ace", 3), 3);
    }
    while (size < 150) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, 10000), 1);
        ssize_t n = read(fd, text + size, sizeof(text) - size);
        assert_true(n > 0);
        size += (size_t)n;
    }
    for (int i = 0; i < 50; i++) {
        assert_memory_equal(text + i * 3, "bdf", 3);
    }
    assert_int_equal(write(fd, "q", 1), 1);
    pthread_join(thread, &reason);
    assert_int_equal((uintptr_t)reason, RINGER_EXIT_DEBUG);
}

static void test_pty(void **state)
{
    struct ringer_config config = small_config();
    struct ringer *m;
    int fd;

    (void)state;
    config.serial[0].backend = "pty";
    m = machine_with_code(&config, echo, sizeof(echo));
    assert_non_null(ringer_serial_path(m, 0));
    fd = open(ringer_serial_path(m, 0), O_RDWR | O_NOCTTY);
    assert_true(fd >= 0);
    converse(m, fd);
    close(fd);
    ringer_destroy(m);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(address.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void test_unix_socket(void **state)
{
    char directory[] = "/tmp/ringer-test-XXXXXX", backend[64];
    struct ringer_config config = small_config();
    struct ringer *m;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(backend, sizeof(backend), "unix:%s/port", directory);
    config.serial[0].backend = backend;
    m = machine_with_code(&config, echo, sizeof(echo));
    fd = connect_to(ringer_serial_path(m, 0));
    converse(m, fd);
    close(fd);
    ringer_destroy(m);
    assert_int_equal(rmdir(directory), 0); /* the socket has gone */
}

static void test_file_takes_everything(void **state)
{
    char path[] = "/tmp/ringer-test-XXXXXX", backend[64], text[3];
    struct ringer_config config = small_config();
    struct ringer *m;
    pthread_t thread;
    int fd = mkstemp(path);
    off_t size;

    (void)state;
    snprintf(backend, sizeof(backend), "file:%s", path);
    config.serial[0].backend = backend;
    m = machine_with_code(&config, chatter, sizeof(chatter));
    assert_int_equal(pthread_create(&thread, NULL, run, m), 0);
    while (lseek(fd, 0, SEEK_END) < 100000) {
        usleep(1000);
    }
    ringer_stop(m);
    pthread_join(thread, NULL);
    ringer_destroy(m);
    size = lseek(fd, 0, SEEK_END);
    for (off_t at = 0; at + 3 <= size; at += 3) {
        assert_int_equal(pread(fd, text, 3, at), 3);
        assert_memory_equal(text, "abc", 3);
    }
    close(fd);
    unlink(path);
}

/* A guest that talks to nobody must not be stopped by it. */
static void test_pty_that_nobody_reads(void **state)
{
    struct ringer_config config = small_config();
    struct ringer_registers r;
    struct ringer *m;
    pthread_t thread;
    void *reason;

    (void)state;
    config.serial[0].backend = "pty";
    m = machine_with_code(&config, chatter, sizeof(chatter));
    assert_int_equal(pthread_create(&thread, NULL, run, m), 0);
    /* However slow the host is just now: it goes on. */
    for (int i = 0; i < 2000 && m->vm->cpus[0].stats.instructions <= 3 * SERIAL_PENDING_MAX; i++) {
        usleep(10000);
    }
    ringer_stop(m);
    pthread_join(thread, &reason);
    assert_int_equal((uintptr_t)reason, RINGER_EXIT_STOPPED);
    assert_int_equal(ringer_get_registers(m, 0, &r), 0);
    assert_true(r.instructions > 3 * SERIAL_PENDING_MAX);
    ringer_destroy(m);
}

static void test_trace(void **state)
{
    static const u8 code[] = {0xb0, 7, 0xe6, 0x80, CODE_EXIT, 0xeb, 0xfe};
    struct ringer_config config = small_config();
    struct ringer_exit end;
    char text[1024] = "";
    struct ringer *m;

    (void)state;
    config.trace = "io";
    config.trace_file = tmpfile();
    m = machine_with_code(&config, code, sizeof(code));
    assert_int_equal(ringer_run(m, &end), 0);
    ringer_destroy(m);
    rewind(config.trace_file);
    assert_true(fread(text, 1, sizeof(text) - 1, config.trace_file) > 0);
    assert_non_null(strstr(text, "io port write 80 size=1 value=7\n"));
    assert_non_null(strstr(text, "io port write f4 size=1 value=7\n"));
    fclose(config.trace_file);
}

/* What is asked of a console and a balloon where there is none, or more than one. */
static void test_console_and_balloon_devices(void **state)
{
    static const struct ringer_device devices[] = {
        {.kind = RINGER_DEVICE_CONSOLE},
        {.kind = RINGER_DEVICE_BALLOON, .balloon.bytes = 20 << 20},
        {.kind = RINGER_DEVICE_BALLOON},
        {.kind = RINGER_DEVICE_CONSOLE},
    };
    struct ringer_config config = small_config();
    struct ringer_balloon balloon;
    struct ringer *m;
    char error[256];

    (void)state;
    m = machine_with_code(&config, echo, sizeof(echo));
    assert_int_equal(ringer_console_resize(m, 80, 25), -ENODEV);
    assert_int_equal(ringer_balloon_get(m, &balloon), -ENODEV);
    assert_int_equal(ringer_balloon_set(m, 1 << 20), -ENODEV);
    assert_int_equal(ringer_balloon_ask(m, NULL, NULL), -ENODEV);
    ringer_destroy(m);

    config.devices = devices;
    config.device_count = 2;
    m = machine_with_code(&config, echo, sizeof(echo));
    assert_int_equal(ringer_console_resize(m, 100000, 25), 0);
    assert_int_equal(ringer_balloon_get(m, &balloon), 0);
    assert_int_equal(balloon.target_bytes, 20 << 20);
    assert_int_equal(balloon.actual_bytes, config.memory_bytes); /* no driver has taken any */
    assert_false(balloon.answered);
    assert_true(balloon.resident_bytes > 0 && balloon.resident_bytes < config.memory_bytes);
    assert_int_equal(ringer_balloon_set(m, 0), -EINVAL);
    assert_int_equal(ringer_balloon_set(m, config.memory_bytes + 1), -EINVAL);
    assert_int_equal(ringer_balloon_set(m, config.memory_bytes), 0);
    assert_int_equal(ringer_balloon_get(m, &balloon), 0);
    assert_int_equal(balloon.target_bytes, config.memory_bytes);
    ringer_destroy(m);

    for (config.device_count = 3; config.device_count <= 4; config.device_count++) {
        struct ringer_device few[] = {devices[0], devices[1], devices[config.device_count - 1]};
        struct ringer_config c = config;
        c.devices = few;
        c.device_count = 3;
        assert_int_equal(ringer_create(&c, &m, error, sizeof(error)), -EINVAL);
        assert_non_null(strstr(error, "at most one"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pty),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_file_takes_everything),
        cmocka_unit_test(test_pty_that_nobody_reads),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_console_and_balloon_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
