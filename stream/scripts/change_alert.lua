-- Change one alert by hand or by the sweeper: atomically, idempotently, never against its lifecycle.
--
-- KEYS  1 alert     the alert as it stands (hash, TTL)
--       2 history   who did what and when (list, TTL)
--       3 open      open alert ids by last event time (sorted set)
--       4 stream    every transition (stream, capped)
--       5 silence   the silence that hides it, for "silence" (hash, TTL); else any key
--       6 quiet     open alert ids by when they will have been quiet (sorted set)
--       7 current   the fingerprint's present episode (hash, TTL), which must outlive the alert
-- ARGV  1 action: acknowledge, assign, comment, resolve, expire, silence, unsilence or flap
--       2 who        3 when, ISO 8601       4 comment
--       5 detail: assignee or silence id
--       6 seconds now                       7 keep, seconds; as in raise_alert.lua
--       8 stream length                     9 channel
--       10… name, kind pairs of an alert's fields; kind is text or json
-- What is so already is unchanged, but a comment given with it is kept as one.
-- Returns {"changed" or "unchanged", transition}, {"resolved"} where a resolved alert can't be changed
-- so, or {"absent"}.
local kept = redis.call('HMGET', KEYS[1], 'state', 'handling', 'sequence', 'id', 'keep', 'last_us',
  'quiet_us', 'severity')
local state, severity = kept[1], kept[8]
if not state then
  return {'absent'}
end
local handling = cjson.decode(kept[2] or '{}')
local action, who, comment, detail = ARGV[1], ARGV[2], ARGV[4], ARGV[5]

local function transition(shown)
  local parts = {}
  for place = 10, #ARGV, 2 do
    local name = ARGV[place]
    local value = name == 'state' and shown or redis.call('HGET', KEYS[1], name)
    if value then
      if ARGV[place + 1] == 'text' then
        value = cjson.encode(value)
      end
      parts[#parts + 1] = '"' .. name .. '":' .. value
    elseif name == 'fired_at' or name == 'ended_at' or name == 'ended_by' then
      parts[#parts + 1] = '"' .. name .. '":null'
    end
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

local function unchanged()
  return {'unchanged', transition(state)}
end

local closed = state == 'resolved'
if closed and (action == 'acknowledge' or action == 'assign') then
  return {'resolved'}
end
-- An acknowledgement covers the severity at which it was given, so after a rise it can be given again.
local so = action == 'resolve' and closed or action == 'assign' and handling.assignee == detail
  or action == 'acknowledge' and state == 'acknowledged' and handling.acknowledged_severity == severity
if so then
  -- Words given with it are not lost; only the same change again brings none.
  if comment == '' or (handling.by == who and handling.comment == comment) then
    return unchanged()
  end
  action, detail = 'comment', ''
end
local grown = state == 'acknowledged' and state or 'updated'
local shown, done
if action == 'comment' then
  if handling.action == 'commented' and handling.by == who and handling.comment == comment then
    return unchanged()
  end
  shown, done = closed and state or grown, 'commented'
elseif closed then
  return unchanged()
elseif action == 'acknowledge' then
  shown, done = 'acknowledged', 'acknowledged'
  handling.acknowledged_by, handling.acknowledged_severity = who, severity
elseif action == 'assign' then
  shown, done = grown, 'assigned'
  handling.assignee = detail
elseif action == 'resolve' then
  shown, done = 'resolved', 'resolved'
elseif action == 'expire' then
  local quiet_s = tonumber(kept[7]) / 1000000
  -- Every transition renews the TTL, so what is left of it says how long ago the last one was: by
  -- the clock of Redis, as that of the worker that sweeps may be set wrong.
  local untouched_s = (tonumber(kept[5]) or tonumber(ARGV[7])) - redis.call('PTTL', KEYS[1]) / 1000
  if untouched_s < quiet_s or tonumber(kept[6]) / 1000000 > tonumber(ARGV[6]) - quiet_s then
    return unchanged()
  end
  shown, done = 'resolved', 'expired'
  comment = string.format('no event for %.14g s', quiet_s)
  -- In event time it ended when it had been quiet, whenever that was noticed: the cooldown counts
  -- from there, as where nobody swept before the next match.
  if redis.call('HGET', KEYS[7], 'id') == kept[4] then
    redis.call('HSET', KEYS[7], 'ended_us', string.format('%.0f', kept[6] + kept[7]), 'expired', 1)
  end
elseif action == 'silence' then
  if handling.silence == detail or redis.call('EXISTS', KEYS[5]) == 0 then
    return unchanged()
  end
  shown, done = 'silenced', 'silenced'
  handling.silence = detail
  redis.call('HINCRBY', KEYS[5], 'hidden', 1)
elseif action == 'unsilence' then
  if handling.silence ~= detail then
    return unchanged()
  end
  shown, done = grown, 'unsilenced'
  handling.silence = ''
elseif action == 'flap' then
  if handling.flapping then
    return unchanged()
  end
  shown, done = grown, 'flapping'
  handling.flapping = true
else
  return redis.error_reply('change_alert: no such action: ' .. action)
end

handling.action, handling.by, handling.at, handling.comment = done, who, ARGV[3], comment
local sequence = tonumber(kept[3]) + 1
local keep = tonumber(ARGV[7])
if not closed and shown ~= 'resolved' then
  keep = keep + math.ceil((tonumber(kept[7]) or 0) / 1000000)
end
redis.call('HSET', KEYS[1], 'handling', cjson.encode(handling), 'sequence', sequence,
  'keep', keep)
-- A silence hides an alert and does not end it, so the alert keeps the state it really has.
if shown ~= 'silenced' then
  redis.call('HSET', KEYS[1], 'state', shown)
end
if shown == 'resolved' and not closed then
  redis.call('HSET', KEYS[1], 'ended_at', ARGV[3])
end
if shown == 'resolved' then
  redis.call('ZREM', KEYS[3], kept[4])
  redis.call('ZREM', KEYS[6], kept[4])
end
redis.call('EXPIRE', KEYS[1], keep)
-- It may be of a later episode by now, which is open and kept for longer.
if redis.call('TTL', KEYS[7]) < keep then
  redis.call('EXPIRE', KEYS[7], keep)
end
redis.call('RPUSH', KEYS[2], cjson.encode({
  sequence = sequence, action = done, state = shown, by = who, at = ARGV[3], comment = comment,
  detail = detail,
}))
redis.call('EXPIRE', KEYS[2], keep)
local result = transition(shown)
-- "change" tells these from the transitions that events cause: the worker publishes them on Kafka.
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[8], '*', 'alert', result, 'change', done)
redis.call('PUBLISH', ARGV[9], result)
return {'changed', result}
