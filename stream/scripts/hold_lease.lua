-- Take a lease that nobody holds, or renew one's own.
--
-- KEYS  1 lease (string: the holder's token, TTL)
-- ARGV  1 token   2 milliseconds
-- Returns 1 while the caller holds it, else 0.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
