-- Take a lease that nobody holds, or renew one's own.
--
-- KEYS  1 lease (string: the holder's token, TTL)
-- ARGV  1 token   2 milliseconds
-- Returns 1 while the caller holds it, else 0.
local holder = redis.call('GET', KEYS[1])
-- Nobody's lease is longer: the clock was set back since, and a dead holder's would last for as long.
local impossible = redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2])
if holder and holder ~= ARGV[1] and not impossible then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
