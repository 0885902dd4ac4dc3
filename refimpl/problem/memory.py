"""How much may be held at once: each bound counts numbers, and says what it comes to in float64."""

__all__ = [
    "ASSEMBLY",
    "CONTRACTIONS",
    "JACOBIANS",
    "KERNEL",
    "LAYER_BLOCKS",
    "LAYER_ROWS",
    "PRODUCTS",
    "RETRAININGS",
    "SOLVED_QUERIES",
    "VMAPPED_PASSES",
]

# Copies of the parameters, and the activations of the passes that vmap makes side by side: 128 MiB.
VMAPPED_PASSES = 2**24
# Layer inputs, gradients and roots of a batch; sweeps kept for a second use; gradient matrices: 128 MiB.
LAYER_ROWS = 2**24
# Rows of some examples, and what is formed of them to multiply them by vectors: 256 MiB.
CONTRACTIONS = 2**25
# Queries solved at once; as much again for their solutions, and for the residuals: 256 MiB.
SOLVED_QUERIES = 2**25
# Jacobians of a batch in the definitions: 256 MiB.
JACOBIANS = 2**25
# Rows of a pass that are added to the Gauss-Newton Hessian, and the factors of a tile of it: 512 MiB.
ASSEMBLY = 2**26
# An intermediate of the kernel's products and of its making: 512 MiB.
KERNEL = 2**26
# Activations of a batch in a product with the Gauss-Newton Hessian by differentiation: 32 MiB.
PRODUCTS = 2**22
# Retrained copies and their activations, differentiated at once; they stay in a processor's cache: 16 MiB.
RETRAININGS = 2**21
# Diagonal blocks of the Gauss-Newton Hessian; a ladder leaves out the rung that would need more: 2 GiB.
LAYER_BLOCKS = 2**28
