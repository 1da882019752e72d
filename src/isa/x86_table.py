#!/usr/bin/env python3
"""Make C tables from x86.def.

    x86_table.py x86.def --header insn_id.h --table insn_table.c

The format of x86.def is told in its head, that of the tables in table.h.  Every line is checked,
and two rows that could both match one instruction are an error.
"""
import argparse
import re
import sys

FLAG_BITS = {'c': 0, 'p': 2, 'a': 4, 'z': 6, 's': 7, 't': 8, 'i': 9, 'd': 10, 'o': 11, 'n': 14}
IOPL = 3 << 12

CLASSES = {
    'priv': 'CLASS_PRIVILEGED',
    'ctl': 'CLASS_CONTROL_SENSITIVE',
    'loc': 'CLASS_LOCATION_SENSITIVE',
    'mode': 'CLASS_MODE_SENSITIVE',
    'io': 'CLASS_IO_PRIVILEGED',
}

ATTRIBUTES = {
    'lock': 'ATTR_LOCK', 'rep': 'ATTR_REP', 'repz': 'ATTR_REPZ', 'branch': 'ATTR_BRANCH',
    'aligned': 'ATTR_ALIGN16', 'x87': 'ATTR_X87', 'mmx': 'ATTR_MMX', 'sse': 'ATTR_SSE',
    'avx': 'ATTR_AVX', 'nowait': 'ATTR_NOWAIT', 'cpl0': 'ATTR_CPL0', 'notreal': 'ATTR_UD_REAL',
}

OTHER_WORDS = {'i64', 'o64', 'd64', 'f64', 'unaligned'}

# Bytes of each type, by operand size 2, 4, 8; by VEX.L 0, 1; by mode 16/32, 64.
BY_OSIZE = {'v': (2, 4, 8), 'z': (2, 4, 4), 'y': (4, 4, 8), 'p': (4, 6, 10), 'a': (4, 8, 8),
            'k': (8, 8, 16)}
BY_LENGTH = {'x': (16, 32), 'ps': (16, 32), 'pd': (16, 32), 'xh': (8, 16), 'xq': (4, 8),
             'xe': (2, 4)}
BY_MODE = {'s': (6, 10), 'm': (4, 8)}
CONSTANT = {'': 0, 'b': 1, 'w': 2, 'd': 4, 'q': 8, 'dq': 16, 'qq': 32, 't': 10, 'ss': 4, 'sd': 8}

SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS']
FIXED = {'AL': ('REG_GPR', 0, 'b'), 'CL': ('REG_GPR', 1, 'b'), 'AX': ('REG_GPR', 0, 'w'),
         'DX': ('REG_GPR', 2, 'w'), 'rAX': ('REG_GPR', 0, 'v'), 'eAX': ('REG_GPR', 0, 'z'),
         'ST0': ('REG_X87', 0, 't'), 'XMM0': ('REG_VECTOR', 0, 'dq')}
FIXED.update({name: ('REG_SEGMENT', i, 'w') for i, name in enumerate(SEGMENTS)})

# Letter: (method, register class).
ADDRESSING = {
    'B': ('VVVV', 'REG_GPR'), 'C': ('REG', 'REG_CONTROL'), 'D': ('REG', 'REG_DEBUG'),
    'E': ('RM', 'REG_GPR'), 'G': ('REG', 'REG_GPR'), 'H': ('VVVV', 'REG_VECTOR'),
    'L': ('IMM4', 'REG_VECTOR'), 'M': ('RM', 'REG_GPR'), 'N': ('RM', 'REG_MMX'),
    'P': ('REG', 'REG_MMX'), 'Q': ('RM', 'REG_MMX'), 'R': ('RM', 'REG_GPR'),
    'S': ('REG', 'REG_SEGMENT'), 'U': ('RM', 'REG_VECTOR'), 'V': ('REG', 'REG_VECTOR'),
    'W': ('RM', 'REG_VECTOR'), 'Z': ('OPCODE', 'REG_GPR'),
}

