; lra.asm - what the hybrid VMM adds on a machine with lra: it is right in supervisor mode.
        jump vsvc               ; code 15 is jrst
        jump vlra
codes:  word 17

vlra:   add b vl                ; and then it is a set
        jump vset
