/*
 * net_offload.c - finishing what a driver leaves to its network card.
 *
 * A long TCP segment is not cut up: it goes to a back end that takes it whole, as one IP packet of
 * up to 64 KiB, with the lengths and checksums of that.
 *
 * RFC 1071 "Computing the Internet Checksum"; RFC 791, 8200 and 9293 for IP, IPv6 and TCP.
 *
 * LIMIT: long segments have no VLAN tag, and in IPv6 no extension headers.
 */
#include "dev/net_offload.h"

#include <string.h>

#include "dev/net.h"

enum {
    TYPE_AT = 12, /* in a frame */
    TYPE_IP4 = 0x0800,
    TYPE_IP6 = 0x86dd,
    PROTOCOL_TCP = 6,
    IP4_BYTES = 20, /* at least */
    IP4_LENGTH = 2, /* offsets in the headers */
    IP4_FRAGMENT = 6,
    IP4_PROTOCOL = 9,
    IP4_CHECKSUM = 10,
    IP4_ADDRESSES = 12,
    IP4_ADDRESSES_BYTES = 8,
    IP4_FRAGMENT_MASK = 0x3fff, /* more fragments, or not the first */
    IP6_BYTES = 40,
    IP6_LENGTH = 4,
    IP6_NEXT = 6,
    IP6_ADDRESSES = 8,
    IP6_ADDRESSES_BYTES = 32,
    TCP_BYTES = 20,
    TCP_OFFSET = 12,
    TCP_CHECKSUM = 16,
};

static u16 get16(const u8 *at)
{
    return (u16)(at[0] << 8 | at[1]);
}

static void put16(u8 *at, u16 value)
{
    at[0] = (u8)(value >> 8);
    at[1] = (u8)value;
}

/* Ones' complement sum of 16-bit words in the order of memory, on top of sum; not folded.  The sum
 * of wider words is congruent, and so is the order of bytes: RFC 1071. */
static u64 add(u64 sum, const u8 *bytes, size_t size)
{
    u64 word = 0;

    for (; size >= 8; bytes += 8, size -= 8) {
        memcpy(&word, bytes, 8);
        sum += word;
        sum += sum < word; /* end-around carry */
    }
    word = 0;
    memcpy(&word, bytes, size);
    sum += word;
    return sum + (sum < word);
}

/* In the order of memory.  Never 0, which for UDP means that there is none. */
static u16 fold(u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff ? 0xffff : (u16)~sum;
}

static void store(u8 *at, u16 checksum)
{
    memcpy(at, &checksum, sizeof(checksum));
}

static bool finish_checksum(u8 *frame, size_t size, size_t start, size_t offset)
{
    if (start + offset + 2 > size) {
        return false;
    }
    store(frame + start + offset, fold(add(0, frame + start, size - start)));
    return true;
}

/* Of a TCP segment at start, to the end of the frame.  addresses: those of its IP header. */
static bool finish_tcp(u8 *frame, size_t size, size_t start, const u8 *addresses,
                       size_t addresses_bytes)
{
    u8 rest[4] = {0, PROTOCOL_TCP}; /* of the pseudo header; the order does not matter */
    u8 *tcp = frame + start;
    u64 sum;

    if (size < start + TCP_BYTES || (tcp[TCP_OFFSET] >> 4) * 4u < TCP_BYTES ||
        size - start < (tcp[TCP_OFFSET] >> 4) * 4u) {
        return false;
    }
    put16(rest + 2, (u16)(size - start));
    sum = add(add(0, addresses, addresses_bytes), rest, sizeof(rest));
    put16(tcp + TCP_CHECKSUM, 0);
    store(tcp + TCP_CHECKSUM, fold(add(sum, tcp, size - start)));
    return true;
}

static bool finish_tcp4(u8 *frame, size_t size)
{
    u8 *ip = frame + NET_HEADER_BYTES;
    size_t header;

    if (size < NET_HEADER_BYTES + IP4_BYTES || get16(frame + TYPE_AT) != TYPE_IP4) {
        return false;
    }
    header = (ip[0] & 15) * 4u;
    if (ip[0] >> 4 != 4 || header < IP4_BYTES || size < NET_HEADER_BYTES + header ||
        ip[IP4_PROTOCOL] != PROTOCOL_TCP || get16(ip + IP4_FRAGMENT) & IP4_FRAGMENT_MASK) {
        return false;
    }
    put16(ip + IP4_LENGTH, (u16)(size - NET_HEADER_BYTES));
    put16(ip + IP4_CHECKSUM, 0);
    store(ip + IP4_CHECKSUM, fold(add(0, ip, header)));
    return finish_tcp(frame, size, NET_HEADER_BYTES + header, ip + IP4_ADDRESSES,
                      IP4_ADDRESSES_BYTES);
}

static bool finish_tcp6(u8 *frame, size_t size)
{
    u8 *ip = frame + NET_HEADER_BYTES;

    if (size < NET_HEADER_BYTES + IP6_BYTES || get16(frame + TYPE_AT) != TYPE_IP6 ||
        ip[0] >> 4 != 6 || ip[IP6_NEXT] != PROTOCOL_TCP) {
        return false;
    }
    put16(ip + IP6_LENGTH, (u16)(size - NET_HEADER_BYTES - IP6_BYTES));
    return finish_tcp(frame, size, NET_HEADER_BYTES + IP6_BYTES, ip + IP6_ADDRESSES,
                      IP6_ADDRESSES_BYTES);
}

bool net_offload_finish(u8 *frame, size_t size, const struct net_offload *offload)
{
    if (size < NET_HEADER_BYTES || size > NET_FRAME_MAX) {
        return false;
    }
    switch (offload->segments) {
    case NET_WHOLE:
        return !offload->checksum || finish_checksum(frame, size, offload->start, offload->offset);
    case NET_TCP4:
        return offload->checksum && finish_tcp4(frame, size);
    case NET_TCP6:
        return offload->checksum && finish_tcp6(frame, size);
    }
    return false;
}
