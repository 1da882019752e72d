/* test_nic_addresses.c - the addresses and forwards of a user-mode network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "base/types.h"
#include "vm/nic_addresses.h"

static void parses_forwards(void **state)
{
    struct nic_forward f;

    (void)state;
    assert_true(nic_forward_parse(&f, "tcp:127.0.0.1:2222-:22"));
    assert_false(f.udp);
    assert_int_equal(ntohl(f.host.s_addr), 0x7f000001);
    assert_int_equal(f.host_port, 2222);
    assert_int_equal(f.guest.s_addr, 0);
    assert_int_equal(f.guest_port, 22);
    assert_true(nic_forward_parse(&f, "udp::53-10.0.2.16:5353"));
    assert_true(f.udp);
    assert_int_equal(f.host.s_addr, 0);
    assert_int_equal(f.host_port, 53);
    assert_int_equal(ntohl(f.guest.s_addr), 0x0a000210);
    assert_int_equal(f.guest_port, 5353);
    assert_true(nic_forward_parse(&f, "::1-:65535"));
    assert_false(f.udp);
    assert_int_equal(f.guest_port, 65535);
}

static void refuses_what_is_no_forward(void **state)
{
    static const char *const texts[] = {
        "",
        ":",
        "tcp",
        "tcp:",
        "tcp::",
        "tcp::22",
        "tcp::22-",
        "tcp::22-:",
        "tcp::22-22",
        "tcp::0-:22",
        "tcp::22-:0",
        "tcp::22-:65536",
        "tcp::-1-:2",
        "tcp:: 1-:2",
        "tcp::1-:2 ",
        "sctp::1-:2",
        "tcp:1-:2",
        "tcp:host:1-:2",
        "x:1.2.3.4:1-:2",
        "tcp:1.2.3.4.5:1-:2",
        "tcp:1.2.3.4444444444444444:1-:2",
        "tcp::1-10.0.2:2",
        "tcp::99999999999999999999-:1",
    };
    struct nic_forward f;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_false(nic_forward_parse(&f, texts[i]));
    }
}

static void parses_several(void **state)
{
    static const char *const wrong[] = {
        "", ",", "tcp::1-:2,", "tcp::1-:2,,tcp::3-:4",
        "tcp::1-:"
        "2x0123456789012345678901234567890123456789012345678901234567890123456789012345678"};
    const char *rest = "tcp::1-:2,udp::3-:4", *list = NULL;
    char text[NIC_FORWARD_TEXT];
    struct nic_forward f;

    (void)state;
    assert_true(nic_forward_next(&f, &rest, text));
    assert_int_equal(f.host_port, 1);
    assert_true(nic_forward_next(&f, &rest, text));
    assert_true(f.udp && f.guest_port == 4);
    assert_false(nic_forward_next(&f, &rest, text));
    assert_null(rest);
    assert_false(nic_forward_next(&f, &list, text));
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        rest = wrong[i];
        while (nic_forward_next(&f, &rest, text)) {}
        assert_non_null(rest);
    }
}

static void finds_addresses(void **state)
{
    struct ringer_device config = {.kind = RINGER_DEVICE_NET};
    struct nic_addresses a;
    char error[128] = "";

    (void)state;
    assert_true(nic_addresses_parse(&a, &config, error, sizeof(error)));
    assert_int_equal(ntohl(a.network.s_addr), 0x0a000200);
    assert_int_equal(ntohl(a.mask.s_addr), 0xffffff00);
    assert_int_equal(ntohl(a.host.s_addr), 0x0a000202);
    assert_int_equal(ntohl(a.dns.s_addr), 0x0a000203);
    assert_int_equal(ntohl(a.dhcp_start.s_addr), 0x0a00020f);
    config.net.network = "192.168.76.9/16";
    config.net.host = "192.168.1.1";
    assert_true(nic_addresses_parse(&a, &config, error, sizeof(error)));
    assert_int_equal(ntohl(a.network.s_addr), 0xc0a80000);
    assert_int_equal(ntohl(a.mask.s_addr), 0xffff0000);
    assert_int_equal(ntohl(a.host.s_addr), 0xc0a80101);
    assert_int_equal(ntohl(a.dhcp_start.s_addr), 0xc0a8000f);
}

static void refuses_addresses(void **state)
{
    static const struct {
        const char *network, *host, *dns, *words;
    } rows[] = {
        {"10.0.2", NULL, NULL, "net=10.0.2:"},        {"10.0.2.0/7", NULL, NULL, "/8 to /27"},
        {"10.0.2.0/28", NULL, NULL, "/8 to /27"},     {"10.0.2.0/", NULL, NULL, "/8 to /27"},
        {"0.0.0.1/24", NULL, NULL, "net=0.0.0.1/24"}, {"10.0.2.0/24x", NULL, NULL, "net="},
        {NULL, "10.0.3.1", NULL, "host=10.0.3.1"},    {NULL, NULL, "somewhere", "dns=somewhere"},
        {NULL, "10.0.2.3", NULL, "same address"},
    };
    struct nic_addresses a;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct ringer_device config = {
            .kind = RINGER_DEVICE_NET,
            .net = {.network = rows[i].network, .host = rows[i].host, .dns = rows[i].dns}};
        char error[128] = "";
        assert_false(nic_addresses_parse(&a, &config, error, sizeof(error)));
        assert_non_null(strstr(error, rows[i].words));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_forwards),   cmocka_unit_test(refuses_what_is_no_forward),
        cmocka_unit_test(parses_several),    cmocka_unit_test(finds_addresses),
        cmocka_unit_test(refuses_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
