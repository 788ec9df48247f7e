-- Write what the holder of a lease decided, all of it or, when another holds the lease, nothing.
--
-- KEYS  1 lease
-- ARGV  1 token   2 JSON list of commands, each a list of strings
-- Returns 1 if written, else 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for _, command in ipairs(cjson.decode(ARGV[2])) do
  redis.call(unpack(command))
end
return 1
