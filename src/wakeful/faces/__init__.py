"""The doors through which callers come; each speaks one protocol and knows the scheduler only."""
