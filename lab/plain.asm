; plain.asm - what the hybrid VMM adds on a machine with nothing besides the usual instructions.
codes:  word 15
