"""How jobs run: what becomes of them, why they fail, which GPU they get, and how they go back into a queue."""
