-- Bring one verdict of a rule on an event into the alert: wait, fire, grow, resolve, or repeat what
-- the event did the first time. Atomic. stream/alerts/episodes.py says the same in Python; keep in step.
--
-- KEYS  1 judged     what this event already caused (string, TTL; empty: nothing)
--       2 current    the fingerprint's present episode (hash: id, episode, last_us, ended_us, and
--                    expired if the sweeper ended it) and what has been waiting for it (pending_us,
--                    pending, pending_last_us, pending_last, pending_count, pending_evidence)
--       3 open       open alert ids by last event time (sorted set)
--       4 stream     every transition (stream, capped)
--       5 lasting    the rules that have, or lately had, an alert or a wait about the subject (set), whether
--                    they wait or resolve or not: the next version of their file may have them do so
--       6 quiet      open alert ids by when they will have been quiet, in event time (sorted set)
-- ARGV  1 outcome: holds, resolves, repeats (what resolves, on an event that did not do so when it was
--         delivered first, unless that is remembered) or fails (then only 2 to 7 are given: 4 is the rule,
--         6 the prefix of 16, 7 the seconds of 14)
--       2 fingerprint   3 event time, microseconds   4 event time, ISO 8601
--       5 quiet   6 for   7 cooldown, all in microseconds
--       8 severity      9 severity rank              10 evidence, one JSON object
--       11 JSON of the labels but severity: ,"rule":…
--       12 JSON of the fields a match decides: ,"rule":…,"title":… (no braces; no title and summary
--          of one that resolves: they stay those of the last event that counted)
--       13 keep, seconds; what is open is kept for its quiet time and so long
--       14 replay, seconds   15 stream length
--       16 key prefix of alerts   17 channel   18 evidence kept
--       19 name of the rule
--       20… name, value pairs of the fields of 12 for the hash
-- Returns the transition as JSON, or nothing. JSON is put together from parts encoded by the
-- caller: cjson would turn empty lists into objects and round numbers.
local outcome, mark, now = ARGV[1], ARGV[2], ARGV[4]
local at, quiet = tonumber(ARGV[3]), tonumber(ARGV[5])
local replay = outcome == 'fails' and ARGV[7] or ARGV[14]

local function whole(number)
  return string.format('%.0f', number)
end

local function remember(transition)
  redis.call('SET', KEYS[1], transition, 'EX', replay)
  return transition ~= '' and transition
end

