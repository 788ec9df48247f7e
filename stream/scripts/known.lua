-- The members of the sets KEYS, one list a set: one round trip for however many.
local found = {}
for place, key in ipairs(KEYS) do
  found[place] = redis.call('SMEMBERS', key)
end
return found
