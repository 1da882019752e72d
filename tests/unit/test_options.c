/* test_options.c - the options of `ringer run`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/options.h"
#include "base/types.h"

static bool parse(struct options *options, char *error, size_t size, const char *text)
{
    static char copy[256]; /* options borrow from it */
    char *argv[32] = {"run"};
    int argc = 1;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return options_parse(options, argc, argv, error, size);
}

static void test_defaults(void **state)
{
    (void)state;
    struct options o;
    char error[256] = "";
    assert_true(parse(&o, error, sizeof(error), ""));
    assert_null(o.kernel);
    assert_int_equal(o.memory_bytes, 512 << 20);
    assert_int_equal(o.cpus, 1);
    assert_string_equal(o.engine, "auto");
    assert_null(o.gdb.text);
    assert_string_equal(o.ports[RINGER_PORT_COM1], "stdio");
    assert_null(o.ports[RINGER_PORT_COM2]);
    assert_null(o.ports[RINGER_PORT_HVC0]);
    assert_int_equal(o.protocol, RINGER_PROTOCOL_AUTO);
    assert_false(o.debug_exit || o.debug_console || o.stats || o.icount || o.no_reboot ||
                 o.testdev || o.display);
}

/* The terminal is the screen's or a serial port's. */
static void test_display(void **state)
{
    (void)state;
    struct options o;
    char error[256] = "";
    assert_true(parse(&o, error, sizeof(error), "--display text"));
    assert_true(o.display);
    assert_string_equal(o.ports[RINGER_PORT_COM1], "none");
    assert_true(parse(&o, error, sizeof(error), "--display text --console pty"));
    assert_string_equal(o.ports[RINGER_PORT_COM1], "pty");
    assert_true(parse(&o, error, sizeof(error), "--display none"));
    assert_string_equal(o.ports[RINGER_PORT_COM1], "stdio");
    assert_false(parse(&o, error, sizeof(error), "--display text --console stdio"));
    assert_false(parse(&o, error, sizeof(error), "--serial2 stdio --display text"));
    assert_non_null(strstr(error, "cannot be on stdio"));
    assert_false(parse(&o, error, sizeof(error), "--display gtk"));
    assert_non_null(strstr(error, "text and none"));
}

static void test_virtio_console(void **state)
{
    (void)state;
    struct options o;
    char error[256] = "";
    assert_true(parse(&o, error, sizeof(error), "--hvc stdio")); /* instead of COM1 */
    assert_string_equal(o.ports[RINGER_PORT_COM1], "none");
    assert_string_equal(o.ports[RINGER_PORT_HVC0], "stdio");
    assert_true(parse(&o, error, sizeof(error), "--hvc none"));
    assert_null(o.ports[RINGER_PORT_HVC0]);
    assert_true(parse(&o, error, sizeof(error), "--hvc unix:/s"));
    assert_string_equal(o.ports[RINGER_PORT_COM1], "stdio");
    assert_string_equal(o.ports[RINGER_PORT_HVC0], "unix:/s");
}

static void test_net(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"tap", "there are user and passt"},
        {"user,", "'' is not known"},
        {"user,hostfwd", "'hostfwd' is not known"},
        {"user,hostfwd=", "something must stand there"},
        {"user,socket=/s", "'socket' is not known"},
        {"passt,restrict=on", "'restrict' is not known"},
        {"user,restrict=maybe", "write on or off"},
        {"user,mtu=1279", "from 1280 to 65520"},
        {"user,mtu=1500x", "from 1280 to 65520"},
        {"user,mac=52:54:00:12:34", "write six bytes"},
        {"user,mac=52:54:00:12:34:567", "write six bytes"},
        {"user,mac=52:54:00:12:34:-6", "write six bytes"},
        {"user,mac=53:54:00:12:34:56", "address of a group"},
    };
    struct options o;
    char error[256] = "";
    assert_true(parse(&o, error, sizeof(error),
                      "-n user,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=udp::53-:53,mtu=1500,"
                      "hostname=guest,restrict=on,ipv6=off,dns=10.0.2.9 "
                      "--net passt,socket=/s,mac=02:00:fe:01:0a:Ff -n user"));
    assert_int_equal(o.device_count, 3);
    const struct ringer_device *d = o.devices;
    assert_int_equal(d[0].kind, RINGER_DEVICE_NET);
    assert_int_equal(d[0].net.backend, RINGER_NET_USER);
    assert_string_equal(d[0].net.forwards, "tcp:127.0.0.1:2222-:22,udp::53-:53");
    assert_int_equal(d[0].net.mtu, 1500);
    assert_string_equal(d[0].net.hostname, "guest");
    assert_string_equal(d[0].net.dns, "10.0.2.9");
    assert_true(d[0].net.restricted && d[0].net.no_ipv6);
    assert_int_equal(d[1].net.backend, RINGER_NET_PASST);
    assert_string_equal(d[1].net.socket, "/s");
    assert_memory_equal(d[1].net.address, "\x02\0\xfe\x01\x0a\xff", 6);
    assert_null(d[2].net.socket);
    assert_false(d[2].net.restricted || d[2].net.no_ipv6);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        char text[80];
        snprintf(text, sizeof(text), "-n %s", wrong[i].text);
        assert_false(parse(&o, error, sizeof(error), text));
        assert_non_null(strstr(error, wrong[i].words));
    }
}

