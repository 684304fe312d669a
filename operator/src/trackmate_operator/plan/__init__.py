"""What an affiliate is to have. Pure: from what was declared and what the platform gives."""
