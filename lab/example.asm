; example.asm - an operating system for the machine of machine.h, which runs one task.  The task adds up
; 3 + 2 + 1 in a storage of its own and asks the system to end: it makes a supervisor call.
old:    word 0 0 0 0            ; M P l b
cause:  word 0
new:    word 0 trap 0 96

        lpsw user               ; start the task

trap:   move t cause
        sub t call
        jumpz done t
        halt                    ; the task did something else
done:   move answer task+2      ; the task's word 2: its sum
        halt

t:      word 0
call:   word 3                  ; the cause of a supervisor call
answer: word 0
user:   word 1 4 task 24        ; user mode, P = 4, R = (task, 24)

task:   word 3 1 0 0            ; its words 0 to 3: the number, one, the sum
        add 2 0                 ; its word 4
        sub 0 1
        jumpz 16 0
        jump 4
        svc                     ; its word 16