CONDITIONS = [('o', 'o'), ('no', 'o'), ('b', 'c'), ('nb', 'c'), ('z', 'z'), ('nz', 'z'),
              ('be', 'cz'), ('nbe', 'cz'), ('s', 's'), ('ns', 's'), ('p', 'p'), ('np', 'p'),
              ('l', 'so'), ('nl', 'so'), ('le', 'szo'), ('nle', 'szo')]

VEX_LENGTH = {'128': 0, 'LZ': 0, '256': 1}


def size_of(kind, column):
    osize, length, mode = column % 3, column // 3 % 2, column // 6
    if kind in BY_OSIZE:
        return BY_OSIZE[kind][osize]
    if kind in BY_LENGTH:
        return BY_LENGTH[kind][length]
    if kind in BY_MODE:
        return BY_MODE[kind][mode]
    return CONSTANT[kind]


SIZE_KINDS = list(CONSTANT) + list(BY_OSIZE) + list(BY_LENGTH) + list(BY_MODE)


class Bad(Exception):
    pass


class Key:
    """What a row asks of an instruction: a mask and a value over named bits and the ModRM byte."""

    BITS = {'MEM': 8, 'F2': 9, 'F3': 10, '66': 11, 'W': 12, 'B': 13, 'L': 14, '64': 15}

    def __init__(self):
        self.mask = 0
        self.value = 0

    def need(self, mask, value):
        if (self.value ^ value) & self.mask & mask:
            raise Bad('the encoding contradicts itself')
        self.mask |= mask
        self.value |= value

    def bit(self, name, value):
        self.need(1 << self.BITS[name], value << self.BITS[name])

    def overlaps(self, other):
        return not (self.value ^ other.value) & self.mask & other.mask

    @classmethod
    def text(cls, number):
        parts = ['KEY_' + n for n, b in cls.BITS.items() if number >> b & 1]
        if number & 0xff or not parts:
            parts.append(f'{number & 0xff:#04x}')
        return ' | '.join(parts)


def printed(mnemonic):
    """CALL_FAR prints as call far; MOV_CR and PUSH_SEG as mov and push."""
    first, _, rest = mnemonic.lower().partition('_')
    return f'{first} far' if rest == 'far' else first


