"""The life of an alert: raised, grown, handled, silenced, ended; in Redis and in memory."""
