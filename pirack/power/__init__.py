"""``pirack power``: what a person does at the relays."""
