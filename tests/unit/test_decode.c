/*
 * test_decode.c - the decoder and the disassembler on hand-picked instructions, all error results,
 * and what the table says of single instructions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "isa/insn.h"
#include "isa/rflags.h"

#define RIP 0x401000

/* "48 89 d8" to bytes; returns how many. */
static size_t parse(const char *hex, u8 *bytes)
{
    size_t size = 0;
    char *end;

    for (;;) {
        unsigned long byte = strtoul(hex, &end, 16);
        if (end == hex) {
            return size;
        }
        bytes[size++] = (u8)byte;
        hex = end;
    }
}

static enum insn_result decode(struct insn *insn, enum insn_mode mode, const char *hex)
{
    u8 bytes[32] = {0};
    size_t size = parse(hex, bytes);

    return insn_decode(insn, mode, bytes, size);
}

/* Decode what must be an instruction of exactly these bytes. */
static struct insn good(enum insn_mode mode, const char *hex)
{
    struct insn insn;
    u8 bytes[32];

    assert_int_equal(decode(&insn, mode, hex), INSN_OK);
    assert_int_equal(insn.length, parse(hex, bytes));
    assert_memory_equal(insn.bytes, bytes, insn.length);
    return insn;
}

struct text_case {
    enum insn_mode mode;
    const char *hex, *text;
};

