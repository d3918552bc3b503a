"""The contract every part of PiRack speaks, and the broker it speaks through.

Imports nothing of ours; everything else imports it.
"""