-- Items are separated by a line end and a comma; encoded JSON holds no line end of its own.
local function append(items, item)
  local kept = {}
  for old in string.gmatch(items, '[^\n]+') do
    kept[#kept + 1] = string.gsub(old, '^,', '')
  end
  kept[#kept + 1] = item
  while #kept > tonumber(ARGV[18]) do
    table.remove(kept, 1)
  end
  return table.concat(kept, '\n,')
end

-- The present episode as KEYS[2] tells it, the key of its alert and the state of that, if any, and
-- whether the event may still be a part of it.
local function look(prefix)
  local current = redis.call('HMGET', KEYS[2], 'id', 'episode', 'last_us', 'ended_us', 'pending_us',
    'expired')
  local alert = current[1] and (prefix .. current[1])
  local state = alert and redis.call('HGET', alert, 'state')
  local active = state and state ~= 'resolved' and at <= tonumber(current[3]) + quiet
  return current, alert, state, active
end

-- Of a rule that holds no longer: end its wait, and forget it where nothing is left to end. An alert that has
-- been quiet is no longer for a verdict to end.
local function stop_waiting(rule, pending_us, active)
  local waits = pending_us and at < pending_us
  if pending_us and not waits then
    redis.call('HDEL', KEYS[2], 'pending_us', 'pending', 'pending_last_us', 'pending_last',
      'pending_count', 'pending_evidence')
  end
  if not waits and not active then
    redis.call('SREM', KEYS[5], rule)
  end
end

if outcome == 'fails' then
  -- Delivered again, it does not end what has begun to wait since, or is known by now to have waited longer.
  if redis.call('EXISTS', KEYS[1]) == 0 then
    local current, _, _, active = look(ARGV[6])
    stop_waiting(ARGV[4], tonumber(current[5]), active)
    remember('')
  end
  return false
end
local seen = redis.call('GET', KEYS[1])
if seen then
  return seen ~= '' and seen
end
if outcome == 'repeats' then
  return false
end

-- Else an alert with a long quiet time would be gone before it is over, and nobody told.
local keep = tonumber(ARGV[13]) + math.ceil(quiet / 1000000)

if outcome == 'holds' then
  redis.call('SADD', KEYS[5], ARGV[19])
  if redis.call('TTL', KEYS[5]) < keep then
    redis.call('EXPIRE', KEYS[5], keep)
  end
end

local current, alert, state, active = look(ARGV[16])
local episode, last_us = tonumber(current[2]) or 0, tonumber(current[3])
local pending_us = tonumber(current[5])

if outcome == 'resolves' then
  -- What was forgotten is over, for an event that comes late too.
  local ends = redis.call('SISMEMBER', KEYS[5], ARGV[19]) == 1 and active and at >= last_us
  stop_waiting(ARGV[19], pending_us, active)
  if not ends then
    return remember('')
  end
end

local id, sequence, count, first, first_us, last, evidence
local severity, rank = ARGV[8], tonumber(ARGV[9])
local fired
if active then
  id = current[1]
  local old = redis.call('HMGET', alert, 'sequence', 'count', 'first_seen', 'first_us',
    'last_seen', 'severity', 'rank', 'evidence', 'fired_at')
  fired = old[9]
  sequence, count, first, first_us, last = old[1] + 1, tonumber(old[2]), old[3], tonumber(old[4]), old[5]
  if tonumber(old[7]) > rank then severity, rank = old[6], tonumber(old[7]) end
  evidence = string.sub(old[8], 2, -2)
  if outcome == 'resolves' then
    state, keep = 'resolved', tonumber(ARGV[13])
  else
    -- A person's acknowledgement outlasts what comes after it.
    state = state == 'acknowledged' and state or 'updated'
    count = count + 1
    if at < first_us then first, first_us = now, at end
    if at > last_us then last, last_us = now, at end
    evidence = append(evidence, ARGV[10])
  end
else
  if episode > 0 then
    local ended = tonumber(current[4])
    if state == 'resolved' then
      ended = ended or last_us
      -- What ended an episode ended what came before it, however late that arrives. Quiet ended it as
      -- far as was known then: a match from within that time, which comes late, is not over.
      if at <= (current[6] and last_us or ended) then return remember('') end
    else
      ended = last_us + quiet
    end
    local cooldown = tonumber(ARGV[7])
    if cooldown > 0 and at < ended + cooldown then return remember('') end
  end
  count, first, first_us, last, evidence = 1, now, at, now, ARGV[10]
  last_us = at
  if tonumber(ARGV[6]) > 0 then
    local waiting = redis.call('HMGET', KEYS[2], 'pending', 'pending_last_us', 'pending_last',
      'pending_count', 'pending_evidence')
    if pending_us and at <= tonumber(waiting[2]) + quiet then
      -- Nobody asked whether it held in between.
      if at < pending_us then return remember('') end
      first, first_us = waiting[1], pending_us
      if tonumber(waiting[2]) > at then last, last_us = waiting[3], tonumber(waiting[2]) end
      count = waiting[4] + 1
      evidence = append(waiting[5], ARGV[10])
    end
    if last_us - first_us < tonumber(ARGV[6]) then
      redis.call('HSET', KEYS[2], 'pending_us', whole(first_us), 'pending', first,
        'pending_last_us', whole(last_us), 'pending_last', last, 'pending_count', count,
        'pending_evidence', evidence)
      redis.call('EXPIRE', KEYS[2], keep)
      return remember('')
    end
  end
  episode = episode + 1
  id = mark .. '-' .. episode
  alert = ARGV[16] .. id
  sequence, state, fired = 1, 'firing', last
  redis.call('DEL', KEYS[2], alert)
end
evidence = '[' .. evidence .. ']'
-- What people did about the alert; change_alert.lua writes it.
local handling = sequence > 1 and redis.call('HGET', alert, 'handling') or '{}'
local decided = ARGV[12]
if outcome == 'resolves' then
  local told = redis.call('HMGET', alert, 'title', 'summary')
  decided = decided .. ',"title":' .. cjson.encode(told[1]) .. ',"summary":' .. cjson.encode(told[2])
end
local times = ',"fired_at":' .. (fired and ('"' .. fired .. '"') or 'null')
if outcome == 'resolves' then
  times = times .. ',"ended_at":"' .. now .. '","ended_by":' .. ARGV[10]
else
  times = times .. ',"ended_at":null,"ended_by":null'
end
local labels = '{"severity":"' .. severity .. '"' .. ARGV[11] .. '}'

local transition = '{"id":"' .. id .. '","fingerprint":"' .. mark .. '","episode":' .. episode
  .. ',"sequence":' .. sequence .. ',"severity":"' .. severity .. '","state":"' .. state
  .. '","first_seen":"' .. first .. '","last_seen":"' .. last .. '","count":' .. count
  .. ',"evidence":' .. evidence .. ',"labels":' .. labels .. ',"handling":' .. handling
  .. times .. decided .. '}'

local fields = {
  'id', id, 'fingerprint', mark, 'episode', episode, 'sequence', sequence, 'severity', severity,
  'rank', rank, 'state', state, 'first_seen', first, 'first_us', whole(first_us),
  'last_seen', last, 'last_us', whole(last_us), 'count', count,
  'evidence', evidence, 'labels', labels, 'quiet_us', whole(quiet),
  'keep', keep,
}
if fired then
  fields[#fields + 1], fields[#fields + 2] = 'fired_at', fired
end
if outcome == 'resolves' then
  for _, part in ipairs({'ended_at', now, 'ended_by', ARGV[10]}) do
    fields[#fields + 1] = part
  end
end
for place = 20, #ARGV do
  fields[#fields + 1] = ARGV[place]
end
redis.call('HSET', alert, unpack(fields))
redis.call('EXPIRE', alert, keep)
if handling ~= '{}' then
  redis.call('EXPIRE', alert .. ':history', keep)
end
redis.call('HSET', KEYS[2], 'id', id, 'episode', episode, 'last_us', whole(last_us))
if state == 'resolved' then
  redis.call('HSET', KEYS[2], 'ended_us', whole(at))
  redis.call('ZREM', KEYS[3], id)
  redis.call('ZREM', KEYS[6], id)
else
  redis.call('ZADD', KEYS[3], string.format('%.6f', last_us / 1000000), id)
  redis.call('ZADD', KEYS[6], string.format('%.6f', (last_us + quiet) / 1000000), id)
end
redis.call('EXPIRE', KEYS[2], keep)
-- Scores are event times, so only a look tells which open alerts have expired. Two looks for at most
-- one new id: the set cannot fill up with dead ones, and no call ever pays for all of them.
for _, other in ipairs(redis.call('ZRANDMEMBER', KEYS[3], 2)) do
  if redis.call('EXISTS', ARGV[16] .. other) == 0 then
    redis.call('ZREM', KEYS[3], other)
    redis.call('ZREM', KEYS[6], other)
  end
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[15], '*', 'alert', transition)
redis.call('PUBLISH', ARGV[17], transition)
return remember(transition)
