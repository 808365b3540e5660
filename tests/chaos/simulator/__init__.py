"""A whole bus in one thread, on a fake clock and from a seed: `python tests/chaos/simulator --seed 7 --trace`.

Real: the outbox with its SQLite files, drafts, delivery and shipping; decoding, judgement and the offsets' compare-and-
set; the relay's sender and its messages. Modelled: broker, disk, database tables, who is assigned what, and time.
"""
