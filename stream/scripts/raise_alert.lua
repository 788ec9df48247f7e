-- Raise one match: fire, grow or repeat an alert, atomically and once per event.
--
-- KEYS  1 judged     the transition this event already caused (string, TTL)
--       2 current    the fingerprint's present episode (hash: id, episode, last_us)
--       3 open       open alert ids by last event time (sorted set)
--       4 stream     every transition (stream, capped)
-- ARGV  1 fingerprint   2 event time, microseconds   3 event time, ISO 8601
--       4 severity      5 severity rank              6 evidence, one JSON object
--       7 JSON of the fields a match decides: ,"rule":…,"title":… (no braces)
--       8 quiet, microseconds   9 keep, seconds   10 replay, seconds   11 stream length
--       12 key prefix of alerts   13 channel   14 evidence kept
--       15… name, value pairs of the same fields for the hash
-- Returns the transition as JSON. JSON is put together from parts encoded by the caller: cjson
-- would turn empty lists into objects and round numbers.
local seen = redis.call('GET', KEYS[1])
if seen then
  return seen
end

local at = tonumber(ARGV[2])
local rank = tonumber(ARGV[5])
local severity = ARGV[4]
local current = redis.call('HMGET', KEYS[2], 'id', 'episode', 'last_us')
local episode = tonumber(current[2]) or 0
local alert = current[1] and (ARGV[12] .. current[1])
local alive = alert and redis.call('HGET', alert, 'state')
local fresh = not alive or alive == 'resolved' or at > tonumber(current[3]) + tonumber(ARGV[8])

local id, sequence, count, state, first, first_us, last, last_us, evidence
if fresh then
  episode = episode + 1
  id = ARGV[1] .. '-' .. episode
  alert = ARGV[12] .. id
  sequence, count, state = 1, 1, 'firing'
  first, first_us, last, last_us = ARGV[3], at, ARGV[3], at
  evidence = ARGV[6]
else
  id = current[1]
  local old = redis.call('HMGET', alert, 'sequence', 'count', 'first_seen', 'first_us',
    'last_seen', 'last_us', 'severity', 'rank', 'evidence')
  sequence, count, state = tonumber(old[1]) + 1, tonumber(old[2]) + 1, 'updated'
  first, first_us, last, last_us = old[3], tonumber(old[4]), old[5], tonumber(old[6])
  if at < first_us then first, first_us = ARGV[3], at end
  if at > last_us then last, last_us = ARGV[3], at end
  if tonumber(old[8]) > rank then severity, rank = old[7], tonumber(old[8]) end
  evidence = string.sub(old[9], 2, -2) .. '\n,' .. ARGV[6]
  -- Items are separated by a line end and a comma; encoded JSON holds no line end of its own.
  local kept = {}
  for item in string.gmatch(evidence, '[^\n]+') do
    kept[#kept + 1] = string.gsub(item, '^,', '')
  end
  while #kept > tonumber(ARGV[14]) do
    table.remove(kept, 1)
  end
  evidence = table.concat(kept, '\n,')
end
evidence = '[' .. evidence .. ']'

local transition = '{"id":"' .. id .. '","fingerprint":"' .. ARGV[1] .. '","episode":' .. episode
  .. ',"sequence":' .. sequence .. ',"severity":"' .. severity .. '","state":"' .. state
  .. '","first_seen":"' .. first .. '","last_seen":"' .. last .. '","count":' .. count
  .. ',"evidence":' .. evidence .. ARGV[7] .. '}'

local fields = {
  'id', id, 'fingerprint', ARGV[1], 'episode', episode, 'sequence', sequence, 'severity', severity,
  'rank', rank, 'state', state, 'first_seen', first, 'first_us', string.format('%.0f', first_us),
  'last_seen', last, 'last_us', string.format('%.0f', last_us), 'count', count,
  'evidence', evidence,
}
for place = 15, #ARGV do
  fields[#fields + 1] = ARGV[place]
end
redis.call('HSET', alert, unpack(fields))
redis.call('EXPIRE', alert, ARGV[9])
redis.call('HSET', KEYS[2], 'id', id, 'episode', episode, 'last_us', string.format('%.0f', last_us))
redis.call('EXPIRE', KEYS[2], ARGV[9])
redis.call('ZADD', KEYS[3], string.format('%.6f', last_us / 1000000), id)
-- Scores are event times, so only a look tells which open alerts have expired. Two looks for at most
-- one new id: the set cannot fill up with dead ones, and no call ever pays for all of them.
for _, other in ipairs(redis.call('ZRANDMEMBER', KEYS[3], 2)) do
  if redis.call('EXISTS', ARGV[12] .. other) == 0 then
    redis.call('ZREM', KEYS[3], other)
  end
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[11], '*', 'alert', transition)
redis.call('PUBLISH', ARGV[13], transition)
redis.call('SET', KEYS[1], transition, 'EX', ARGV[10])
return transition
