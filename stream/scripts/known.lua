-- Which of KEYS exist, as their places from 1: one round trip for however many.
local found = {}
for place, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then
    found[#found + 1] = place
  end
end
return found