class Row:
    def __init__(self, line):
        columns = [c.strip() for c in line.split('|')]
        if len(columns) != 4:
            raise Bad('a row has four columns')
        self.encoding, self.mnemonic, operands, self.words = columns
        if not re.fullmatch(r'[A-Z][A-Z0-9_]*', self.mnemonic):
            raise Bad(f'mnemonic {self.mnemonic!r}')
        self.printed = printed(self.mnemonic)
        self.key = Key()
        self.vex = self.modrm = self.modx = False
        self.map = 0
        self.opcodes = []
        self.operands = []
        self.vsib = self.mandatory_66 = False
        self.parse_operands(operands)

    # -- encoding

    def parse_encoding(self):
        tokens = self.encoding.split()
        if tokens[0].startswith('VEX'):
            self.parse_vex(tokens.pop(0))
        else:
            self.parse_prefix(tokens)
            if tokens[0] == '0F':
                tokens.pop(0)
                self.map = {'38': 2, '3A': 3}.get(tokens[0], 1)
                if self.map > 1:
                    tokens.pop(0)
        self.parse_opcode(tokens.pop(0))
        for token in tokens:
            self.parse_tail(token)
        self.vsib = any(o['vsib'] for o in self.operands)

    def parse_prefix(self, tokens):
        wanted = {'NP': (('66', 0), ('F2', 0), ('F3', 0)), '66': (('66', 1), ('F2', 0), ('F3', 0)),
                  'F3': (('F3', 1), ('F2', 0)), 'F2': (('F2', 1), ('F3', 0)),
                  'NF': (('F2', 0), ('F3', 0)),
                  'NF3': (('F3', 0),)}
        if tokens[0] in wanted:
            token = tokens.pop(0)
            self.mandatory_66 = token == '66'
            for name, value in wanted[token]:
                self.key.bit(name, value)

    def parse_vex(self, token):
        parts = token.split('.')[1:]
        self.vex = True
        if parts[0] in VEX_LENGTH:
            self.key.bit('L', VEX_LENGTH[parts.pop(0)])
        elif parts[0] == 'LIG':
            parts.pop(0)
        prefix = parts.pop(0) if parts[0] in ('66', 'F3', 'F2') else ''
        for name in ('66', 'F3', 'F2'):
            self.key.bit(name, int(name == prefix))
        if parts[0] not in ('0F', '0F38', '0F3A'):
            raise Bad(f'VEX map {parts[0]!r}')
        self.map = {'0F': 1, '0F38': 2, '0F3A': 3}[parts.pop(0)]
        if parts and parts[0] in ('W0', 'W1'):
            self.key.bit('W', int(parts.pop(0)[1]))
        if parts:
            raise Bad(f'VEX parts {parts}')

    def parse_opcode(self, token):
        match = re.fullmatch(r'([0-9A-F]{2})(\+r|\+cc)?', token)
        if not match:
            raise Bad(f'opcode {token!r}')
        first = int(match[1], 16)
        self.conditional = match[2] == '+cc'
        count = {None: 1, '+r': 8, '+cc': 16}[match[2]]
        if first % count:
            raise Bad(f'opcode {token!r} is not aligned')
        self.opcodes = range(first, first + count)

    def parse_tail(self, token):
        match = re.fullmatch(r'([0-9A-F]{2})(\+i)?', token)
        if match:
            self.modrm = True
            self.key.need(0xf8 if match[2] else 0xff, int(match[1], 16))
            self.key.bit('MEM', 0)
        elif re.fullmatch(r'/[0-7r]', token):
            self.modrm = True
            if token != '/r':
                self.key.need(0x38, int(token[1]) << 3)
        elif token in ('mem', 'reg'):
            self.key.bit('MEM', int(token == 'mem'))
        elif token == 'modx':
            self.modx = True
        elif token in ('W0', 'W1', 'B=0', 'B=1'):
            self.key.bit(token[0], int(token[-1]))
        else:
            raise Bad(f'encoding {token!r}')

    # -- operands

    def parse_operands(self, text):
        for name in filter(None, (t.strip() for t in text.split(','))):
            if name.startswith('('):
                continue
            access = ACCESS.get(name[0])
            if access is not None:
                name = name[1:]
            self.operands.append(self.operand(name, 1 if access is None else access))
        if len(self.operands) > 5:
            raise Bad('more than five operands')

    def operand(self, name, access):
        spec = {'method': 'NONE', 'class': 'REG_GPR', 'reg': 0, 'size': '', 'mem_size': '',
                'access': access, 'vsib': False, 'letter': name[0]}
        if name in FIXED:
            spec['class'], spec['reg'], spec['size'] = FIXED[name]
            spec['method'] = 'FIXED'
            return spec
        if name == 'STi':
            return dict(spec, method='RM', **{'class': 'REG_X87'}, size='t', mem_size='t')
        if name == 'I1':
            return dict(spec, method='ONE', size='b')
        if name.startswith('vm'):
            return dict(spec, method='RM', mem_size=self.kind(name[2:]), vsib=True, letter='M')
        if name == 'XLb':
            return dict(spec, method='XLAT', size='b', mem_size='b')
        match = re.fullmatch(r'R([a-z]+)/M([a-z]+)', name)
        if match:
            return dict(spec, method='RM', size=self.kind(match[1]), mem_size=self.kind(match[2]),
                        letter='E')
        return self.lettered(spec, name)

    def lettered(self, spec, name):
        immediates = {'Ib': ('b', 'b', 0), 'sIb': ('v', 'b', 1), 'Iw': ('w', 'w', 0),
                      'Iz': ('v', 'z', 1), 'Iv': ('v', 'v', 0)}
        if name in immediates:
            size, fetched, signed = immediates[name]
            return dict(spec, method='IMM', size=size, mem_size=fetched, reg=signed)
        letter, kind = name[0], self.kind(name[1:])
        plain = {'A': 'FAR', 'J': 'REL', 'O': 'OFFSET', 'X': 'SOURCE', 'Y': 'DEST'}
        if letter in plain:
            fetched = 'z' if letter == 'A' else kind
            return dict(spec, method=plain[letter], size=kind, mem_size=fetched)
        if letter not in ADDRESSING:
            raise Bad(f'operand {name!r}')
        spec['method'], spec['class'] = ADDRESSING[letter]
        spec['size'] = spec['mem_size'] = kind
        if spec['class'] == 'REG_VECTOR':
            wide = kind == 'qq' or kind in ('x', 'ps', 'pd')
            spec['size'] = kind if wide else 'dq'
        elif spec['class'] == 'REG_MMX':
            spec['size'] = 'q'
        elif spec['class'] in ('REG_CONTROL', 'REG_DEBUG'):
            spec['size'] = 'm'
        return spec

    @staticmethod
    def kind(text):
        if text not in SIZE_KINDS:
            raise Bad(f'type {text!r}')
        return text

    # -- attributes

    def finish(self, defaults):
        self.parse_encoding()
        self.flags = {'r': 0, 'w': 0, 'u': 0}
        self.classes = set()
        self.words = self.words.split()
        self.features = None
        for word in defaults + self.words:
            self.attribute(word)
        if not self.features:
            raise Bad('no CPUID feature')
        for spec in self.operands:
            if spec['letter'] in 'MO' and spec['method'] == 'RM':
                self.key.bit('MEM', 1)
            if spec['letter'] in 'RUN' and spec['method'] == 'RM' and not self.modx:
                self.key.bit('MEM', 0)
        self.all_words = set(defaults + self.words)
        if 'i64' in self.all_words:
            self.key.bit('64', 0)
        if 'o64' in self.all_words:
            self.key.bit('64', 1)
        needs = {'RM', 'REG'} & {o['method'] for o in self.operands}
        if needs and not self.modrm:
            raise Bad('operands need a ModRM byte')
        self.attributes = {ATTRIBUTES[w] for w in self.all_words if w in ATTRIBUTES}
        if self.vex:
            self.attributes.add('ATTR_UD_REAL')
        elif 'sse' in self.all_words and 'unaligned' not in self.all_words:
            if any(o['method'] == 'RM' and o['letter'] in 'WM' and
                   o['mem_size'] in ('x', 'ps', 'pd', 'dq') for o in self.operands):
                self.attributes.add('ATTR_ALIGN16')
        return self.split()

    def attribute(self, word):
        match = re.fullmatch(r'([rwu])=([a-z]+)', word)
        if match:
            for letter in match[2]:
                if letter != 'l' and letter not in FLAG_BITS:
                    raise Bad(f'flag {letter!r}')
                self.flags[match[1]] |= IOPL if letter == 'l' else 1 << FLAG_BITS[letter]
        elif word in CLASSES:
            self.classes.add(CLASSES[word])
        elif re.fullmatch(r'[A-Z][A-Z0-9]*(/[A-Z][A-Z0-9]*)?', word):
            self.features = word
        elif word not in ATTRIBUTES and word not in OTHER_WORDS:
            raise Bad(f'attribute {word!r}')

    def split(self):
        """A row with +cc becomes 16 rows, one with two features two, for VEX.L 0 and 1."""
        rows = []
        if self.conditional:
            for opcode in self.opcodes:
                row = self.copy()
                name, tested = CONDITIONS[opcode & 15]
                row.opcodes = [opcode]
                row.printed = self.mnemonic.lower().replace('cc', name)
                row.flags = dict(self.flags, r=sum(1 << FLAG_BITS[f] for f in tested))
                rows.append(row)
        elif '/' in self.features:
            for length, feature in enumerate(self.features.split('/')):
                row = self.copy()
                row.key.bit('L', length)
                row.features = feature
                rows.append(row)
        return rows or [self]

    def copy(self):
        row = object.__new__(Row)
        row.__dict__.update(self.__dict__)
        row.key = Key()
        row.key.need(self.key.mask, self.key.value)
        return row

    def decode_flags(self):
        flags = []
        for word in ('d64', 'f64'):
            if word in self.all_words:
                flags.append('ROW_' + word.upper())
        if self.mandatory_66:
            flags.append('ROW_66')
        if any(o['method'] == 'VVVV' for o in self.operands):
            flags.append('ROW_VVVV')
        if self.vsib:
            flags.append('ROW_VSIB')
        if self.modx:
            flags.append('ROW_MODX')
        if 'lock' in self.all_words:
            flags.append('ROW_LOCK')
        return ' | '.join(flags) or '0'


