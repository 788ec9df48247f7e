-- Fold a micro-batch into the windows of its subjects, each event once.
--
-- KEYS  1…S             subjects (hash, TTL)
--       S+1, S+2, …     per partition read: answers (hash: event → answer), order (list of events)
--       the next        the latest turn (string)
--       the last        per subject asked about: the rules that have, or lately had, an alert or a
--                       wait about it (set)
-- ARGV  1 S   2 short half-life, seconds   3 long one   4 max late, seconds
--       5 keep subjects, seconds   6 keep answers, seconds   7 answers kept a partition
--       8 sums a subject   9 short ones among them   10 partitions   11 the clock, microseconds
--       12… names of the sums
--       last: the events, a JSON list of lists: partition 1…, event, time in microseconds,
--       kind 0…2, label 0…3, sentiment, risk 0…2, names of its subjects (a JSON list as text), and
--       for each of these a list: subject 1…, relevance, relevance x novelty
-- Returns the lengths of the answers (a JSON list), the answers one after the other, and the rules of
-- each subject asked about. An answer is [turn, names of the subjects] as JSON, a line end, and for each
-- subject events, late, first_us, at_us and the sums, as little-endian doubles, or as text where this
-- Redis has no struct library.
-- An event seen before gets the answer it got first, and changes nothing.
-- A turn is a place in the order of all that workers ask of Redis: no two are the same, and a later one
-- is higher. next_turn.lua takes them too; keep in step.
-- The arithmetic is that of stream/signals/windows.py, Windows.add; keep them in step.
local subjects = tonumber(ARGV[1])
local short_life, long_life = tonumber(ARGV[2]), tonumber(ARGV[3])
local max_late = tonumber(ARGV[4])
local capacity = tonumber(ARGV[7])
local width, short_sums = tonumber(ARGV[8]), tonumber(ARGV[9])
local names = {'events', 'late', 'first_us', 'at_us'}
for place = 1, width do
  names[4 + place] = ARGV[11 + place]
end
local short_last, last = 4 + short_sums, 4 + width
local following = subjects + 2 * tonumber(ARGV[10]) + 1
local turn = math.max(tonumber(ARGV[11]) - 1, tonumber(redis.call('GET', KEYS[following]) or '0'))

local loaded, touched = {}, {}
local function load(subject)
  local known = loaded[subject]
  if not known then
    local fields = redis.call('HMGET', KEYS[subject], unpack(names))
    known = {}
    for place = 1, #names do
      known[place] = tonumber(fields[place] or 0) or 0
    end
    -- Kept as of the latest event, so that people can read them and half-lives may change.
    known.short, known.long = 1, 1
    loaded[subject] = known
  end
  return known
end

local few_half_lives = 100
local max_weight = 2 ^ few_half_lives
local function move(w, weight, half_lives, first, last)
  if half_lives > few_half_lives or w[weight] > max_weight then
    local factor = 2 ^ -half_lives / w[weight]
    for place = first, last do
      w[place] = w[place] * factor
    end
    w[weight] = 1
  else
    w[weight] = w[weight] * 2 ^ half_lives
  end
end

