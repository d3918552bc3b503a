"""The rack as every tab sees it: one model, one delta per tick."""
