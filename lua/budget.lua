-- budget: a venue's limit, shared by everything behind one egress address: a token bucket, and bans.
--
-- Guarantee: over any time t at most capacity + refill_per_s * t is granted, to all askers together. A ban known to one
-- is obeyed by all; a later, shorter one does not shorten it.
--
-- KEYS[1] bucket    hash tokens, at_ms, banned_until_ms; expires when it is full again and no ban is left
-- ARGV[1] capacity      tokens the bucket holds
-- ARGV[2] refill_per_s  tokens a second, above 0
-- ARGV[3] cost          tokens asked for, at most capacity
-- ARGV[4] ban_ms        0: ask; above: the venue has banned us for so many milliseconds, nothing is asked
--
-- Returns
--   OK           granted and taken
--   WAIT ms      not granted, nothing taken; not before ms can there be enough
--   BANNED ms    the ban lasts ms longer

local bucket = KEYS[1]
local capacity, refill_per_s, cost, ban_ms =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if cost > capacity or refill_per_s <= 0 then
  return redis.error_reply('ERR budget: cost above capacity, or no refill: it could never be granted')
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = redis.call('HMGET', bucket, 'tokens', 'at_ms', 'banned_until_ms')
local tokens = math.min(capacity, tonumber(stored[1] or capacity))
local banned_until_ms = tonumber(stored[3] or 0)
-- A server clock that went back (failover) refills nothing and loses nothing.
local elapsed_ms = math.max(0, now_ms - tonumber(stored[2] or now_ms))
tokens = math.min(capacity, tokens + elapsed_ms * refill_per_s / 1000)

local reply
if ban_ms > 0 then
  banned_until_ms = math.max(banned_until_ms, now_ms + ban_ms)
end
if banned_until_ms > now_ms then
  reply = {'BANNED', banned_until_ms - now_ms}
elseif tokens >= cost then
  tokens = tokens - cost
  reply = {'OK'}
else
  reply = {'WAIT', math.ceil((cost - tokens) * 1000 / refill_per_s)}
end

redis.call('HSET', bucket, 'tokens', string.format('%.6f', tokens), 'at_ms', string.format('%.0f', now_ms),
  'banned_until_ms', string.format('%.0f', banned_until_ms))
local full_in_ms = math.ceil((capacity - tokens) * 1000 / refill_per_s)
redis.call('PEXPIRE', bucket, string.format('%.0f', math.max(full_in_ms, banned_until_ms - now_ms, 0) + 1000))
return reply