static void test_balloon(void **state)
{
    (void)state;
    struct options o;
    char error[256] = "";
    struct ringer_config config;
    struct ringer_device devices[OPTIONS_ALL_DEVICES_MAX];
    assert_true(parse(&o, error, sizeof(error), ""));
    assert_false(o.balloon);
    assert_true(parse(&o, error, sizeof(error), "--balloon"));
    assert_true(o.balloon && o.balloon_bytes == 0);
    assert_true(parse(&o, error, sizeof(error), "--balloon=256 --hvc pty"));
    options_configure(&o, &config, devices);
    assert_int_equal(config.device_count, 3);
    assert_int_equal(config.devices[1].kind, RINGER_DEVICE_CONSOLE);
    assert_int_equal(config.devices[2].kind, RINGER_DEVICE_BALLOON);
    assert_int_equal(config.devices[2].balloon.bytes, 256 << 20);
}

static void test_all(void **state)
{
    (void)state;
    struct options o;
    char error[256] = "";
    assert_true(parse(&o, error, sizeof(error),
                      "-k K --initrd=I -aA -m 2g --cpus 3 -e interp --protocol pvh --console none "
                      "--serial2 unix:/s --stats=F --gdb tcp:localhost:1234,wait"));
    assert_string_equal(o.gdb.text, "tcp:localhost:1234,wait");
    assert_int_equal(o.gdb.length, strlen("tcp:localhost:1234"));
    assert_true(o.gdb.wait);
    assert_string_equal(o.kernel, "K");
    assert_string_equal(o.initrd, "I");
    assert_string_equal(o.append, "A");
    assert_int_equal(o.memory_bytes, 2ull << 30);
    assert_int_equal(o.cpus, 3);
    assert_string_equal(o.engine, "interp");
    assert_int_equal(o.protocol, RINGER_PROTOCOL_PVH);
    assert_string_equal(o.ports[RINGER_PORT_COM1], "none");
    assert_string_equal(o.ports[RINGER_PORT_COM2], "unix:/s");
    assert_true(o.stats);
    assert_string_equal(o.stats_path, "F");
    assert_true(
        parse(&o, error, sizeof(error),
              "--debug-exit --debug-console --icount --no-reboot --stats --testdev --trace io"));
    assert_true(o.debug_exit && o.debug_console && o.icount && o.no_reboot && o.stats && o.testdev);
    assert_null(o.stats_path);
    assert_null(o.debug_console_path);
    assert_string_equal(o.trace, "io");
}

static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"-m 1", 1 << 20},     {"-m 64K", 64 << 10},  {"-m 128m", 128 << 20},
                {"-m 3G", 3ull << 30}, {"-m 1T", 1ull << 40}, {"-m 8388607T", 8388607ull << 40}};
    struct options o;
    char error[256];
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(parse(&o, error, sizeof(error), good[i].text));
        assert_int_equal(o.memory_bytes, good[i].bytes);
    }
}

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"-m 0", "'0'"},
        {"-m 5X", "'5X'"},
        {"-m 5MB", "'5MB'"},
        {"-m -5", "'-5'"},
        {"-m 1.5G", "'1.5G'"},
        {"-m 8388608T", "'8388608T'"},
        {"-m 99999999999999999999", "beyond"},
        {"-c 0", "'0'"},
        {"-c 1x", "'1x'"},
        {"-c 65536", "'65536'"},
        {"--nonsense", "'--nonsense'"},
        {"-Z", "'-Z'"},
        {"-k", "'-k' needs"},
        {"--kernel", "'--kernel' needs"},
        {"--icount=1", "'--icount=1'"},
        {"vmlinuz", "'vmlinuz'"},
        {"--protocol x", "'x'"},
        {"--console file:", "'file:'"},
        {"--serial2 tty", "'tty'"},
        {"--serial2 stdio", "only one"},
        {"--hvc stdio --console stdio", "only one"},
        {"--hvc tty", "--hvc 'tty'"},
        {"--balloon=0", "balloon size '0'"},
        {"--balloon=x", "balloon size 'x'"},
        {"-i I", "kernel"},
        {"--gdb tcp:0.0.0.0:1", "loopback"},
        {"--gdb tcp:127.0.0.1:65536", "65536"},
        {"--gdb unix:,wait", "path"},
    };
    struct options o;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char error[256] = "";
        assert_false(parse(&o, error, sizeof(error), bad[i].text));
        assert_non_null(strstr(error, bad[i].part));
        assert_null(strchr(error, '\n'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_display),
        cmocka_unit_test(test_virtio_console),
        cmocka_unit_test(test_balloon),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_net),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
