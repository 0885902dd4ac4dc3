"""Who is asked: an adapter in this process, or a program in any language behind a wire."""
