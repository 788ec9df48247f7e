-- The next turn: higher than every one before it, and no lower than ARGV[1], the clock (microseconds),
-- for a Redis that lost its memory. KEYS[1] is the latest one. observe.lua takes turns too; keep in step.
local turn = math.max(tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[1]) or '0') + 1)
redis.call('SET', KEYS[1], string.format('%.0f', turn))
return string.format('%.0f', turn)
