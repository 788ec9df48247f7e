-- Add what the events of a micro-batch come to, to the windows of its subjects: each event once.
--
-- KEYS  1…S             subjects (hash, TTL)
--       S+1, S+2, …     per partition read: seen (hash: event → its call and place there), order (list of
--                       calls: number, how many events, a space after each, and their names as JSON), and
--                       what former workers had for seen
--       the next        the latest turn (string)
--       the last        per subject asked about: the rules that have, or lately had, an alert or a
--                       wait about it (set)
-- ARGV  1 S   2 short half-life, microseconds   3 long one   4 max late, microseconds
--       5 keep subjects, seconds   6 keep what was seen, seconds   7 events of a partition kept
--       8 the clock, microseconds   9 key prefix of calls   10 that of former workers' folds
--       11 the events as the caller wants them kept   12 windows of each subject with these events alone
--       13 the places 1… of the events in the call, of each partition, a JSON list of lists of text
--       14, 15, …       their names, of each partition, a JSON list; a name is in a partition once
-- Returns what it did, the rules of each subject asked about, and
-- for "added": the first event's turn, and how each subject was before (see pack);
-- for "known", if events were seen before: of each its place, call 1… and place there, and its turn (a JSON
-- list of lists), and the calls (see below), or what a former worker kept in one text, and its rules;
-- for "late", if a subject is so far ahead that events do not count which the caller counted: of each such
-- subject its number and its latest time (a JSON list of lists).
-- Only "added" changes anything: for the others the caller adds up again without what it is told.
-- A call is a list (TTL): how many partitions it has events of that are seen, the rules that it was told of
-- (JSON, by key; empty for none), the events, and how each subject was before: so that the windows of each
-- event can be worked out again, whose caller adds them in that order. It is kept as long as one is seen.
-- A turn is a place in the order of all that workers ask of Redis: no two are the same, and a later one
-- is higher; a call's number is its first event's turn, and the others follow. next_turn.lua takes turns
-- too; keep in step. Windows are those of stream/signals/windows.py; keep in step.
local subjects = tonumber(ARGV[1])
local FEW = 1000 -- Lua can hand some 8,000 to a command
local short_life, long_life, max_late = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local capacity = tonumber(ARGV[7])
local call_prefix, former_prefix = ARGV[9], ARGV[10]
local places = cjson.decode(ARGV[13])
local partitions = #places
local following = subjects + 3 * partitions + 1

