; theorem3.asm - the rest of the hybrid VMM of theorem 3: all that the guest does in supervisor mode is
; interpreted, and what it does in user mode runs directly.  So there is a routine for each
; instruction.  What this machine has besides the usual ones follows in jrst.asm or lra.asm.
again:  jumpz interpret vM
        jump run

route:  move t op
        less t codes
        jumpz vsvc t
        jump go

; x = [a], y = [b], p = where the former lies in our storage; go to link.
both:   move at b
        set more 0
        set ret both1
        jump operand
both1:  load y p
        move at a
        set ret both2
        jump operand
both2:  load x p
        jumpto link

; Where a routine ends whose instruction is not a jump.
next:   add vP three
        jump again

vsvc:   set cause 3
        jump reflect

vmove:  set link vmove1
        jump both
vmove1: store p y
        jump next

vset:   move at a
        set more 0
        set ret vset1
        jump operand
vset1:  store p b
        jump next

vload:  move at b               ; b = [b], and then it is a move
        set more 0
        set ret vload1
        jump operand
vload1: load b p
        jump vmove

vstore: move at a               ; a = [a], and then it is a move
        set more 0
        set ret vstor1
        jump operand
vstor1: load a p
        jump vmove

vadd:   set link vadd1
        jump both
vadd1:  add x y
        jump put

vsub:   set link vsub1
        jump both
vsub1:  sub x y
        jump put

vless:  set link vless1
        jump both
vless1: less x y
put:    store p x
        jump next

vjump:  move vP a
        jump again

vjumpz: move at b
        set more 0
        set ret vjz1
        jump operand
vjz1:   load y p
        jumpz vjump y
        jump next

vjmpto: move at a
        set more 0
        set ret vjmpt1
        jump operand
vjmpt1: load vP p
        jump again

routes: word table
table:  jump vsvc
        jump vmove
        jump vset
        jump vload
        jump vstore
        jump vadd
        jump vsub
        jump vless
        jump vjump
        jump vjumpz
        jump vjmpto
        jump vlpsw
        jump vspsw
        jump vsetr
        jump vhalt
