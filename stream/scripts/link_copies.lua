-- Tell for each event of a micro-batch how new it is and which earlier event it is a copy of.
--
-- KEYS  1 table      slot -> the latest first event of that slot (hash of a fixed size, TTL)
-- ARGV  1 window, microseconds of event time   2 similarity from which an event is a copy
--       3 keep, seconds   4 key prefix of the copies' counters   5 key prefix of answers
--       6 answers remembered of each partition   7 replay, seconds
--       8 the events, a JSON list of lists: name (<source>:<id>), time in microseconds, sketch,
--       facts, slots, topic:partition, offset; slots and offset as text
-- Returns a JSON list with two strings an event: novelty, and the name of the first event or ''.
-- A redelivered event gets the answer it got first. A counter counts names, so a copy whose answer
-- is forgotten is still counted once.
local window, threshold, keep, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local remembered, replay = tonumber(ARGV[6]), ARGV[7]
local HASH, SKETCH = 8, 16

-- Jaccard similarity by the smallest hashes of the union (both sketches are sorted).
local function similarity(ours, theirs)
  local a, b, seen, both = 1, 1, 0, 0
  while seen < SKETCH and (a <= #ours or b <= #theirs) do
    local x, y = string.sub(ours, a, a + HASH - 1), string.sub(theirs, b, b + HASH - 1)
    if x == y then
      both, a, b = both + 1, a + HASH, b + HASH
    elseif y == '' or (x ~= '' and x < y) then
      a = a + HASH
    else
      b = b + HASH
    end
    seen = seen + 1
  end
  return both / seen
end

local function adds_none(ours, theirs)
  local known = {}
  for fact = 1, #theirs, HASH do
    known[string.sub(theirs, fact, fact + HASH - 1)] = true
  end
  for fact = 1, #ours, HASH do
    if not known[string.sub(ours, fact, fact + HASH - 1)] then return false end
  end
  return true
end

-- Novelty and the name of the first event.
local function compare(name, time, sketch, facts, slots)
  local closest, best, first = 0, 0, nil
  for _, entry in ipairs(redis.call('HMGET', KEYS[1], unpack(slots))) do
    if entry then
      local when, theirs, their_facts, other = string.match(entry, '^(%S+) (%S+) (%S*) (.*)$')
      if other ~= name and math.abs(tonumber(when) - time) <= window then
        local similar = similarity(sketch, theirs)
        closest = math.max(closest, similar)
        if similar >= threshold and similar > best and adds_none(facts, their_facts) then
          best, first = similar, other
        end
      end
    end
  end
  if first then
    local counter = prefix .. first
    redis.call('PFADD', counter, name)
    redis.call('EXPIRE', counter, keep)
    return string.format('%.4f', 1 - best), first
  end
  local entry = string.format('%.0f', time) .. ' ' .. sketch .. ' ' .. facts .. ' ' .. name
  for _, slot in ipairs(slots) do
    redis.call('HSET', KEYS[1], slot, entry)
  end
  return string.format('%.4f', 1 - closest), ''
end

local answers, touched = {}, {}
for _, event in ipairs(cjson.decode(ARGV[8])) do
  local name, time, sketch, facts, slots, source, offset = unpack(event)
  local partition = ARGV[5] .. source
  local place = string.format('%.0f', tonumber(offset) % remembered)
  local given = redis.call('HGET', partition, place) or ''
  -- The name too: in a topic made anew, or in its mirror, another event has the offset. The length tells
  -- where the name ends. The @ keeps former workers, whose answers begin with the offset, from these.
  local asked = '@' .. offset .. ' ' .. #name .. ' ' .. name .. ' '
  local novelty, first
  if string.sub(given, 1, #asked) == asked then
    novelty, first = string.match(given, '^(%S+) (.*)$', #asked + 1)
  else
    novelty, first = compare(name, time, sketch, facts, slots)
    redis.call('HSET', partition, place, asked .. novelty .. ' ' .. first)
    touched[partition] = true
  end
  answers[#answers + 1] = novelty
  answers[#answers + 1] = first
end
redis.call('EXPIRE', KEYS[1], keep)
for partition in pairs(touched) do
  redis.call('EXPIRE', partition, replay)
end
return cjson.encode(answers)
