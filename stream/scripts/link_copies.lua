-- Tell for each event of a micro-batch how new it is and which earlier event it is a copy of.
--
-- KEYS  1 table      slot -> the entry of the latest first event of that slot (hash of a fixed size, TTL)
--       2, 3, …      of each partition: place -> the answer to the latest event at that place (hash, TTL)
-- ARGV  1 window, microseconds of event time   2 similarity from which an event is a copy
--       3 keep, seconds   4 key prefix of the copies' counters   5 replay, seconds
--       6 the events' entries in one text; an entry is: time in microseconds, sketch, facts and name
--       (<source>:<id>), with a space between
--       7 of the events: lengths of their entries, three slots each, their partitions 1…, their places, what
--       an answer to them begins with (JSON lists; all but the lengths as text)
-- Returns a JSON list of what is not new and no copy: place 1…, novelty, and the name of the first event
-- or ''.
-- A redelivered event gets the answer it got first. A counter counts names, so a copy whose answer
-- is forgotten is still counted once.
local window, threshold, keep, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local replay = ARGV[5]
local HASH, SKETCH = 8, 16
local SLOTS = 3
local find, sub = string.find, string.sub

-- The sorted hashes of a text, then something behind all of them; comparable as their digits are: eight of
-- these read as one number, as which a double with its sign and exponent in front keeps their order.
local numbers = '>' .. string.rep('d', SKETCH)
local function hashes(text, from, to)
  local count = (to - from + 1) / HASH
  local found
  if struct then
    found = {struct.unpack(count == SKETCH and numbers or '>' .. string.rep('d', count), text, from)}
    found[count + 1] = math.huge
  else -- as in an imitation of Redis
    found = {}
    for place = 1, count do
      found[place] = sub(text, from + (place - 1) * HASH, from + place * HASH - 1)
    end
    found[count + 1] = 'none'
  end
  return found, count
end

-- Jaccard similarity by the smallest hashes of the union (both sketches are sorted).
local function similarity(ours, our_count, theirs)
  local a, b, both = 1, 1, 0
  local x, y = ours[1], theirs[1]
  for _ = 1, SKETCH do
    if x < y then
      a = a + 1
      x = ours[a]
    elseif y < x then
      b = b + 1
      y = theirs[b]
    elseif a > our_count then
      break
    else
      both, a, b = both + 1, a + 1, b + 1
      x, y = ours[a], theirs[b]
    end
  end
  return both / (a + b - 2 - both)
end

local function adds_none(ours, theirs)
  local known = {}
  for fact = 1, #theirs, HASH do
    known[sub(theirs, fact, fact + HASH - 1)] = true
  end
  for fact = 1, #ours, HASH do
    if not known[sub(ours, fact, fact + HASH - 1)] then return false end
  end
  return true
end

-- Where the sketch begins and ends.
local function sketch_of(entry)
  local from = find(entry, ' ', 1, true) + 1
  return from, find(entry, ' ', from, true) - 1
end

-- Time, facts and name.
local function rest_of(entry)
  local from, to = sketch_of(entry)
  local facts = find(entry, ' ', to + 2, true)
  return tonumber(sub(entry, 1, from - 2)), sub(entry, to + 2, facts - 1),
    sub(entry, facts + 1)
end

local rounded = {}
local function novelty_of(similar)
  local text = rounded[similar]
  if not text then
    text = string.format('%.4f', 1 - similar)
    rounded[similar] = text
  end
  return text
end

local lengths, slots, partitions, places, asked = unpack(cjson.decode(ARGV[7]))
local entries = {}
for index, entry in ipairs(redis.call('HMGET', KEYS[1], unpack(slots))) do
  entries[slots[index]] = entry
end

-- Similarity to the closest one before, and if it is a copy the name of the first event.
local function compare(entry, at)
  local closest, best, first = 0, 0, nil
  local ours, our_count, time, facts, name
  local last
  for slot = at, at + SLOTS - 1 do
    local other = entries[slots[slot]]
    if other and other ~= last then
      last = other
      if not ours then
        ours, our_count = hashes(entry, sketch_of(entry))
      end
      local similar = similarity(ours, our_count, (hashes(other, sketch_of(other))))
      -- Most share a slot by chance.
      if similar > 0 then
        if not time then
          time, facts, name = rest_of(entry)
        end
        local when, their_facts, their_name = rest_of(other)
        if their_name ~= name and math.abs(when - time) <= window then
          closest = math.max(closest, similar)
          if similar >= threshold and similar > best and adds_none(facts, their_facts) then
            best, first = similar, their_name
          end
        end
      end
    end
  end
  return first and best or closest, first, name
end

-- By partition: its places that are asked about, and what is kept at each.
local sought, kept = {}, {}
for index, partition in ipairs(partitions) do
  local some = sought[partition]
  if not some then
    some = {}
    sought[partition], kept[partition] = some, {}
  end
  some[#some + 1] = places[index]
end
for partition, some in pairs(sought) do
  local answers = kept[partition]
  for index, answer in ipairs(redis.call('HMGET', KEYS[partition + 1], unpack(some))) do
    answers[some[index]] = answer
  end
end

local told, copies, written, answered = {}, {}, {}, {}
local from = 1
for index, partition in ipairs(partitions) do
  local place, ask = places[index], asked[index]
  local entry = sub(ARGV[6], from, from + lengths[index] - 1)
  from = from + lengths[index]
  local answer = kept[partition][place]
  local novelty, first
  -- The name too: in a topic made anew, or in its mirror, another event has the offset. The length tells
  -- where the name ends. The @ keeps former workers, whose answers begin with the offset, from these.
  if answer and find(answer, ask, 1, true) == 1 then
    novelty, first = string.match(answer, '^(%S+) (.*)$', #ask + 1)
  else
    local at = (index - 1) * SLOTS + 1
    local similar, name
    similar, first, name = compare(entry, at)
    novelty = novelty_of(similar)
    if first then
      copies[first] = copies[first] or {}
      table.insert(copies[first], name)
    else
      first = ''
      for slot = at, at + SLOTS - 1 do
        entries[slots[slot]] = entry
        written[#written + 1] = slots[slot]
        written[#written + 1] = entry
      end
    end
    answer = ask .. novelty .. ' ' .. first
    kept[partition][place] = answer
    local changes = answered[partition]
    if not changes then
      changes = {}
      answered[partition] = changes
    end
    changes[#changes + 1] = place
    changes[#changes + 1] = answer
  end
  if novelty ~= '1.0000' or first ~= '' then
    told[#told + 1] = index
    told[#told + 1] = novelty
    told[#told + 1] = first
  end
end

if #written > 0 then
  redis.call('HSET', KEYS[1], unpack(written))
end
redis.call('EXPIRE', KEYS[1], keep)
for partition, changes in pairs(answered) do
  redis.call('HSET', KEYS[partition + 1], unpack(changes))
  redis.call('EXPIRE', KEYS[partition + 1], replay)
end
for first, names in pairs(copies) do
  redis.call('PFADD', prefix .. first, unpack(names))
  redis.call('EXPIRE', prefix .. first, keep)
end
return #told > 0 and cjson.encode(told) or '[]'
