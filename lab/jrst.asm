; jrst.asm - what the hybrid VMM adds on a machine with jrst.
        jump vjrst
codes:  word 16

vjrst:  set vM 1
        move vP a
        jump again
