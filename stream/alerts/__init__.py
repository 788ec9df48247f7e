"""The life of an alert: raised, grown, handled, ended; in Redis and in memory."""
