/*
 * aml.h - writes ACPI Machine Language, the code in a DSDT, into a buffer.
 *
 * One function for each term that a small DSDT needs; packages are opened and closed:
 *
 *      aml_device(a, "COM1");              Device (COM1) {
 *      aml_name_eisa(a, "_HID", "PNP0501");    Name (_HID, EisaId ("PNP0501"))
 *      aml_close(a);                       }
 *
 * Source: ACPI specification, "ACPI Machine Language (AML) Specification", and "Resource Data Types
 * for ACPI".
 */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include "base/types.h"

#define AML_DEPTH 8

struct aml {
    u8 *bytes;
    u32 size, capacity;
    bool overflow; /* something did not fit; nothing is written past capacity */
    u32 open[AML_DEPTH];
    unsigned depth;
};

void aml_byte(struct aml *a, u8 value);
void aml_word(struct aml *a, u16 value);
void aml_dword(struct aml *a, u32 value);

/* ZeroOp, OneOp, or the smallest of the constant's prefixes. */
void aml_integer(struct aml *a, u32 value);

/* Terms with a length; each is ended by aml_close(). */
void aml_scope(struct aml *a, const char *path);
void aml_device(struct aml *a, const char *name);
void aml_package(struct aml *a, u8 elements);
void aml_method(struct aml *a, const char *name, u8 arguments);
void aml_close(struct aml *a);

/* Name (name, ...); the first is followed by whatever the caller writes. */
void aml_name(struct aml *a, const char *name);
void aml_name_integer(struct aml *a, const char *name, u32 value);
void aml_name_eisa(struct aml *a, const char *name, const char *id);

/* Name (_CRS, ResourceTemplate () { ... }) around the resources that are written in between. */
void aml_resources(struct aml *a);
void aml_resources_end(struct aml *a);
void aml_io(struct aml *a, u16 port, u8 length);
void aml_memory(struct aml *a, u32 base, u32 size); /* Memory32Fixed */
void aml_irq(struct aml *a, unsigned irq);

/* A range of addresses that a bridge passes on: WordBusNumber, WordIO, DWordMemory, QWordMemory. */
void aml_bus_range(struct aml *a, u16 first, u16 last);
void aml_io_range(struct aml *a, u16 first, u16 last);
void aml_memory_range(struct aml *a, u32 first, u32 last);
void aml_memory64_range(struct aml *a, u64 first, u64 last);

/* In a method: Store (Arg0, name); Return (name); If (name) {, which aml_close() ends. */
void aml_store_argument(struct aml *a, const char *name);
void aml_return(struct aml *a, const char *name);
void aml_if(struct aml *a, const char *name);

#endif
