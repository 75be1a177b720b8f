"""Other runtimes beside embedx, each in a process of its own."""