-- Sums begin at 5, short ones first: volume, the three labels, sentiment, its squares, risk, high.
local function add(w, at, kind, label, sentiment, risk, relevance, news)
  if w[1] == 0 then
    w[3], w[4] = at, at
  end
  local ahead = (at - w[4]) / 1e6
  if -ahead > max_late then
    w[2] = w[2] + 1
    return
  end
  if ahead > 0 then
    move(w, 'short', ahead / short_life, 5, short_last)
    move(w, 'long', ahead / long_life, short_last + 1, last)
    w[4] = at
  end
  local short, long = w.short, w.long
  if ahead < 0 then
    short = short * 2 ^ (ahead / short_life)
    long = long * 2 ^ (ahead / long_life)
    if at < w[3] then
      w[3] = at
    end
  end
  w[1] = w[1] + 1
  local of_kind, base = 13 + kind * 3, 5 + short_sums
  w[5] = w[5] + relevance * short
  w[of_kind] = w[of_kind] + relevance * short
  w[base] = w[base] + relevance * long
  short, long = short * news, long * news
  if label > 0 then
    local tone = short * sentiment
    w[5 + label] = w[5 + label] + short
    w[9] = w[9] + tone
    w[10] = w[10] + tone * sentiment
    w[of_kind + 1] = w[of_kind + 1] + short
    w[of_kind + 2] = w[of_kind + 2] + tone
    tone = long * sentiment
    w[base + label] = w[base + label] + long
    w[base + 4] = w[base + 4] + tone
    w[base + 5] = w[base + 5] + tone * sentiment
  end
  if risk > 0 then
    w[11] = w[11] + short
    w[base + 6] = w[base + 6] + long
    if risk > 1 then
      w[12] = w[12] + short
      w[base + 7] = w[base + 7] + long
    end
  end
end

-- The windows as of the latest event.
local function now(w)
  local numbers = {w[1], w[2], w[3], w[4]}
  for place = 5, last do
    numbers[place] = w[place] / (place <= short_last and w.short or w.long)
  end
  return numbers
end

local function written(numbers)
  local parts = {}
  for place = 1, 4 do
    parts[place] = string.format('%.0f', numbers[place])
  end
  for place = 5, last do
    -- 17 digits name a double exactly.
    parts[place] = numbers[place] == 0 and '0' or string.format('%.17g', numbers[place])
  end
  return parts
end

-- Writing doubles out as text takes most of the time.
local format = '<' .. string.rep('d', #names)
local function snapshot(w)
  if struct then
    return struct.pack(format, unpack(now(w)))
  end
  return ' ' .. table.concat(written(now(w)), ' ')
end

local answers, lengths, used = {}, {}, {}
for _, given in ipairs(cjson.decode(ARGV[12 + width])) do
  local partition, event, at, kind, label, sentiment, risk, subjects_named, named = unpack(given)
  local kept, order = KEYS[subjects + partition * 2 - 1], KEYS[subjects + partition * 2]
  local answer = redis.call('HGET', kept, event)
  if not answer then
    turn = turn + 1
    local parts = {string.format('[%.0f,%s]\n', turn, subjects_named)}
    for place, one in ipairs(named) do
      local subject, relevance, news = unpack(one)
      local w = load(subject)
      add(w, at, kind, label, sentiment, risk, relevance, news)
      touched[subject] = true
      parts[place + 1] = snapshot(w)
    end
    answer = table.concat(parts)
    redis.call('HSET', kept, event, answer)
    redis.call('RPUSH', order, event)
    used[partition] = true
  end
  answers[#answers + 1] = answer
  lengths[#lengths + 1] = #answer
end

for subject in pairs(touched) do
  local fields = {}
  for place, value in ipairs(written(now(loaded[subject]))) do
    fields[#fields + 1] = names[place]
    fields[#fields + 1] = value
  end
  redis.call('HSET', KEYS[subject], unpack(fields))
  redis.call('EXPIRE', KEYS[subject], ARGV[5])
end
redis.call('SET', KEYS[following], string.format('%.0f', turn))
for partition in pairs(used) do
  local kept, order = KEYS[subjects + partition * 2 - 1], KEYS[subjects + partition * 2]
  local over = redis.call('LLEN', order) - capacity
  if over > 0 then
    local old = redis.call('LRANGE', order, 0, over - 1)
    redis.call('LTRIM', order, over, -1)
    for _, event in ipairs(old) do
      redis.call('HDEL', kept, event)
    end
  end
  redis.call('EXPIRE', kept, ARGV[6])
  redis.call('EXPIRE', order, ARGV[6])
end
local rules = {}
for place = following + 1, #KEYS do
  rules[#rules + 1] = redis.call('SMEMBERS', KEYS[place])
end
return {cjson.encode(lengths), table.concat(answers), rules}