ACCESS = {'=': 2, '+': 3, '-': 0}


def read_rows(path):
    rows, defaults, errors = [], [], 0
    with open(path, encoding='ascii') as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip('\n')
            if not line.strip() or line.startswith('#'):
                continue
            if line.startswith('@'):
                defaults = line[1:].split()
                continue
            try:
                row = Row(line)
                row.line = number
                rows.extend(row.finish(defaults))
            except Bad as bad:
                print(f'{path}:{number}: {bad}', file=sys.stderr)
                errors += 1
    return rows, errors


def space_of(row):
    return row.map + 3 if row.vex else row.map


def build_slots(rows, path):
    """(space, opcode) to row numbers; checks that no two rows of a slot overlap."""
    slots, errors = {}, 0
    for number, row in enumerate(rows):
        for opcode in row.opcodes:
            slots.setdefault((space_of(row), opcode), []).append(number)
    for members in slots.values():
        for i, a in enumerate(members):
            for b in members[i + 1:]:
                if rows[a].modrm != rows[b].modrm:
                    print(f'{path}:{rows[b].line}: ModRM, but not in line {rows[a].line}',
                          file=sys.stderr)
                    errors += 1
                if rows[a].key.overlaps(rows[b].key):
                    print(f'{path}:{rows[b].line}: overlaps line {rows[a].line}', file=sys.stderr)
                    errors += 1
    return slots, errors


