"""Commands that are killed, stopped, started twice, or left without room on the disk."""
