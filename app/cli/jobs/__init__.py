"""Jobs as commands find them, pay for them, write their answers, and reach them without a stack."""