class Tables:
    """The candidates, shared where they are equal, and the slots that name them."""

    def __init__(self, rows, slots):
        self.rows = rows
        self.candidates, self.ranges, self.groups = [], {}, []
        self.slots = [[(0, 0, '0')] * 256 for _ in range(7)]
        for (space, opcode), members in sorted(slots.items()):
            self.slots[space][opcode] = self.slot(members)

    def range_of(self, members):
        key = tuple(members)
        if key not in self.ranges:
            self.ranges[key] = len(self.candidates)
            self.candidates.extend(members)
        return self.ranges[key], len(members)

    def slot(self, members):
        flags = 'SLOT_MODRM' if self.rows[members[0]].modrm else '0'
        if len(members) == 1 or not any(self.rows[m].key.mask & 0x38 for m in members):
            return self.range_of(members) + (flags,)
        first = len(self.groups)
        for reg in range(8):
            wanted = Key()
            wanted.need(0x38, reg << 3)
            chosen = [m for m in members if self.rows[m].key.overlaps(wanted)]
            self.groups.append(self.range_of(chosen) if chosen else (0, 0))
        return first, 0, flags + ' | SLOT_BY_REG'


def write_header(path, rows):
    with open(path, 'w', encoding='ascii') as out:
        out.write('/* Made by x86_table.py from x86.def. */\n#ifndef ISA_INSN_ID_H\n')
        out.write('#define ISA_INSN_ID_H\n\nenum insn_id {\n    INSN_INVALID,\n')
        for name in sorted({r.mnemonic for r in rows}):
            out.write(f'    INSN_{name},\n')
        out.write('    INSN_COUNT\n};\n\nenum insn_cpuid {\n    CPUID_BASE,\n')
        for name in sorted({r.features for r in rows} - {'BASE'}):
            out.write(f'    CPUID_{name},\n')
        out.write('    CPUID_COUNT\n};\n\n')
        out.write(f'#define INSN_ROWS {len(rows)}\n\n#endif\n')


