"""The nouns and the rules: pure, without I/O, clock or event loop."""
