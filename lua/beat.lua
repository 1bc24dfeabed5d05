-- beat: a member's heartbeat: its record goes in, its commands come out, all in one round trip.
--
-- Guarantee: a member that is listed has beaten within ttl_ms (server clock). A command is handed out until the member says
-- that it has come: an answer that is lost loses no command. One that was said to have come twice (because the answer to
-- the first saying was lost) takes nothing else with it but a same one right behind it.
--
-- KEYS[1] members   sorted set member -> last beat (server ms), expires ttl_ms after the last member's beat
-- KEYS[2] record    string, JSON of this member, expires after ttl_ms
-- KEYS[3] commands  list, pushed by operators with an expiry of their own
-- KEYS[4] said      string, JSON of what this member knows of its pairs, expires after ttl_ms
-- ARGV[1] member    host:pid:nonce
-- ARGV[2] record    JSON
-- ARGV[3] said      JSON
-- ARGV[4] ttl_ms    milliseconds without a beat after which a member has vanished
-- ARGV[5..] come    the commands that came with the last answered beat, oldest first; they are taken off the list
--
-- Returns vanished (1: we were not listed, at the first beat or after an outage; else 0), then the waiting commands,
-- oldest first, at most 100 a beat.

local members, record_key, commands, pair_state_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local member, record, pair_state, ttl_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local COMMANDS_A_BEAT = 100

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', members, '-inf', string.format('(%.0f', now_ms - ttl_ms))
local vanished = redis.call('ZADD', members, string.format('%.0f', now_ms), member)
redis.call('PEXPIRE', members, ttl_ms)
redis.call('SET', record_key, record, 'PX', ttl_ms)
redis.call('SET', pair_state_key, pair_state, 'PX', ttl_ms)

for i = 5, #ARGV do
  if redis.call('LINDEX', commands, 0) == ARGV[i] then
    redis.call('LPOP', commands)
  end
end
local waiting = redis.call('LRANGE', commands, 0, COMMANDS_A_BEAT - 1)
return {vanished, unpack(waiting)}
