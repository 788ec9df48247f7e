-- Fold a micro-batch into the windows of its subjects, each event once.
--
-- KEYS  1…S             subjects (hash, TTL)
--       S+1, S+2, …     per partition read: seen (hash: event → its turn, fold and place there), order
--                       (list of events)
--       the next        the latest turn (string)
--       the last        per subject asked about: the rules that have, or lately had, an alert or a
--                       wait about it (set)
-- ARGV  1 S   2 short half-life, seconds   3 long one   4 max late, seconds
--       5 keep subjects, seconds   6 keep what was seen, seconds   7 events of a partition kept
--       8 sums a subject   9 short ones among them   10 partitions   11 the clock, microseconds
--       12 key prefix of folds
--       13 names of the subjects (a JSON list)   14 the events, a JSON list of lists: partition 1…,
--       event, time in microseconds, kind 0…2, label 0…3, sentiment, risk 0…2, and its subjects, a
--       list of lists: subject 1…, relevance, relevance x novelty
-- Returns the answers (a JSON list of lists: turn, fold, place in it 1…; the first fold is this call's),
-- the folds, the first without the events as given, the rules of each subject asked about, and, for each
-- fold but the first, those that its call was given (JSON, by key; empty for none).
-- A fold is what the events of a call that were new did, so that each one's windows can be worked out
-- again: the places of these events in the call, 0 for all, as JSON, a line end, names and events as
-- given, a line end after each, and how each subject was before (see pack). Whoever reads it adds the
-- events in that order. It is kept as long as one of its events is.
-- An event seen before changes nothing, and its answer is the fold that it was in.
-- A turn is a place in the order of all that workers ask of Redis: no two are the same, and a later one
-- is higher. next_turn.lua takes them too; keep in step.
-- The arithmetic is that of stream/signals/windows.py, fold(); keep them in step.
local subjects = tonumber(ARGV[1])
local short_life, long_life = tonumber(ARGV[2]), tonumber(ARGV[3])
local max_late = tonumber(ARGV[4])
local capacity = tonumber(ARGV[7])
local width, short_sums = tonumber(ARGV[8]), tonumber(ARGV[9])
local partitions = tonumber(ARGV[10])
local fold_prefix = ARGV[12]
local following = subjects + 2 * partitions + 1
local turn = math.max(tonumber(ARGV[11]) - 1, tonumber(redis.call('GET', KEYS[following]) or '0'))
local short_last, last = 4 + short_sums, 4 + width

-- A subject's windows as one text: its four whole numbers and its sums as little-endian doubles after
-- a b; where this Redis has no struct library, as text after a t, which 17 digits make exact.
local format = '<' .. string.rep('d', 4 + width)
local nothing = {}
for place = 1, last do
  nothing[place] = 0
end
local function pack(w)
  if struct then
    return 'b' .. struct.pack(format, unpack(w))
  end
  local parts = {}
  for place = 1, last do
    parts[place] = string.format('%.17g', w[place])
  end
  return 't' .. table.concat(parts, ' ') .. '\n'
end
local empty = pack(nothing)

local function read(packed)
  if string.sub(packed, 1, 1) == 'b' and struct then
    local w = {struct.unpack(format, packed, 2)}
    w[last + 1] = nil
    return w
  end
  local w = {}
  for part in string.gmatch(string.sub(packed, 2), '%S+') do
    w[#w + 1] = tonumber(part)
  end
  return w
end

local before, loaded = {}, {}
for subject = 1, subjects do
  before[subject] = redis.call('HGET', KEYS[subject], 'windows') or empty
end

local few_half_lives = 100
local max_weight = 2 ^ few_half_lives
local function move(w, weight, half_lives, first, final)
  if half_lives > few_half_lives or w[weight] > max_weight then
    local factor = 2 ^ -half_lives / w[weight]
    for place = first, final do
      w[place] = w[place] * factor
    end
    w[weight] = 1
  else
    w[weight] = w[weight] * 2 ^ half_lives
  end
end

-- Numbers 1 to 4: events, late, first_us, at_us. Sums begin at 5, short ones first: volume, the three
-- labels, sentiment, its squares, risk, high. Kept as of the latest event, so half-lives may change.
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

local own = string.format('%.0f', turn + 1)
local folds, fold_of, answers, fresh, used = {''}, {[own] = 1}, {}, {}, {}
local rules_then = {}
local given = cjson.decode(ARGV[14])
for position = 1, #given do
  local partition, event, at, kind, label, sentiment, risk, named = unpack(given[position])
  local seen, order = KEYS[subjects + partition * 2 - 1], KEYS[subjects + partition * 2]
  local answer = redis.call('HGET', seen, event)
  local its_turn, fold, place = string.match(answer or '', '^(%d+) (%d+) (%d+)$')
  if fold and not fold_of[fold] then
    -- Past its time it may be gone, and then the event is not known any more.
    local kept = redis.call('HMGET', fold_prefix .. fold, 'fold', 'rules')
    if kept[1] then
      folds[#folds + 1] = kept[1]
      rules_then[#rules_then + 1] = kept[2] or ''
      fold_of[fold] = #folds
    end
  end
  if not (fold and fold_of[fold]) then
    turn = turn + 1
    fresh[#fresh + 1] = position
    its_turn, fold, place = string.format('%.0f', turn), own, #fresh
    redis.call('HSET', seen, event, its_turn .. ' ' .. own .. ' ' .. place)
    redis.call('RPUSH', order, event)
    used[partition] = true
    for _, one in ipairs(named) do
      local subject, relevance, news = unpack(one)
      local w = loaded[subject]
      if not w then
        w = read(before[subject])
        w.short, w.long = 1, 1
        loaded[subject] = w
      end
      add(w, at, kind, label, sentiment, risk, relevance, news)
    end
  end
  answers[position] = '[' .. its_turn .. ',' .. fold_of[fold] .. ',' .. place .. ']'
end

for subject, w in pairs(loaded) do
  for place = 5, short_last do
    w[place] = w[place] / w.short
  end
  for place = short_last + 1, last do
    w[place] = w[place] / w.long
  end
  redis.call('HSET', KEYS[subject], 'events', string.format('%.0f', w[1]),
    'at_us', string.format('%.0f', w[4]), 'windows', pack(w))
  redis.call('EXPIRE', KEYS[subject], ARGV[5])
end
if #fresh > 0 then
  redis.call('SET', KEYS[following], string.format('%.0f', turn))
  local head = (#fresh == #given and '0' or cjson.encode(fresh)) .. '\n' .. ARGV[13] .. '\n'
  local states = '\n' .. table.concat(before)
  redis.call('HSET', fold_prefix .. own, 'fold', head .. ARGV[14] .. states, 'events', #fresh)
  folds[1] = head .. states
  redis.call('EXPIRE', fold_prefix .. own, ARGV[6])
end
for partition in pairs(used) do
  local seen, order = KEYS[subjects + partition * 2 - 1], KEYS[subjects + partition * 2]
  local over = redis.call('LLEN', order) - capacity
  if over > 0 then
    local gone = {}
    for _, event in ipairs(redis.call('LRANGE', order, 0, over - 1)) do
      local fold = string.match(redis.call('HGET', seen, event) or '', ' (%d+) ')
      if fold then
        gone[fold] = (gone[fold] or 0) + 1
      end
      redis.call('HDEL', seen, event)
    end
    redis.call('LTRIM', order, over, -1)
    for fold, count in pairs(gone) do
      if redis.call('HINCRBY', fold_prefix .. fold, 'events', -count) <= 0 then
        redis.call('DEL', fold_prefix .. fold)
      end
    end
  end
  redis.call('EXPIRE', seen, ARGV[6])
  redis.call('EXPIRE', order, ARGV[6])
end
local rules, known = {}, {}
for place = following + 1, #KEYS do
  local names = redis.call('SMEMBERS', KEYS[place])
  rules[#rules + 1] = names
  if #names > 0 then
    known[KEYS[place]] = names
  end
end
if #fresh > 0 and next(known) then
  redis.call('HSET', fold_prefix .. own, 'rules', cjson.encode(known))
end
return {'[' .. table.concat(answers, ',') .. ']', folds, rules, rules_then}