local rules, known_rules = {}, {}
for place = following + 1, #KEYS do
  local names = redis.call('SMEMBERS', KEYS[place])
  rules[#rules + 1] = names
  if #names > 0 then
    known_rules[KEYS[place]] = names
  end
end

local calls, call_of, known, names = {}, {}, {}, {}

-- Past its time a call may be gone, and then its events are not known any more.
local function recall(number, kept)
  if kept and not call_of[number] then
    calls[#calls + 1] = kept
    call_of[number] = #calls
  end
end

local function know(place, number, there, turn)
  known[#known + 1] = '[' .. place .. ',' .. call_of[number] .. ',' .. there .. ',' .. turn .. ']'
end

for partition = 1, partitions do
  local seen = KEYS[subjects + partition * 3 - 2]
  names[partition] = cjson.decode(ARGV[13 + partition])
  for index, answer in ipairs(redis.call('HMGET', seen, unpack(names[partition]))) do
    if answer then
      local number, there = string.match(answer, '^(%d+) (%d+)$')
      if not call_of[number] then
        local kept = redis.call('LRANGE', call_prefix .. number, 1, -1)
        recall(number, #kept > 0 and kept)
      end
      if call_of[number] then
        know(places[partition][index], number, there, string.format('%.0f', number + there - 1))
      end
    end
  end
  -- Gone when no former worker has run for as long as it kept what it saw.
  local former = KEYS[subjects + partition * 3]
  if redis.call('EXISTS', former) == 1 then
    for index, answer in ipairs(redis.call('HMGET', former, unpack(names[partition]))) do
      local turn, number, there = string.match(answer or '', '^(%d+) (%d+) (%d+)$')
      if number and not call_of[number] then
        local kept = redis.call('HMGET', former_prefix .. number, 'rules', 'fold')
        recall(number, kept[2] and {kept[1] or '', kept[2]})
      end
      if number and call_of[number] then
        know(places[partition][index], number, there, turn)
      end
    end
  end
end
if #known > 0 then
  return {'known', rules, '[' .. table.concat(known, ',') .. ']', calls}
end

-- A subject's windows: four whole numbers (events, late, first_us, at_us), 17 short sums and 8 long ones as
-- of the latest event, so that half-lives may change; all as little-endian doubles, behind a b.
local NUMBERS = 29
local doubles = string.rep('d', NUMBERS)
local bare, marked = '<' .. doubles, '<c1' .. doubles
local function read(packed, at)
  return struct.unpack(bare, packed, at)
end
local function pack(...)
  return struct.pack(marked, 'b', ...)
end
if not struct then -- as in an imitation of Redis
  function read(packed, at)
    local numbers = {}
    for place = 1, NUMBERS do
      local high, low = string.byte(packed, at + place * 8 - 1), string.byte(packed, at + place * 8 - 2)
      local whole = low % 16
      for byte = at + place * 8 - 3, at + place * 8 - 8, -1 do
        whole = whole * 256 + string.byte(packed, byte)
      end
      local exponent = high % 128 * 16 + math.floor(low / 16)
      local size = exponent > 0 and math.ldexp(whole + 2 ^ 52, exponent - 1075) or math.ldexp(whole, -1074)
      numbers[place] = high < 128 and size or -size
    end
    return unpack(numbers)
  end
  function pack(...)
    local bytes = {'b'}
    for _, number in ipairs({...}) do
      local size = math.abs(number)
      local fraction, exponent = math.frexp(size)
      exponent = size > 0 and math.max(exponent + 1022, 0) or 0
      local whole = exponent > 0 and (fraction * 2 - 1) * 2 ^ 52 or math.ldexp(size, 1074)
      for _ = 1, 6 do
        bytes[#bytes + 1] = string.char(whole % 256)
        whole = math.floor(whole / 256)
      end
      bytes[#bytes + 1] = string.char(exponent % 16 * 16 + whole)
      bytes[#bytes + 1] = string.char(math.floor(exponent / 16) + (number < 0 and 128 or 0))
    end
    return table.concat(bytes)
  end
end
local empty = 'b' .. string.rep('\0', 8 * NUMBERS)
local added = ARGV[12]

-- How a subject becomes: number of events, latest time, all of it packed; as of the later of what was and
-- what is added. Each sum is a variable of its own: in tables they take twice as long.
local function add(packed, at)
  local events, late, first, time, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16,
    a17, b1, b2, b3, b4, b5, b6, b7, b8 = read(added, at)
  if not packed then
    return events, time, pack(events, late, first, time, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12,
      a13, a14, a15, a16, a17, b1, b2, b3, b4, b5, b6, b7, b8)
  end
  local had, lagged, from, was, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16,
    c17, d1, d2, d3, d4, d5, d6, d7, d8 = read(packed, 2)
  if was - first > max_late then
    return nil, was
  end
  local s, l, t, m = 1, 1, 2 ^ ((was - time) / short_life), 2 ^ ((was - time) / long_life)
  if was > time then
    s, l, t, m = 1 / t, 1 / m, 1, 1
    time = was
  end
  if from < first then
    first = from
  end
  return had + events, time, pack(had + events, lagged + late, first, time,
    a1 * s + c1 * t, a2 * s + c2 * t, a3 * s + c3 * t, a4 * s + c4 * t, a5 * s + c5 * t, a6 * s + c6 * t,
    a7 * s + c7 * t, a8 * s + c8 * t, a9 * s + c9 * t, a10 * s + c10 * t, a11 * s + c11 * t,
    a12 * s + c12 * t, a13 * s + c13 * t, a14 * s + c14 * t, a15 * s + c15 * t, a16 * s + c16 * t,
    a17 * s + c17 * t, b1 * l + d1 * m, b2 * l + d2 * m, b3 * l + d3 * m, b4 * l + d4 * m,
    b5 * l + d5 * m, b6 * l + d6 * m, b7 * l + d7 * m, b8 * l + d8 * m)
end

local before, after, late = {}, {}, {}
for subject = 1, subjects do
  local packed = redis.call('HGET', KEYS[subject], 'windows')
  local events, time, become = add(packed, (subject - 1) * 8 * NUMBERS + 1)
  if become then
    before[subject] = packed or empty
    after[subject] = {events, time, become}
  else
    late[#late + 1] = string.format('[%d,%d]', subject, time)
  end
end
if #late > 0 then
  return {'late', rules, '[' .. table.concat(late, ',') .. ']'}
end

local turn = math.max(tonumber(ARGV[8]), tonumber(redis.call('GET', KEYS[following]) or '0') + 1)
local own = string.format('%.0f', turn)
local events = 0
for partition = 1, partitions do
  local seen, order = KEYS[subjects + partition * 3 - 2], KEYS[subjects + partition * 3 - 1]
  local count, middle, fields = #places[partition], own .. ' ', {}
  for index, place in ipairs(places[partition]) do
    fields[2 * index - 1] = names[partition][index]
    fields[2 * index] = middle .. place
  end
  events = events + count
  redis.call('HSET', seen, unpack(fields))
  redis.call('RPUSH', order, middle .. count .. ' ' .. ARGV[13 + partition])
  local over = redis.call('HLEN', seen) - capacity
  while over > 0 do
    local number, size, gone = string.match(redis.call('LINDEX', order, 0) or '', '^(%d+) (%d+) (.*)$')
    if not number or over < tonumber(size) then
      break
    end
    over = over - size
    redis.call('LPOP', order)
    redis.call('HDEL', seen, unpack(cjson.decode(gone)))
    local call = call_prefix .. number
    local left = tonumber(redis.call('LINDEX', call, 0) or 0) - 1
    if left > 0 then
      redis.call('LSET', call, 0, left)
    else
      redis.call('DEL', call)
    end
  end
  redis.call('EXPIRE', seen, ARGV[6])
  redis.call('EXPIRE', order, ARGV[6])
end
for subject, become in ipairs(after) do
  redis.call('HSET', KEYS[subject], 'events', string.format('%d', become[1]),
    'at_us', string.format('%d', become[2]), 'windows', become[3])
  redis.call('EXPIRE', KEYS[subject], ARGV[5])
end
if events > 0 then
  redis.call('SET', KEYS[following], string.format('%.0f', turn + events - 1))
  local call = call_prefix .. own
  redis.call('RPUSH', call, partitions, next(known_rules) and cjson.encode(known_rules) or '', ARGV[11])
  for from = 1, subjects, FEW do
    redis.call('RPUSH', call, unpack(before, from, math.min(from + FEW - 1, subjects)))
  end
  redis.call('EXPIRE', call, ARGV[6])
end
return {'added', rules, own, before}
