/* aml.c - writes ACPI Machine Language.  See aml.h. */
#include <assert.h>
#include <string.h>

#include "boot/aml.h"

enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_EXTENDED = 0x5b,
    OP_ARG0 = 0x68,
    OP_STORE = 0x70,
    OP_DEVICE = 0x82, /* after OP_EXTENDED */
    OP_IF = 0xa0,
    OP_RETURN = 0xa4,
};

enum {
    RESOURCE_IRQ = 0x22, /* small item 4, 2 bytes */
    RESOURCE_IO = 0x47,  /* small item 8, 7 bytes */
    RESOURCE_END = 0x79, /* small item 15, 1 byte */
    RESOURCE_MEMORY32_FIXED = 0x86,
    RESOURCE_DWORD_RANGE = 0x87,
    RESOURCE_WORD_RANGE = 0x88,
    RESOURCE_QWORD_RANGE = 0x8a,
};

/* Of a range: what it is of, and its flags: the bridge passes it on, as it is, with fixed ends. */
enum {
    RANGE_MEMORY = 0,
    RANGE_IO = 1,
    RANGE_BUS = 2,
    RANGE_FIXED = 0x0c,
    RANGE_ENTIRE = 0x03, /* of I/O: ISA and other addresses */
    RANGE_WRITABLE = 0x01,
};

void aml_byte(struct aml *a, u8 value)
{
    if (a->size < a->capacity) {
        a->bytes[a->size++] = value;
    } else {
        a->overflow = true;
    }
}

void aml_word(struct aml *a, u16 value)
{
    aml_byte(a, (u8)value);
    aml_byte(a, (u8)(value >> 8));
}

void aml_dword(struct aml *a, u32 value)
{
    aml_word(a, (u16)value);
    aml_word(a, (u16)(value >> 16));
}

void aml_integer(struct aml *a, u32 value)
{
    if (value <= 1) {
        aml_byte(a, value ? OP_ONE : OP_ZERO);
    } else if (value <= 0xff) {
        aml_byte(a, OP_BYTE);
        aml_byte(a, (u8)value);
    } else if (value <= 0xffff) {
        aml_byte(a, OP_WORD);
        aml_word(a, (u16)value);
    } else {
        aml_byte(a, OP_DWORD);
        aml_dword(a, value);
    }
}

/* A name of up to 4 characters, filled up with '_', after the path's '\' if it has one. */
static void name_string(struct aml *a, const char *name)
{
    if (*name == '\\') {
        aml_byte(a, (u8)*name++);
    }
    size_t length = strlen(name);
    assert(length <= 4);
    for (size_t i = 0; i < 4; i++) {
        aml_byte(a, i < length ? (u8)name[i] : '_');
    }
}

/* A PkgLength, to be filled in by close: always the form of 3 bytes, up to 1 MiB. */
static void open_length(struct aml *a)
{
    assert(a->depth < AML_DEPTH);
    a->open[a->depth++] = a->size;
    aml_byte(a, 0);
    aml_word(a, 0);
}

void aml_close(struct aml *a)
{
    assert(a->depth);
    u32 at = a->open[--a->depth], length = a->size - at;
    if (a->overflow) {
        return;
    }
    a->bytes[at] = (u8)(2 << 6 | (length & 0xf));
    a->bytes[at + 1] = (u8)(length >> 4);
    a->bytes[at + 2] = (u8)(length >> 12);
}

void aml_scope(struct aml *a, const char *path)
{
    aml_byte(a, OP_SCOPE);
    open_length(a);
    name_string(a, path);
}

void aml_device(struct aml *a, const char *name)
{
    aml_byte(a, OP_EXTENDED);
    aml_byte(a, OP_DEVICE);
    open_length(a);
    name_string(a, name);
}

void aml_package(struct aml *a, u8 elements)
{
    aml_byte(a, OP_PACKAGE);
    open_length(a);
    aml_byte(a, elements);
}

void aml_method(struct aml *a, const char *name, u8 arguments)
{
    aml_byte(a, OP_METHOD);
    open_length(a);
    name_string(a, name);
    aml_byte(a, arguments);
}

void aml_name(struct aml *a, const char *name)
{
    aml_byte(a, OP_NAME);
    name_string(a, name);
}

void aml_name_integer(struct aml *a, const char *name, u32 value)
{
    aml_name(a, name);
    aml_integer(a, value);
}

static u8 hex(char c)
{
    return (u8)(c >= 'A' ? c - 'A' + 10 : c - '0');
}