def write_table(path, rows, tables):
    specs = {}
    with open(path, 'w', encoding='ascii') as out:
        out.write('/* Made by x86_table.py from x86.def. */\n#include "isa/table.h"\n\n')
        out.write('const struct insn_row insn_rows[] = {\n')
        for row in rows:
            attributes = ' | '.join(sorted(row.attributes)) or '0'
            classes = ' | '.join(sorted(row.classes)) or 'CLASS_INNOCUOUS'
            out.write(f'    {{"{row.printed}", INSN_{row.mnemonic}, {classes}, '
                      f'CPUID_{row.features}, {attributes}, {row.flags["r"]:#x}, '
                      f'{row.flags["w"]:#x}, {row.flags["u"]:#x}}},\n')
        out.write('};\n\nconst char *const insn_cpuid_names[] = {\n    "",\n')
        for name in sorted({r.features for r in rows} - {'BASE'}):
            out.write(f'    "{name}",\n')
        out.write('};\n\nconst struct decode_row insn_decode_rows[] = {\n')
        for row in rows:
            numbers = [specs.setdefault(spec_text(o), len(specs)) for o in row.operands]
            out.write(f'    {{{Key.text(row.key.mask)}, {Key.text(row.key.value)}, '
                      f'{row.decode_flags()}, {space_of(row)}, {row.opcodes[0]:#04x}, '
                      f'{len(row.opcodes)}, {len(numbers)}, '
                      f'{{{", ".join(map(str, numbers)) or 0}}}}}, /* {row.mnemonic} */\n')
        out.write('};\n\nconst struct operand_spec insn_operand_specs[] = {\n')
        out.writelines(f'    {{{text}}},\n' for text in specs)
        out.write('};\n\nconst u8 insn_sizes[][SIZE_COLUMNS] = {\n')
        for kind in SIZE_KINDS:
            sizes = ', '.join(str(size_of(kind, c)) for c in range(12))
            out.write(f'    {{{sizes}}}, /* {kind or "none"} */\n')
        out.write('};\n\nconst u16 insn_decode_candidates[] = {\n')
        for i in range(0, len(tables.candidates), 16):
            out.write('    ' + ', '.join(map(str, tables.candidates[i:i + 16])) + ',\n')
        out.write('};\n\nconst struct decode_slot insn_decode_groups[] = {\n')
        out.writelines(f'    {{{f}, {c}, 0}},\n' for f, c in tables.groups)
        out.write('};\n\nconst struct decode_slot insn_decode_slots[SPACE_COUNT][256] = {\n')
        for space in tables.slots:
            out.write('    {\n')
            for opcode, (first, count, flags) in enumerate(space):
                if count or flags != '0':
                    out.write(f'        [{opcode:#04x}] = {{{first}, {count}, {flags}}},\n')
            out.write('    },\n')
        out.write('};\n')


def spec_text(spec):
    return (f'METHOD_{spec["method"]}, {spec["class"]}, {spec["reg"]}, '
            f'{SIZE_KINDS.index(spec["size"])}, {SIZE_KINDS.index(spec["mem_size"])}, '
            f'{spec["access"]}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('definition')
    parser.add_argument('--header', help='write enum insn_id and enum insn_cpuid here')
    parser.add_argument('--table', help='write the tables here')
    options = parser.parse_args()

    rows, errors = read_rows(options.definition)
    if not errors:
        slots, errors = build_slots(rows, options.definition)
    if errors:
        return 1
    if options.header:
        write_header(options.header, rows)
    if options.table:
        write_table(options.table, rows, Tables(rows, slots))
    return 0


if __name__ == '__main__':
    sys.exit(main())