static const struct text_case texts[] = {
    /* Addressing. */
    {INSN_MODE_64, "48 89 d8", "mov rax, rbx"},
    {INSN_MODE_64, "88 e0", "mov al, ah"},
    {INSN_MODE_64, "40 88 e0", "mov al, spl"},
    {INSN_MODE_64, "65 48 8b 44 88 10", "mov rax, qword ptr gs:[rax+rcx*4+0x10]"},
    {INSN_MODE_64, "48 8b 45 f8", "mov rax, qword ptr [rbp-0x8]"},
    {INSN_MODE_64, "48 8b 05 10 00 00 00", "mov rax, qword ptr [0x401017]"},
    {INSN_MODE_64, "67 8b 05 00 00 c0 ff", "mov eax, dword ptr [0x1007]"},
    {INSN_MODE_64, "8b 04 25 10 00 00 80", "mov eax, dword ptr [0xffffffff80000010]"},
    {INSN_MODE_64, "41 8b 04 24", "mov eax, dword ptr [r12]"},
    {INSN_MODE_64, "41 8b 45 00", "mov eax, dword ptr [r13]"},
    {INSN_MODE_64, "42 8b 04 20", "mov eax, dword ptr [rax+r12]"},
    {INSN_MODE_64, "67 8b 00", "mov eax, dword ptr [eax]"},
    {INSN_MODE_64, "2e 8b 00", "mov eax, dword ptr [rax]"},
    {INSN_MODE_32, "2e 8b 00", "mov eax, dword ptr cs:[eax]"},
    {INSN_MODE_32, "3e 8b 45 00", "mov eax, dword ptr ds:[ebp]"},
    {INSN_MODE_16, "8b 02", "mov ax, word ptr [bp+si]"},
    {INSN_MODE_16, "8b 47 fe", "mov ax, word ptr [bx-0x2]"},
    {INSN_MODE_16, "8b 0e 34 12", "mov cx, word ptr [0x1234]"},
    {INSN_MODE_16, "67 66 8b 04 24", "mov eax, dword ptr [esp]"},
    {INSN_MODE_64, "48 a1 88 77 66 55 44 33 22 11", "mov rax, qword ptr [0x1122334455667788]"},
    {INSN_MODE_32, "a0 00 00 00 fe", "mov al, byte ptr [0xfe000000]"},
    /* Immediates. */
    {INSN_MODE_64, "48 83 c0 ff", "add rax, 0xffffffffffffffff"},
    {INSN_MODE_64, "83 c0 ff", "add eax, 0xffffffff"},
    {INSN_MODE_64, "80 c0 ff", "add al, 0xff"},
    {INSN_MODE_64, "48 c7 c0 00 00 00 80", "mov rax, 0xffffffff80000000"},
    {INSN_MODE_64, "48 b8 88 77 66 55 44 33 22 11", "mov rax, 0x1122334455667788"},
    {INSN_MODE_64, "6a ff", "push 0xffffffffffffffff"},
    {INSN_MODE_64, "66 68 34 12", "push 0x1234"},
    {INSN_MODE_64, "c8 10 00 02", "enter 0x10, 0x2"},
    {INSN_MODE_64, "d1 e0", "shl eax, 1"},
    {INSN_MODE_64, "d3 f0", "shl eax, cl"},
    {INSN_MODE_64, "48 6b c3 10", "imul rax, rbx, 0x10"},
    /* Branches. */
    {INSN_MODE_64, "eb fe", "jmp 0x401000"},
    {INSN_MODE_64, "66 e9 00 01 00 00", "jmp 0x401106"},
    {INSN_MODE_32, "66 e9 00 01", "jmp 0x1104"},
    {INSN_MODE_64, "0f 85 00 00 00 00", "jnz 0x401006"},
    {INSN_MODE_64, "e3 00", "jrcxz 0x401002"},
    {INSN_MODE_64, "67 e3 00", "jecxz 0x401003"},
    {INSN_MODE_32, "9a 78 56 34 12 10 00", "call far 0x10:0x12345678"},
    {INSN_MODE_64, "ff 2f", "jmp far fword ptr [rdi]"},
    {INSN_MODE_64, "48 ff 2f", "jmp far tbyte ptr [rdi]"},
    {INSN_MODE_64, "ff d0", "call rax"},
    {INSN_MODE_64, "c3", "ret"},
    {INSN_MODE_64, "48 cb", "ret far"},
    {INSN_MODE_64, "48 cf", "iretq"},
    /* Names by size. */
    {INSN_MODE_64, "48 98", "cdqe"},
    {INSN_MODE_64, "99", "cdq"},
    {INSN_MODE_64, "9c", "pushfq"},
    {INSN_MODE_32, "61", "popad"},
    {INSN_MODE_64, "48 0f c7 08", "cmpxchg16b xmmword ptr [rax]"},
    {INSN_MODE_64, "48 0f ae 20", "xsave64 [rax]"},
    {INSN_MODE_64, "f3 48 a5", "rep movsq"},
    {INSN_MODE_64, "f2 ae", "repne scasb"},
    {INSN_MODE_32, "2e 67 ac", "lodsb cs:[si]"},
    {INSN_MODE_64, "f3 6d", "rep insd"},
    {INSN_MODE_64, "0f 94 c0", "setz al"},
    {INSN_MODE_64, "48 0f 4c c1", "cmovl rax, rcx"},
    /* Prefixes. */
    {INSN_MODE_64, "f0 48 0f b1 0c 88", "lock cmpxchg qword ptr [rax+rcx*4], rcx"},
    {INSN_MODE_64, "48 66 89 d8", "mov ax, bx"}, /* REX not directly before the opcode */
    {INSN_MODE_64, "90", "nop"},
    {INSN_MODE_64, "41 90", "xchg r8d, eax"},
    {INSN_MODE_64, "f3 90", "pause"},
    {INSN_MODE_64, "f3 f2 0f 10 c1", "movsd xmm0, xmm1"}, /* the last of F2 and F3 */
    {INSN_MODE_64, "66 f3 0f 6f c1", "movdqu xmm0, xmm1"},
    {INSN_MODE_64, "f3 0f bc c1", "tzcnt eax, ecx"},
    {INSN_MODE_64, "f2 0f bc c1", "bsf eax, ecx"},
    {INSN_MODE_64, "f3 0f 1e fa", "nop edx"}, /* ENDBR64 */
    {INSN_MODE_64, "66 2e 0f 1f 84 00 00 00 00 00", "nop word ptr [rax+rax]"},
    /* System. */
    {INSN_MODE_64, "0f 22 d8", "mov cr3, rax"},
    {INSN_MODE_64, "0f 20 18", "mov rax, cr3"}, /* mod does not matter */
    {INSN_MODE_64, "44 0f 22 c0", "mov cr8, rax"},
    {INSN_MODE_32, "0f 23 f8", "mov dr7, eax"},
    {INSN_MODE_64, "8e d8", "mov ds, ax"},
    {INSN_MODE_64, "0f 01 f8", "swapgs"},
    {INSN_MODE_64, "0f 01 18", "lidt tbyte ptr [rax]"},
    {INSN_MODE_32, "0f 01 18", "lidt fword ptr [eax]"},
    {INSN_MODE_64, "0f 01 38", "invlpg [rax]"},
    {INSN_MODE_64, "0f 05", "syscall"},
    {INSN_MODE_64, "f1", "int1"},
    {INSN_MODE_64, "63 c8", "movsxd ecx, eax"},
    {INSN_MODE_32, "63 c8", "arpl ax, cx"},
    {INSN_MODE_32, "d6", "salc"},
    {INSN_MODE_64, "0f ff c0", "ud0 eax, eax"},
    /* x87, MMX, SSE. */
    {INSN_MODE_64, "d8 c1", "fadd st(0), st(1)"},
    {INSN_MODE_64, "db 28", "fld tbyte ptr [rax]"},
    {INSN_MODE_64, "df e0", "fnstsw ax"},
    {INSN_MODE_64, "0f 6f 08", "movq mm1, qword ptr [rax]"},
    {INSN_MODE_64, "66 48 0f 6e c0", "movq xmm0, rax"},
    {INSN_MODE_64, "66 0f 73 f9 08", "pslldq xmm1, 0x8"},
    {INSN_MODE_64, "f2 48 0f 38 f1 c3", "crc32 rax, rbx"},
    /* VEX. */
    {INSN_MODE_64, "c5 f4 58 c2", "vaddps ymm0, ymm1, ymm2"},
    {INSN_MODE_64, "c4 41 7c 28 c1", "vmovaps ymm8, ymm9"},
    {INSN_MODE_64, "c4 e2 69 90 04 88", "vpgatherdd xmm0, dword ptr [rax+xmm1*4], xmm2"},
    {INSN_MODE_64, "c4 e2 ed 92 04 88", "vgatherdpd ymm0, qword ptr [rax+xmm1*4], ymm2"},
    {INSN_MODE_64, "c4 e3 69 4a c1 30", "vblendvps xmm0, xmm2, xmm1, xmm3"},
    {INSN_MODE_64, "c4 e2 f0 f2 c2", "andn rax, rcx, rdx"},
    {INSN_MODE_32, "c4 e2 f0 f2 c2", "andn eax, ecx, edx"},
    {INSN_MODE_64, "c5 f8 77", "vzeroupper"},
    {INSN_MODE_32, "c5 f8 77", "vzeroupper"},
    {INSN_MODE_32, "c5 38", "lds edi, fword ptr [eax]"},
    {INSN_MODE_32, "c4 38", "les edi, fword ptr [eax]"},
    {INSN_MODE_32, "62 38", "bound edi, qword ptr [eax]"},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct insn insn = good(texts[i].mode, texts[i].hex);
        char text[96];
        size_t length = insn_format(&insn, texts[i].mode, RIP, text, sizeof(text));

        assert_string_equal(text, texts[i].text);
        assert_int_equal(length, strlen(text));
    }
}

