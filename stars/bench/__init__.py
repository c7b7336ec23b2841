"""How fast this machine trains, encodes, samples and searches: configurations side by side in one run, so that their
ratios hold anywhere.
"""
