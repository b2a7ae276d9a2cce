"""The soak: two nodes under load for as long as wanted, while everything around them breaks and heals; see main.py."""
