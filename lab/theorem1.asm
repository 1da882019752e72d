; theorem1.asm - the rest of the VMM of theorem 1: all that the guest does runs directly.
again:  jump run

route:  jump go                 ; nothing but a privileged instruction gets here

routes: word table-33           ; lpsw has code 11
table:  jump vlpsw
        jump vspsw
        jump vsetr
        jump vhalt