void aml_name_eisa(struct aml *a, const char *name, const char *id)
{
    assert(strlen(id) == 7);
    u16 maker = (u16)((id[0] & 0x1f) << 10 | (id[1] & 0x1f) << 5 | (id[2] & 0x1f));
    aml_name(a, name);
    aml_byte(a, OP_DWORD);
    aml_byte(a, (u8)(maker >> 8));
    aml_byte(a, (u8)maker);
    aml_byte(a, (u8)(hex(id[3]) << 4 | hex(id[4])));
    aml_byte(a, (u8)(hex(id[5]) << 4 | hex(id[6])));
}

void aml_resources(struct aml *a)
{
    aml_name(a, "_CRS");
    aml_byte(a, OP_BUFFER);
    open_length(a);
    aml_byte(a, OP_BYTE); /* the buffer's size, filled in at the end */
    aml_byte(a, 0);
}

void aml_resources_end(struct aml *a)
{
    aml_byte(a, RESOURCE_END);
    aml_byte(a, 0); /* no checksum */
    u32 first = a->open[a->depth - 1] + 3 + 2, length = a->size - first;
    assert(a->overflow || length <= 0xff);
    if (!a->overflow) {
        a->bytes[first - 1] = (u8)length;
    }
    aml_close(a);
}

void aml_io(struct aml *a, u16 port, u8 length)
{
    aml_byte(a, RESOURCE_IO);
    aml_byte(a, 1);    /* decodes 16 bits */
    aml_word(a, port); /* lowest base */
    aml_word(a, port); /* highest base */
    aml_byte(a, 1);    /* alignment */
    aml_byte(a, length);
}

void aml_irq(struct aml *a, unsigned irq)
{
    aml_byte(a, RESOURCE_IRQ);
    aml_word(a, (u16)(1u << irq));
}

void aml_memory(struct aml *a, u32 base, u32 size)
{
    aml_byte(a, RESOURCE_MEMORY32_FIXED);
    aml_word(a, 9);
    aml_byte(a, RANGE_WRITABLE);
    aml_dword(a, base);
    aml_dword(a, size);
}

/* The head of a range, whose five numbers have size bytes each. */
static void range_head(struct aml *a, u8 resource, u16 size, u8 of, u8 flags)
{
    aml_byte(a, resource);
    aml_word(a, (u16)(3 + 5 * size));
    aml_byte(a, of);
    aml_byte(a, RANGE_FIXED);
    aml_byte(a, flags);
}

/* Granularity, first, last, translation, length. */
static void word_range(struct aml *a, u8 of, u8 flags, u16 first, u16 last)
{
    range_head(a, RESOURCE_WORD_RANGE, 2, of, flags);
    aml_word(a, 0);
    aml_word(a, first);
    aml_word(a, last);
    aml_word(a, 0);
    aml_word(a, (u16)(last - first + 1));
}

void aml_bus_range(struct aml *a, u16 first, u16 last)
{
    word_range(a, RANGE_BUS, 0, first, last);
}

void aml_io_range(struct aml *a, u16 first, u16 last)
{
    word_range(a, RANGE_IO, RANGE_ENTIRE, first, last);
}

void aml_memory_range(struct aml *a, u32 first, u32 last)
{
    range_head(a, RESOURCE_DWORD_RANGE, 4, RANGE_MEMORY, RANGE_WRITABLE);
    aml_dword(a, 0);
    aml_dword(a, first);
    aml_dword(a, last);
    aml_dword(a, 0);
    aml_dword(a, last - first + 1);
}

static void qword(struct aml *a, u64 value)
{
    aml_dword(a, (u32)value);
    aml_dword(a, (u32)(value >> 32));
}

void aml_memory64_range(struct aml *a, u64 first, u64 last)
{
    range_head(a, RESOURCE_QWORD_RANGE, 8, RANGE_MEMORY, RANGE_WRITABLE);
    qword(a, 0);
    qword(a, first);
    qword(a, last);
    qword(a, 0);
    qword(a, last - first + 1);
}

void aml_store_argument(struct aml *a, const char *name)
{
    aml_byte(a, OP_STORE);
    aml_byte(a, OP_ARG0);
    name_string(a, name);
}

void aml_return(struct aml *a, const char *name)
{
    aml_byte(a, OP_RETURN);
    name_string(a, name);
}

void aml_if(struct aml *a, const char *name)
{
    aml_byte(a, OP_IF);
    open_length(a);
    name_string(a, name);
}
