"""Cases: a network with its data, its conventions and its layout of parameters."""