struct error_case {
    enum insn_mode mode;
    const char *hex;
    enum insn_result result;
};

static const struct error_case errors[] = {
    /* Not in this mode. */
    {INSN_MODE_64, "06", INSN_UNDEFINED},
    {INSN_MODE_64, "27", INSN_UNDEFINED},
    {INSN_MODE_64, "60", INSN_UNDEFINED},
    {INSN_MODE_64, "82 c0 01", INSN_UNDEFINED},
    {INSN_MODE_64, "9a 00 00 00 00 00 00", INSN_UNDEFINED},
    {INSN_MODE_64, "ce", INSN_UNDEFINED},
    {INSN_MODE_64, "d4 0a", INSN_UNDEFINED},
    {INSN_MODE_64, "d6", INSN_UNDEFINED},
    {INSN_MODE_32, "0f 05", INSN_UNDEFINED}, /* SYSCALL: only AMD's */
    {INSN_MODE_32, "0f 01 f8", INSN_UNDEFINED},
    {INSN_MODE_32, "f3 0f ae c0", INSN_UNDEFINED}, /* RDFSBASE */
    /* Undefined opcodes and groups. */
    {INSN_MODE_64, "0f 04", INSN_UNDEFINED},
    {INSN_MODE_64, "0f 0f c0 9e", INSN_UNDEFINED}, /* 3DNow! */
    {INSN_MODE_64, "8f c8", INSN_UNDEFINED},
    {INSN_MODE_64, "c6 f8 00", INSN_UNDEFINED}, /* XABORT */
    {INSN_MODE_64, "fe d0", INSN_UNDEFINED},
    {INSN_MODE_64, "ff f8", INSN_UNDEFINED},
    {INSN_MODE_64, "0f ba c0 00", INSN_UNDEFINED},
    {INSN_MODE_64, "d9 d1", INSN_UNDEFINED},
    {INSN_MODE_64, "0f 24 c0", INSN_UNDEFINED},
    /* Memory or register only. */
    {INSN_MODE_64, "8d c0", INSN_UNDEFINED},
    {INSN_MODE_64, "0f c7 c8", INSN_UNDEFINED},
    {INSN_MODE_64, "0f 01 d8", INSN_UNDEFINED},
    {INSN_MODE_64, "ff d8", INSN_UNDEFINED},
    {INSN_MODE_64, "0f 50 00", INSN_UNDEFINED},
    /* Registers that are not there. */
    {INSN_MODE_64, "0f 20 c8", INSN_UNDEFINED},
    {INSN_MODE_64, "0f 22 e8", INSN_UNDEFINED},
    {INSN_MODE_64, "44 0f 20 c8", INSN_UNDEFINED},
    {INSN_MODE_64, "44 0f 21 c0", INSN_UNDEFINED},
    {INSN_MODE_64, "8c f0", INSN_UNDEFINED},
    {INSN_MODE_64, "8e c8", INSN_UNDEFINED}, /* MOV CS */
    /* LOCK. */
    {INSN_MODE_64, "f0 89 d8", INSN_UNDEFINED},
    {INSN_MODE_64, "f0 01 d8", INSN_UNDEFINED},
    {INSN_MODE_64, "f0 03 00", INSN_UNDEFINED},
    {INSN_MODE_64, "f0 39 00", INSN_UNDEFINED},
    {INSN_MODE_64, "f0 90", INSN_UNDEFINED},
    /* VEX. */
    {INSN_MODE_64, "66 c5 f8 58 c0", INSN_UNDEFINED},
    {INSN_MODE_64, "f3 c5 f8 58 c0", INSN_UNDEFINED},
    {INSN_MODE_64, "f0 c5 f8 58 c0", INSN_UNDEFINED},
    {INSN_MODE_64, "48 c5 f8 58 c0", INSN_UNDEFINED},
    {INSN_MODE_64, "c4 e4 78 58 c0", INSN_UNDEFINED}, /* map 4 */
    {INSN_MODE_64, "c4 e0 78 58 c0", INSN_UNDEFINED},
    {INSN_MODE_64, "c5 f0 28 c1", INSN_UNDEFINED},       /* vvvv where there is none */
    {INSN_MODE_64, "c4 e2 7d f2 c0", INSN_UNDEFINED},    /* VEX.L of ANDN */
    {INSN_MODE_64, "c4 e3 79 06 c0 00", INSN_UNDEFINED}, /* VPERM2F128 with 128 bits */
    {INSN_MODE_64, "c4 e2 79 90 04 08", INSN_UNDEFINED}, /* gather: mask is destination */
    {INSN_MODE_64, "c4 e2 69 90 00", INSN_UNDEFINED},    /* gather without SIB */
    {INSN_MODE_64, "62 f1 7c 48 58 c0", INSN_UNDEFINED}, /* EVEX */
    {INSN_MODE_32, "62 c0", INSN_UNDEFINED},
    /* Short, and known to be undefined before the end. */
    {INSN_MODE_64, "", INSN_SHORT},
    {INSN_MODE_64, "66", INSN_SHORT},
    {INSN_MODE_64, "48", INSN_SHORT},
    {INSN_MODE_64, "0f", INSN_SHORT},
    {INSN_MODE_64, "0f 38", INSN_SHORT},
    {INSN_MODE_64, "8b", INSN_SHORT},
    {INSN_MODE_64, "8b 04", INSN_SHORT},
    {INSN_MODE_64, "8b 05 00 00 00", INSN_SHORT},
    {INSN_MODE_64, "48 b8 00 00 00 00 00 00 00", INSN_SHORT},
    {INSN_MODE_64, "c4", INSN_SHORT},
    {INSN_MODE_64, "c5 f8", INSN_SHORT},
    {INSN_MODE_32, "c5", INSN_SHORT},
    {INSN_MODE_64, "f0 8b 84", INSN_UNDEFINED},
    {INSN_MODE_64, "0f 0f", INSN_UNDEFINED},
    /* Over 15 bytes. */
    {INSN_MODE_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66", INSN_TOO_LONG},
    {INSN_MODE_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", INSN_TOO_LONG},
    {INSN_MODE_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66", INSN_SHORT},
    {INSN_MODE_64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", INSN_OK},
    {INSN_MODE_32, "2e 2e 2e 2e 2e 81 84 88 00 00 00 00 00 00 00 00", INSN_TOO_LONG},
};

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        struct insn insn;

        if (decode(&insn, errors[i].mode, errors[i].hex) != errors[i].result) {
            fail_msg("%s: not %d", errors[i].hex, errors[i].result);
        }
    }
}

static void test_operands(void **state)
{
    struct insn insn = good(INSN_MODE_64, "01 43 08"); /* add [rbx+8], eax */

    (void)state;
    assert_int_equal(insn.id, INSN_ADD);
    assert_int_equal(insn.operands, 2);
    assert_int_equal(insn.op[0].kind, OPERAND_MEM);
    assert_int_equal(insn.op[0].size, 4);
    assert_true(insn.op[0].read && insn.op[0].written);
    assert_int_equal(insn.op[1].kind, OPERAND_REG);
    assert_true(insn.op[1].read && !insn.op[1].written);
    assert_int_equal(insn.mem.base, 3);
    assert_int_equal(insn.mem.index, MEM_NO_REG);
    assert_int_equal(insn.mem.disp, 8);
    assert_int_equal(insn.mem.segment, SEG_DS);

    insn = good(INSN_MODE_64, "88 24 24"); /* mov [rsp], ah */
    assert_int_equal(insn.op[1].class, REG_GPR_HIGH);
    assert_int_equal(insn.op[1].reg, 0);
    assert_int_equal(insn.mem.segment, SEG_SS);
    assert_true(insn.op[0].written && !insn.op[0].read);

    insn = good(INSN_MODE_64, "36 88 00"); /* SS: does not count in 64-bit mode */
    assert_int_equal(insn.mem.segment, SEG_DS);
    insn = good(INSN_MODE_32, "36 88 00");
    assert_int_equal(insn.mem.segment, SEG_SS);

    insn = good(INSN_MODE_64, "8d 04 08"); /* lea eax, [rax+rcx] */
    assert_int_equal(insn.op[1].kind, OPERAND_MEM);
    assert_int_equal(insn.op[1].size, 0);
    assert_false(insn.op[1].read);

    insn = good(INSN_MODE_64, "48 83 c0 f0");
    assert_true(insn.imm == (u64)-16);
    insn = good(INSN_MODE_64, "66 83 c0 f0");
    assert_true(insn.imm == 0xfff0);
    insn = good(INSN_MODE_64, "c8 34 12 05");
    assert_int_equal(insn.imm, 0x1234);
    assert_int_equal(insn.imm2, 5);
    assert_true(!insn.op[0].second && insn.op[1].second);
}

static void test_strings(void **state)
{
    struct insn insn = good(INSN_MODE_64, "f3 64 a4"); /* rep movsb fs: */

    (void)state;
    assert_int_equal(insn.id, INSN_MOVS);
    assert_int_equal(insn.op[0].size, 1);
    assert_int_equal(insn.mem.base, 6);
    assert_int_equal(insn.mem.segment, SEG_FS);
    assert_int_equal(insn.rep, 0xf3);
    assert_int_equal(insn.address_size, 8);

    insn = good(INSN_MODE_32, "2e aa"); /* stosb: ES whatever the prefix */
    assert_int_equal(insn.mem.base, 7);
    assert_int_equal(insn.mem.segment, SEG_ES);

    insn = good(INSN_MODE_64, "48 6f"); /* outsd */
    assert_int_equal(insn.op[0].size, 4);
    insn = good(INSN_MODE_32, "2e d7"); /* xlat cs: */
    assert_int_equal(insn.mem.base, 3);
    assert_int_equal(insn.mem.segment, SEG_CS);
    assert_int_equal(insn.op[0].size, 1);
}

static void test_sizes(void **state)
{
    struct insn insn;

    (void)state;
    assert_int_equal(good(INSN_MODE_64, "50").operand_size, 8);
    assert_int_equal(good(INSN_MODE_64, "66 50").operand_size, 2);
    assert_int_equal(good(INSN_MODE_32, "50").operand_size, 4);
    assert_int_equal(good(INSN_MODE_16, "50").operand_size, 2);
    assert_int_equal(good(INSN_MODE_16, "66 50").operand_size, 4);
    assert_int_equal(good(INSN_MODE_64, "66 c3").operand_size, 8); /* as Intel does */
    assert_int_equal(good(INSN_MODE_64, "cf").operand_size, 4);
    assert_int_equal(good(INSN_MODE_64, "cb").operand_size, 4);
    assert_int_equal(good(INSN_MODE_64, "0f 20 c0").operand_size, 8);
    assert_int_equal(good(INSN_MODE_32, "0f 20 c0").op[0].size, 4);
    assert_int_equal(good(INSN_MODE_64, "48 0f c7 08").op[0].size, 16);
    insn = good(INSN_MODE_64, "48 8c d8"); /* mov rax, ds */
    assert_int_equal(insn.op[0].size, 8);
    insn = good(INSN_MODE_64, "48 8c 18"); /* mov [rax], ds */
    assert_int_equal(insn.op[0].size, 2);
    insn = good(INSN_MODE_64, "e5 60"); /* in eax, 0x60 */
    assert_int_equal(insn.op[0].size, 4);
}

static void test_layout(void **state)
{
    struct insn insn = good(INSN_MODE_64, "66 48 0f 3a 0f 84 88 78 56 34 12 05");

    (void)state;
    assert_int_equal(insn.id, INSN_PALIGNR);
    assert_int_equal(insn.map, 3);
    assert_int_equal(insn.opcode, 0x0f);
    assert_int_equal(insn.opcode_offset, 4);
    assert_int_equal(insn.imm_offset, 11);
    assert_int_equal(insn.rex, 0x48);
    assert_int_equal(insn.mem.disp, 0x12345678);
    insn = good(INSN_MODE_64, "c4 41 7c 28 c1");
    assert_int_equal(insn.vex, 3);
    assert_int_equal(insn.rex, 4 | 1);
    assert_int_equal(insn.vex_l, 1);
    assert_int_equal(insn.vex_vvvv, 0);
    assert_int_equal(insn.imm_offset, insn.length);
}

static unsigned classes_of(const char *hex)
{
    struct insn insn = good(INSN_MODE_64, hex);
    return insn_row(&insn)->classes;
}

/* Every row has examples, which are different ones: what insn_example() makes is checked by the
 * decoder, which the other tests check. */
static void test_examples(void **state)
{
    static const enum insn_mode modes[] = {INSN_MODE_32, INSN_MODE_64};
    u64 random = 1;

    (void)state;
    for (unsigned row = 0; row < INSN_ROWS; row++) {
        unsigned found = 0;
        for (unsigned i = 0; i < 400; i++) {
            u8 bytes[INSN_MAX_LENGTH];
            struct insn insn;
            for (unsigned k = 0; k < sizeof(bytes); k++) {
                random = random * 6364136223846793005ull + 1442695040888963407ull;
                bytes[k] = (u8)(random >> 56);
            }
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            if (insn_example(&insn, row, modes[i & 1], random ^ random >> 32, bytes)) {
                assert_int_equal(insn.row, row);
                found++;
            }
        }
        if (found < 10) {
            fail_msg("row %u, %s: %u examples", row, insn_rows[row].mnemonic, found);
        }
    }
}

static void test_table(void **state)
{
    const struct insn_row *row;
    struct insn insn;

    (void)state;
    assert_int_equal(classes_of("48 01 d8"), CLASS_INNOCUOUS);
    assert_int_equal(classes_of("f4"), CLASS_PRIVILEGED | CLASS_CONTROL_SENSITIVE);
    assert_int_equal(classes_of("0f 22 d8"), CLASS_PRIVILEGED | CLASS_CONTROL_SENSITIVE);
    assert_int_equal(classes_of("9d"), CLASS_CONTROL_SENSITIVE);
    assert_int_equal(classes_of("0f 01 00"), CLASS_LOCATION_SENSITIVE);
    assert_int_equal(classes_of("9c"), CLASS_MODE_SENSITIVE);
    assert_int_equal(classes_of("fa"), CLASS_IO_PRIVILEGED | CLASS_CONTROL_SENSITIVE);
    assert_string_equal(insn_class_name(CLASS_PRIVILEGED), "privileged");

    insn = good(INSN_MODE_64, "48 11 d8");
    row = insn_row(&insn);
    assert_string_equal(row->mnemonic, "adc");
    assert_int_equal(row->cpuid, CPUID_BASE);
    assert_int_equal(row->flags_read, RFLAGS_CF);
    assert_int_equal(row->flags_written, RFLAGS_ARITHMETIC);
    assert_true(row->attributes & ATTR_LOCK);
    insn = good(INSN_MODE_64, "7f 00"); /* jnle */
    row = insn_row(&insn);
    assert_int_equal(row->flags_read, RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF);
    assert_true(row->attributes & ATTR_BRANCH);
    insn = good(INSN_MODE_64, "0f 28 00"); /* movaps */
    assert_true(insn_row(&insn)->attributes & ATTR_ALIGN16);
    insn = good(INSN_MODE_64, "0f 10 00"); /* movups */
    assert_false(insn_row(&insn)->attributes & ATTR_ALIGN16);
    insn = good(INSN_MODE_64, "c5 f8 58 00"); /* vaddps */
    assert_false(insn_row(&insn)->attributes & ATTR_ALIGN16);
    assert_true(insn_row(&insn)->attributes & ATTR_AVX);
    insn = good(INSN_MODE_64, "c5 fd fe c0"); /* vpaddd, 256 bits */
    assert_int_equal(insn_row(&insn)->cpuid, CPUID_AVX2);
    insn = good(INSN_MODE_64, "c5 f9 fe c0");
    assert_int_equal(insn_row(&insn)->cpuid, CPUID_AVX);
}

static void test_format_bounds(void **state)
{
    struct insn insn = good(INSN_MODE_64, "48 89 d8");
    char text[8];

    (void)state;
    memset(text, 'z', sizeof(text));
    assert_int_equal(insn_format(&insn, INSN_MODE_64, 0, text, 5), 12);
    assert_string_equal(text, "mov ");
    assert_int_equal(text[5], 'z');
    assert_int_equal(insn_format(&insn, INSN_MODE_64, 0, NULL, 0), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_operands),      cmocka_unit_test(test_strings),
        cmocka_unit_test(test_sizes),         cmocka_unit_test(test_layout),
        cmocka_unit_test(test_table),         cmocka_unit_test(test_examples),
        cmocka_unit_test(test_format_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
