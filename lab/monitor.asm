; monitor.asm - a virtual machine monitor for the machine of machine.h, in that machine's own code.
;
; Popek and Goldberg's control program is a dispatcher D, an allocator A and an interpreter routine v
; for each privileged instruction: CP = <D, A, {v}>.  They are below, under these names.  What differs
; between the VMM of theorem 1 and the hybrid VMM of theorem 3 follows in theorem1.asm or theorem3.asm,
; which are assembled behind this file:
;
;     again   the guest's next instruction: run it, or interpret it
;     table   where the interpreter routine of each instruction is
;
; The virtual machine map f: the storage of the guest begins at `end`, behind this program, and goes
; to the end of what R gives the monitor; the guest's M, P and R are the words vM, vP, vl and vb.
; The monitor is itself a program for any machine of this sort, a virtual one too: theorem 2.

; ---- What the machine knows: E[0..9].
old:    word 0 0 0 0            ; M P l b of what trapped: it is always the guest
cause:  word 0
new:    word 0 dispatch 0 0     ; M P l b at a trap: the dispatcher, with all storage that there is
first:  jump start

; ---- The guest.
size:   word 0                  ; its storage: E[end] to E[end + size - 1]
vM:     word 0                  ; its PSW, as it believes it to be: that of a machine that starts
vP:     word 9
vl:     word 0
vb:     word 0

; ---- The PSW under which it runs in truth.
rM:     word 1                  ; user mode, always
rP:     word 0
rl:     word end                ; l and b as the allocator grants them
rb:     word 0

; ---- Working storage.
op:     word 0                  ; the instruction that is being interpreted
a:      word 0
b:      word 0
at:     word 0                  ; for `operand`
more:   word 0
p:      word 0
ret:    word 0
t:      word 0
link:   word 0                  ; for `both` of theorem3.asm
x:      word 0
y:      word 0
one:    word 1
three:  word 3
guest:  word end

; ---- Start: the monitor has the storage [0, b); the guest gets what is behind the monitor.
start:  spsw rM                 ; of which b is wanted
        move new+3 rb
        move size rb
        sub size guest
        move vb size
        set rM 1
        jump A

; ---- D, the dispatcher: every trap comes here.
dispatch:
        move vP old+1           ; all that a guest can change of its PSW without us
        move t cause
        sub t one
        jumpz D1 t
        jump reflect            ; a trap that the guest's own machine would take
D1:     jumpz interpret vM      ; a privileged instruction, and the guest is in supervisor mode
                                ; it is in user mode: its own machine would trap

; Do in the guest's storage what a trap does, and load its new PSW.
reflect:
        move p guest
        store p vM
        add p one
        store p vP
        add p one
        store p vl
        add p one
        store p vb
        add p one
        store p cause
        add p one
        jump load               ; of the PSW at p

; Fetch the guest's next instruction and go to its routine.
interpret:
        move at vP
        set more 2
        set ret fetch
        jump operand
fetch:  load op p
        add p one
        load a p
        add p one
        load b p
        jump route

; Go to routes + 3 op: the table has one jump, which is three words, for each code.
go:     move t op
        add t op
        add t op
        add t routes
        jumpto t

; p = where the guest's words at to at+more are in our storage.  If R gives it less, it memory-traps.
operand:
        move t at
        less t rb
        jumpz beyond t
        move t at
        add t more
        less t rb
        jumpz beyond t
        move p at
        add p rl
        jumpto ret
beyond: set cause 2
        jump reflect

; ---- The interpreter routines of the privileged instructions.
vlpsw:  move at a
        set more 3
        set ret load
        jump operand
load:   load vM p               ; from the four words at p
        add p one
        load vP p
        add p one
        load vl p
        add p one
        load vb p
        jumpz A vM
        set vM 1
        jump A

vspsw:  move at a
        set more 3
        set ret vspsw1
        jump operand
vspsw1: add vP three
        store p vM
        add p one
        store p vP
        add p one
        store p vl
        add p one
        store p vb
        jump again

vsetr:  move at a
        set more 1
        set ret vsetr1
        jump operand
vsetr1: load vl p
        add p one
        load vb p
        add vP three
        jump A

vhalt:  halt                    ; there is nothing else to do

; ---- A, the allocator: the guest wants R = (vl, vb).  Grant what of that is its own storage, and no
; word more: from end + vl on, min(vb, size - vl) words, or none if vl is beyond its storage.
A:      move rl guest
        set rb 0
        move t vl
        less t size
        jumpz again t
        add rl vl
        move rb size
        sub rb vl
        move t vb
        less t rb
        jumpz again t
        move rb vb
        jump again

; Let the guest run, until it traps.
run:    move rP vP
        lpsw rM
